"""What master and worker do at their start about the app's metrics, and what they say in the log."""

import os
from collections.abc import Mapping
from typing import Final

from penstock.shm.app_values import AppValues, area_of
from penstock.shm.row import Row
from penstock.shm.segment import Segment
from penstock.worker.logs import LOG

# By which apps turn on prometheus_client's own multi-process mode.
VARIABLES: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def prepare_app_metrics() -> None:
    """Hook into prometheus_client, in the master, before it imports an app or forks a worker that does."""
    for trouble in (prepare(), multiprocess_warning(os.environ)):
        if trouble is not None:
            _warn(trouble)


def prepare() -> str | None:
    """
    Have an app that is imported find prometheus_client as it will in a worker.

    Gives a warning if it is one that cannot be hooked into.
    """
    try:
        from penstock.worker.appmetrics import hook  # noqa: PLC0415 - it may lack what is imported there
    except (ImportError, AttributeError) as error:
        return f"{error}; the app's metrics are not shared, and each worker has its own"
    return hook.prepare()


def share_app_metrics(segment: Segment, row: Row) -> None:
    """Keep this worker's metrics in its row from now on."""
    if prepare() is None:
        from penstock.worker.appmetrics import hook  # noqa: PLC0415

        hook.install(area_of(row), view=AppValues(segment), on_trouble=_warn)


def tell_what_is_not_shared(slot: int) -> None:
    """Say once, for all workers, which metrics of the imported app are not everybody's."""
    if slot == 0 and prepare() is None:
        from penstock.worker.appmetrics import hook  # noqa: PLC0415

        for notice in hook.notices():
            _warn(notice)


def multiprocess_warning(environ: Mapping[str, str]) -> str | None:
    """Explain the variable of an old deployment."""
    found = next((name for name in VARIABLES if name in environ), None)
    if found is None:
        return None
    return (
        f"{found} is set and has no effect: the app's metrics are kept in shared memory, and "
        "MultiProcessCollector reads them from there; remove the variable and the directory"
    )


def _warn(text: str) -> None:
    LOG.warning("app metrics: %s", text)
