"""
The metrics of the hosted apps, as far as they can be shown among the built-in ones.

The names are the app's to choose, so nothing here may fail for what they are: a
family that cannot be shown is left out and counted, and the others are shown.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock.shm.app_values import AppValues
from penstock.shm.merged import Merger
from penstock.shm.readings import FamilyReading
from penstock.shm.segment import Segment
from penstock.shm.values import CONFLICTS, DROPPED
from penstock.worker.appmetrics.collection import to_metric

# What the shared memory says of itself by way of the app's metrics.
_OURS: Final = frozenset({DROPPED.family.name, CONFLICTS.family.name})

# Ours to give. An app that has such a name would change its meaning, now or in a release to come.
_RESERVED: Final = "penstock_"

LEFT_OUT: Final = "penstock_app_families_left_out"

_SUFFIXES: Final[dict[str, tuple[str, ...]]] = {
    "counter": ("", "_total", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "histogram": ("", "_sum", "_count", "_bucket", "_created"),
    "info": ("", "_info"),
}


class Families(Collector):
    """Families that are already made, in the shape in which the exposition wants them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Give them."""
        return self._families


class AppFamilies:
    """Reads the apps' metrics again and again."""

    def __init__(self, segment: Segment) -> None:
        self._values = AppValues(segment)
        self._merger = Merger()

    def read(self, *, with_exemplars: bool) -> tuple[list[FamilyReading], int]:
        """Give all families, and how many areas have another idea of one."""
        return self._values.look(
            lambda sources: self._merger.families(sources, with_exemplars=with_exemplars)
        )


def choose(readings: tuple[list[FamilyReading], int], built_in: Sequence[Metric]) -> tuple[list[Metric], int]:
    """Choose the families that can stand beside the built-in ones, and count those that cannot."""
    families, left_out = readings
    taken = {name for metric in built_in for name in _names(metric)}
    chosen = []
    for reading in families:
        metric = _made(reading)
        if metric is None or taken.intersection(_names(metric)):
            left_out += 1
            continue
        taken.update(_names(metric))
        chosen.append(metric)
    return chosen, left_out


def expose(
    encode: Callable[[Collector], bytes], built_in: Sequence[Metric], chosen: list[Metric], left_out: int
) -> bytes:
    """Encode everything, or all that can be encoded."""
    try:
        return encode(Families([*built_in, *chosen, _count(left_out)]))
    except Exception:
        sound = [metric for metric in chosen if _can_encode(encode, metric)]
        return encode(Families([*built_in, *sound, _count(left_out + len(chosen) - len(sound))]))


def _count(left_out: int) -> Metric:
    count = Metric(LEFT_OUT, "Metrics of the app that cannot be shown here; see the documentation.", "gauge")
    count.add_sample(LEFT_OUT, {}, left_out)
    return count


def _made(reading: FamilyReading) -> Metric | None:
    name = reading.family.name
    if name.startswith(_RESERVED) and name not in _OURS:
        return None
    try:
        return to_metric(reading)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _names(metric: Metric) -> Iterable[str]:
    """List what a family claims, as a client sees it that can only read the old characters."""
    name = "".join(
        each if each.isascii() and (each.isalnum() or each in "_:") else "_" for each in metric.name
    )
    return [name + suffix for suffix in _SUFFIXES.get(metric.type, ("",))]


def _can_encode(encode: Callable[[Collector], bytes], metric: Metric) -> bool:
    try:
        encode(Families([metric]))
    except Exception:
        return False
    return True
