"""
Apps that were made for prometheus_client's own multi-process mode.

They set PROMETHEUS_MULTIPROC_DIR and collect with `MultiProcessCollector`. The
directory is not needed any more and nothing is written there; the collector
gives what the shared memory has.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import multiprocess

from penstock.worker.appmetrics.collection import to_metric
from penstock.worker.appmetrics.keeper import Keeper

# What the area says of itself is for the admin endpoint.
_OURS: Final = "penstock_app_"

VARIABLES: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def replacements(keeper: Keeper) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """List what is to be replaced: whose, which, and by what."""

    def init(self: Any, registry: Any, path: str | None = None) -> None:
        self._path = path
        if registry:
            registry.register(self)

    def collect(self: Any) -> Iterable[Any]:
        return [to_metric(each) for each in keeper.families() if not each.family.name.startswith(_OURS)]

    def mark_process_dead(pid: int, path: str | None = None) -> None:
        """Do nothing: values of dead workers are looked after."""

    yield multiprocess.MultiProcessCollector, "__init__", init
    yield multiprocess.MultiProcessCollector, "collect", collect
    yield multiprocess, "mark_process_dead", mark_process_dead


def warning(environ: Mapping[str, str]) -> str | None:
    """Explain the variable of an old deployment."""
    found = next((name for name in VARIABLES if name in environ), None)
    if found is None:
        return None
    return (
        f"{found} is set and has no effect: the app's metrics are kept in shared memory, and "
        "MultiProcessCollector reads them from there; remove the variable and the directory"
    )
