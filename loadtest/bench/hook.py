"""
THE PLACE where prometheus_client is put under Penstock for the benchmark, as a worker does it.

Releases without `penstock.worker.appmetrics` have no such figures. The modules are
looked up by name, so that the benchmark runs on both.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Final

MODULE: Final = "penstock.worker.appmetrics"
STOCK: Final = ("MutexValue", "MmapedValue")


def is_there() -> bool:
    """Say whether this release keeps the app's metrics."""
    return importlib.util.find_spec(MODULE) is not None


def install(row_count: int = 1) -> Callable[[], None]:
    """
    Keep the metrics of this process in the first of so many rows, and add up all of them.

    To be called before any metric is made. Gives a function that leaves what
    was counted so far in the other rows, too, as other workers would have.
    """
    values = importlib.import_module("penstock.shm.values")
    readings = importlib.import_module("penstock.shm.readings")
    own, *others = (values.ValueArea.scratch() for _ in range(row_count))
    sources = tuple(readings.Source(slot, area, str(slot)) for slot, area in enumerate((own, *others)))
    view = importlib.import_module(f"{MODULE}.keeper").OneArea(*sources)
    importlib.import_module(MODULE).install(own, view=view)
    kept = importlib.import_module("prometheus_client.values").ValueClass
    if getattr(kept, "__name__", "") in STOCK:
        raise SystemExit(f"{MODULE} is there, and prometheus_client is still as it was: see {__file__}")

    def share() -> None:
        for area in others:
            area.copy_from(own)

    return share
