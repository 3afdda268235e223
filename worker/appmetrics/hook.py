"""
Puts the keeper under prometheus_client, before the app is imported.

What it replaces is listed in one place and can be put back. If a test of it on
the side fails, because prometheus_client has changed inside, nothing is
replaced: the app then has what it would have without Penstock, and one warning
says so.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import prometheus_client
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    metrics,
    multiprocess,
    values,
)
from prometheus_client.exposition import generate_latest

from penstock.shm.readings import Source
from penstock.shm.values import ValueArea
from penstock.worker.appmetrics import multiproc
from penstock.worker.appmetrics.collection import Collection, is_kept
from penstock.worker.appmetrics.keeper import Keeper, OneArea, View

Replacement = tuple[Any, str, Any]

_MISSING = object()


class Hook:
    """What was replaced, for whom, and what there is to say about it."""

    def __init__(self, keeper: Keeper, replaced: Sequence[Replacement]) -> None:
        self.keeper = keeper
        self._replaced = replaced  # with what was there before

    def uninstall(self) -> None:
        """Put everything back."""
        global _hook  # noqa: PLW0603 - one process has one prometheus_client
        for owner, name, before in reversed(self._replaced):
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        if _hook is self:
            _hook = None


_hook: Hook | None = None


def prepare() -> str | None:
    """
    Have values made that lie nowhere yet, in a process that imports the app for its children.

    Gives a warning if this prometheus_client is one that cannot be used.
    """
    global _hook  # noqa: PLW0603 - one process has one prometheus_client
    if _hook is not None:
        return None
    fault = test_on_the_side()
    if fault is not None:
        return (
            f"prometheus_client {version('prometheus_client')} works otherwise than expected ({fault}); "
            "the app's metrics are not shared, and each worker has its own"
        )
    _hook = _replace(Keeper())
    return None


def is_prepared() -> bool:
    """Say whether prometheus_client is hooked into."""
    return _hook is not None


def install(
    area: ValueArea,
    *,
    view: View | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> Hook | None:
    """
    Keep this process's metrics in an area, and read those of all workers through `view`.

    To be called before the app is imported, and while there is one thread.
    `on_trouble` is told, in a sentence, what did not go well. Gives None if
    prometheus_client was left as it is.
    """
    say = on_trouble or (lambda _: None)
    fault = prepare()
    if fault is not None:
        say(fault)
    if _hook is None:
        return None
    _hook.keeper.bind(area, view or OneArea(Source("self", area, "0")), say)
    return _hook


def test_on_the_side() -> str | None:
    """Count something in an area of its own and read it back, or say what went wrong."""
    area = ValueArea.scratch(256, 1024)
    keeper = Keeper()
    keeper.bind(area, OneArea(Source("test", area, "7")), lambda _: None)
    hook = _replace(keeper)
    try:
        return _count_and_read()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        hook.uninstall()


def _count_and_read() -> str | None:
    registry = CollectorRegistry()
    counter = Counter("penstock_test", "-", ["a"], registry=registry)
    counter.labels("x").inc(2)
    Gauge("penstock_test_gauge", "-", registry=registry, multiprocess_mode="max").set(3)
    Gauge("penstock_test_all", "-", registry=registry).set(4)
    Summary("penstock_test_summary", "-", registry=registry).observe(5)
    Histogram("penstock_test_histogram", "-", registry=registry, buckets=(1, 2)).observe(1.5)
    lines = generate_latest(registry).decode().splitlines()
    for expected in (
        'penstock_test_total{a="x"} 2.0',
        "penstock_test_gauge 3.0",
        'penstock_test_all{worker="7"} 4.0',
        "penstock_test_summary_sum 5.0",
        'penstock_test_histogram_bucket{le="2.0"} 1.0',
        "penstock_test_histogram_count 1.0",
    ):
        if expected not in lines:
            return f"no {expected!r}"
    counter.remove("x")
    if b'a="x"' in generate_latest(registry):
        return "a label set was removed and is there"
    return None


def _replace(keeper: Keeper) -> Hook:
    replaced = []
    for owner, name, replacement in _replacements(keeper):
        replaced.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, replacement)
    return Hook(keeper, replaced)


def _replacements(keeper: Keeper) -> Iterator[Replacement]:
    yield values, "ValueClass", _ValueClass(keeper)
    yield from Collection(keeper).wrap()
    yield from multiproc.replacements(keeper)
    yield from _silenced()


class _ValueClass:
    """Stands where a class is expected and makes the right kind of value."""

    _multiprocess = False

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._keeper.make(*arguments, **keywords)


def _silenced() -> Iterator[Replacement]:
    """
    Have the default collectors give nothing: they would tell of whichever worker answers.

    They stay registered, since apps take them out by name.
    """
    for collector in _default_collectors():
        yield collector, "collect", list


def _default_collectors() -> list[Any]:
    names = ("PROCESS_COLLECTOR", "PLATFORM_COLLECTOR", "GC_COLLECTOR")
    return [getattr(prometheus_client, name) for name in names if hasattr(prometheus_client, name)]


def notices() -> Iterator[str]:
    """Say what of the app's metrics is not shared, once it is imported."""
    collectors = list(REGISTRY._collector_to_names)
    early = sorted(
        each._name for each in collectors if isinstance(each, metrics.MetricWrapperBase) and not is_kept(each)
    )
    if early:
        yield (
            f"metrics were made before the app was imported and are not shared: {', '.join(early)}; "
            "make them in the app, not in a start-up file of Python"
        )
    default = _default_collectors()
    custom = sorted(
        {
            type(each).__name__
            for each in collectors
            if not isinstance(each, metrics.MetricWrapperBase)
            and not isinstance(each, multiprocess.MultiProcessCollector)
            and not any(each is one for one in default)
        }
    )
    if custom:
        yield (
            f"custom collectors are asked in whichever worker answers, and are not on the admin endpoint: "
            f"{', '.join(custom)}"
        )
