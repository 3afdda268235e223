"""
Collects a metric's samples from all workers, and removes its label sets in all of them.

`collect`, `remove` and `clear` are prometheus_client's public protocol, and the
same in all its versions; they are wrapped here, once for all metrics.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import metrics
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample

from penstock.shm.keylog import Family, Key
from penstock.shm.readings import FamilyReading
from penstock.worker.appmetrics.cells import Value
from penstock.worker.appmetrics.keeper import Keeper, info_key

KINDS = ("counter", "gauge", "summary", "histogram", "info", "stateset")


def to_metric(reading: FamilyReading, into: Any = None) -> Any:
    """Make a family as prometheus_client exposes it."""
    family = reading.family
    metric = into if into is not None else Metric(family.name, family.help, family.kind)
    metric.samples.extend(
        Sample(
            sample.name,
            sample.labels.copy(),
            sample.value,
            None,
            Exemplar(sample.exemplar.labels, sample.exemplar.value, sample.exemplar.timestamp or None)
            if sample.exemplar
            else None,
        )
        for sample in reading.samples
    )
    return metric


class Collection:
    """The wrapped methods, over one keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def wrap(self) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
        """List what is to be replaced: whose, which, and by what."""
        base = metrics.MetricWrapperBase
        yield base, "collect", self._collect(base.collect)
        yield base, "remove", self._remove(base.remove)
        if hasattr(base, "clear"):
            yield base, "clear", self._clear(base.clear)
        if hasattr(base, "remove_by_labels"):
            yield base, "remove_by_labels", self._remove_by_labels(base.remove_by_labels)
        yield metrics.Info, "info", self._info(metrics.Info.info)
        yield metrics.Enum, "state", self._state(metrics.Enum.state)

    def _collect(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def collect(self: Any) -> Iterable[Any]:
            """Give the metric with the samples of all workers."""
            reading = keeper.family(self._name) if is_kept(self) else None
            if reading is None or not _is_same(self, reading.family):
                return original(self)  # type: ignore[no-any-return]
            metric = to_metric(_without_local(self, reading), self._get_metric())
            metric.samples.extend(_local_samples(self))
            return [metric]

        keeper = self._keeper
        return collect

    def _remove(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def remove(self: Any, *labelvalues: Any) -> None:
            """Remove a label set in all workers."""
            child = tuple(map(str, labelvalues))
            is_known = is_kept(self) and child in keeper.children(self._name)
            try:
                _quietly(original, self, *labelvalues)
            except KeyError:  # Early versions insist that this worker has it.
                if not is_known:
                    raise
            if is_known:
                keeper.remove(_family(self), [child])

        keeper = self._keeper
        return remove

    def _clear(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clear(self: Any) -> None:
            """Remove all label sets in all workers."""
            _quietly(original, self)
            if self._labelnames and is_kept(self):
                keeper.remove(_family(self), keeper.children(self._name))

        keeper = self._keeper
        return clear

    def _remove_by_labels(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def remove_by_labels(self: Any, labels: dict[str, str]) -> None:
            """Remove all label sets that have these values, in all workers."""
            _quietly(original, self, labels)
            if not labels or not is_kept(self):
                return
            wanted = {self._labelnames.index(name): str(value) for name, value in labels.items()}
            children = keeper.children(self._name)
            keeper.remove(
                _family(self),
                [each for each in children if all(each[at] == value for at, value in wanted.items())],
            )

        keeper = self._keeper
        return remove_by_labels

    def _info(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def info(self: Any, val: dict[str, str]) -> None:
            """Set info metric, for all workers."""
            original(self, val)
            keeper.set_state(info_key(_family(self), self._labelvalues, val), time.time())

        keeper = self._keeper
        return info

    def _state(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def state(self: Any, state: str) -> None:
            """Set enum metric state, for all workers."""
            original(self, state)
            key = Key(_family(self), "", tuple(self._labelvalues))
            keeper.set_state(key, float(self._states.index(state)), time.time())

        keeper = self._keeper
        return state


def _quietly(original: Callable[..., Any], *arguments: Any) -> None:
    """Call without the warning of the other multi-process mode, which cannot do what is done here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-process mode", category=UserWarning)
        original(*arguments)


def _family(metric: Any) -> Family:
    kind = metric._type
    return Family(
        kind,
        getattr(metric, "_multiprocess_mode", "") if kind == "gauge" else "",
        metric._name,
        tuple(metric._labelnames),
        metric._documentation[:1024],
        tuple(metric._states) if kind == "stateset" else (),
    )


def _is_same(metric: Any, family: Family) -> bool:
    other = _family(metric)
    return (other.kind, other.mode, other.label_names) == (family.kind, family.mode, family.label_names)


def is_kept(metric: Any) -> bool:
    """Say whether a metric's values are ours: not if it was made before the hook."""
    if metric._type not in KINDS:
        return False
    if metric._type in ("info", "stateset"):
        return True
    if metric._labelnames and not metric._labelvalues:
        children = metric._metrics
        return not children or is_kept(next(iter(children.values())))
    held = getattr(metric, "_value", None) or getattr(metric, "_sum", None)
    return isinstance(held, Value)


def _has_function(metric: Any) -> bool:
    return "_child_samples" in vars(metric)


def _functions(metric: Any) -> dict[tuple[str, ...], Any]:
    """Give the label sets of a gauge whose value is asked of a function, which runs in this worker alone."""
    if metric._type != "gauge":
        return {}
    if metric._labelnames and not metric._labelvalues:
        with metric._lock:
            children = dict(metric._metrics)
        return {values: child for values, child in children.items() if _has_function(child)}
    return {(): metric} if _has_function(metric) else {}


def _without_local(metric: Any, reading: FamilyReading) -> FamilyReading:
    functions = _functions(metric)
    if not functions:
        return reading
    names = metric._labelnames
    return reading._replace(
        samples=[
            sample
            for sample in reading.samples
            if tuple(sample.labels.get(name, "") for name in names) not in functions
        ]
    )


def _local_samples(metric: Any) -> Iterator[Any]:
    for values, child in _functions(metric).items():
        for sample in child._child_samples():
            labels = dict(zip(metric._labelnames, values, strict=True))
            yield Sample(metric._name, {**labels, **sample[1]}, sample[2])
