"""
Counters, histograms and summaries: what all areas have counted, as samples.

One row that says nonsense must not spoil the others.
"""

import math
from collections.abc import Iterable, Sequence

from penstock.shm.exemplars import ExemplarReading
from penstock.shm.plans import Child, Plan
from penstock.shm.readings import SampleReading


def add_up(
    plan: Plan, values: Sequence[Sequence[float]], living: frozenset[int] | None = None
) -> list[float]:
    """Add up all sources, or the living ones."""
    totals = [0.0] * len(plan.places)
    for group_indexes, pick, places in plan.groups:
        indexes = group_indexes if living is None else [each for each in group_indexes if each in living]
        columns = zip(*(pick(values[index]) for index in indexes), strict=True)
        for place, total in zip(places, map(sum, columns), strict=False):  # No columns where nobody lives.
            totals[place] += total
    return _sane_totals(plan, values, living) if any(map(math.isnan, totals)) else totals


def _sane_totals(plan: Plan, values: Sequence[Sequence[float]], living: frozenset[int] | None) -> list[float]:
    """Add up again, without what is no number: one row that says nonsense must not spoil the others."""
    totals = [0.0] * len(plan.places)
    for index, cells, places in plan.cells:
        if living is not None and index not in living:
            continue
        for cell, place in zip(cells, places, strict=True):
            value = values[index][cell]
            if not math.isnan(value):
                totals[place] += value
    return totals


def sum_samples(
    plan: Plan,
    totals: list[float],
    removed: dict[tuple[str, ...], float],
    exemplars: dict[int, ExemplarReading],
) -> Iterable[SampleReading]:
    name = plan.family.name
    for values, child in plan.children.items():
        if values in removed and progress_of(child, totals) < removed[values]:
            continue
        if child.bounds:
            count = 0.0
            for _, labels, place in child.bounds:
                count += totals[place]
                yield SampleReading(name + "_bucket", labels, count, exemplars.get(place))
            if not math.isinf(child.bounds[-1][0]):  # Its owner died, or its room ended, in between.
                yield SampleReading(name + "_bucket", {**child.labels, "le": "+Inf"}, count)
            yield SampleReading(name + "_count", child.labels, count)
            if child.bounds[0][0] < 0:
                continue  # With negative observations the sum is no counter.
        for suffix, labels, place in child.places:
            if plan.family.kind != "histogram" or child.bounds:
                yield SampleReading(name + suffix, labels, totals[place], exemplars.get(place))


def progress_of(child: Child, totals: list[float]) -> float:
    """Give the number that tells whether a label set was used again: whatever is counted by ones."""
    if child.bounds:
        return sum(totals[place] for _, _, place in child.bounds)
    return next((totals[place] for suffix, _, place in child.places if suffix != "_sum"), 0.0)
