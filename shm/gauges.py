"""
Gauges, states and infos: one value of those that many workers have set.

A gauge is combined as its mode says. Each has the time at which it was set
beside it, by which a removal takes what was there before it and nothing else.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from penstock.shm.keylog import Family
from penstock.shm.plans import Child, Plan
from penstock.shm.readings import SampleReading, Source
from penstock.shm.sums import add_up

# Whose cells are values that were set, and not sums.
KINDS: Final = ("gauge", "stateset", "info")

# Of a gauge's modes, those whose samples tell the workers apart.
WORKER_MODES: Final = ("all", "liveall")

# A gauge's value in one source: value, when it was set, its worker, and its source's rank.
_Contribution = tuple[float, float, str, tuple[bool, int]]


def gauge_samples(
    plan: Plan,
    sources: Sequence[Source],
    values: Sequence[Sequence[float]],
    removed: dict[tuple[str, ...], float],
) -> Iterable[SampleReading]:
    mode = plan.family.mode
    is_live_only = mode.startswith("live")
    if mode.endswith("sum") and not any(removed.values()):
        living = frozenset(index for index, source in enumerate(sources) if source.is_live)
        yield from _summed(plan, living if is_live_only else None, values)
        return
    step = plan.family.kind != "info"
    given: list[list[_Contribution]] = [[] for _ in plan.places]
    for index, cells, places in plan.cells:
        source, held = sources[index], values[index]
        if is_live_only and not source.is_live:
            continue
        rank = (source.is_live, source.rank)
        for cell, place in zip(cells, places, strict=True):
            worker = plan.workers[place] or source.worker
            given[place].append((held[cell], held[cell + step], worker, rank))
    for child_values, child in plan.children.items():
        removed_at = removed.get(child_values, 0.0)
        if plan.family.kind == "info":
            yield from _latest_info(plan, child, given, removed_at)
            continue
        contributions = [
            each
            for _, _, place in child.places
            for each in given[place]
            if not removed_at or each[1] > removed_at
        ]
        if contributions:
            yield from _combine(plan.family, child, contributions)


def _summed(
    plan: Plan, living: frozenset[int] | None, values: Sequence[Sequence[float]]
) -> Iterable[SampleReading]:
    """Sum, which is what most gauges do, without looking at each value alone."""
    present = {
        place
        for indexes, _, places in plan.groups
        if living is None or not living.isdisjoint(indexes)
        for place in places
    }
    totals = add_up(plan, values, living)
    for child in plan.children.values():
        for _, labels, place in child.places:
            if place in present:
                yield SampleReading(plan.family.name, labels, totals[place])


def _latest_info(
    plan: Plan, child: Child, given: list[list[_Contribution]], removed_at: float
) -> Iterable[SampleReading]:
    dated = [
        (set_at, position)
        for position, (_, _, place) in enumerate(child.places)
        for set_at, _, _, _ in given[place]
        if set_at > removed_at
    ]
    if dated:
        suffix, labels, _ = child.places[max(dated)[1]]
        yield SampleReading(plan.family.name + suffix, labels, 1.0)


def _combine(family: Family, child: Child, given: list[_Contribution]) -> Iterable[SampleReading]:
    if family.kind == "stateset":
        current = max(given, key=itemgetter(1))[0]
        for number, state in enumerate(family.states):
            labels = {**child.labels, family.name: state}
            yield SampleReading(family.name, labels, float(number == current))
    elif family.mode in WORKER_MODES:
        label = "worker" if "worker" not in family.label_names else "worker_slot"
        by_worker: dict[str, tuple[tuple[bool, int], float]] = {}
        for value, _, worker, rank in given:
            if worker not in by_worker or rank >= by_worker[worker][0]:
                by_worker[worker] = (rank, value)
        for worker, (_, value) in sorted(by_worker.items()):
            yield SampleReading(family.name, {**child.labels, label: worker}, value)
    else:
        yield SampleReading(family.name, child.labels, _combined(family.mode, given))


def _combined(mode: str, given: list[_Contribution]) -> float:
    """Make one value of a gauge's many. Who has never set it has no part in it."""
    kept = [each for each in given if each[1]]
    if not kept:
        return 0.0
    if mode.endswith("min"):
        return min(value for value, _, _, _ in kept)
    if mode.endswith("max"):
        return max(value for value, _, _, _ in kept)
    if mode.endswith("mostrecent"):
        return max(kept, key=itemgetter(1))[0]
    return sum(value for value, _, _, _ in kept)
