"""
The app's metrics over all rows and the base, as families with samples.

What is read again at each scrape are the values. Keys are decoded once for each
owner of a row, and how the cells of many rows come together in one sample is
worked out once for each set of rows and keys.

- Counters, histograms and summaries are added up over whoever ever counted.
- A gauge is combined as its mode says; the `live` modes take living workers.
- A label set that somebody removed is left out until it is used again. Of a
  gauge that is a value set after the removal. What only grows is compared with
  what it had come to, so the total goes on from there and never falls.
- If rows disagree about what a metric is, the youngest has it its way.

Nothing here raises because of what an area holds.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from penstock.shm.exemplars import ExemplarReading, read_exemplars
from penstock.shm.keylog import Family, Key, KeyReader
from penstock.shm.values import REMOVED, ValueArea, width

# Of a gauge's modes, those whose samples tell the workers apart.
WORKER_MODES: Final = ("all", "liveall")

# Metrics that come and go leave plans behind, which are thrown away when there are so many.
_PLANS_MAX: Final = 4096


class Source(NamedTuple):
    """An area to be merged, and what is known of its owner."""

    identity: Hashable  # another one when the log has begun anew
    area: ValueArea
    worker: str = ""  # the label of its gauges
    is_live: bool = True
    rank: int = 0  # of two that disagree, the higher one is the younger


class SampleReading(NamedTuple):
    """One line of an exposition. The labels are shared and must not be changed."""

    name: str
    labels: dict[str, str]
    value: float
    exemplar: ExemplarReading | None = None


class FamilyReading(NamedTuple):
    """A metric with all its samples."""

    family: Family
    samples: list[SampleReading]


class _Decoded:
    """The keys of one area, as far as they were read."""

    def __init__(self, source: Source) -> None:
        self.area = source.area
        self.reader = KeyReader(source.area.keys)
        self.by_name: dict[str, list[tuple[int, Key]]] = {}
        self.count = 0  # of cells that are known

    def catch_up(self) -> None:
        """Read the keys that were added."""
        if self.reader.end >= self.reader.used:
            return
        for key in self.reader.read():
            end = self.count + width(key)
            if end > len(self.area.values):
                return
            self.by_name.setdefault(key.family.name, []).append((self.count, key))
            self.count = end


@dataclass(slots=True)
class _Child:
    """One label set of a family: its samples' places in the totals, or in the list of contributions."""

    labels: dict[str, str]
    places: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    bounds: list[tuple[float, dict[str, str], int]] = field(default_factory=list)


class _Group(NamedTuple):
    """
    Sources that have the same cells of a family in the same places, as most have that run the same app.

    Their cells are added column by column, which is five times as fast as one by one.
    """

    indexes: list[int]  # of the sources
    pick: Callable[[Sequence[float]], Iterable[float]]
    places: list[int]


@dataclass(slots=True)
class _Plan:
    """How the cells of all sources come together in the samples of one family."""

    signature: list[int]
    is_fresh_for: object  # the reading for which the signature was last looked at
    family: Family
    left_out: int  # sources whose idea of this metric is another
    places: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)
    children: dict[tuple[str, ...], _Child] = field(default_factory=dict)
    # By source: its cells, and the places that they are added to.
    cells: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    groups: list[_Group] = field(default_factory=list)  # the same again, to be added up
    # By source: cells of removals.
    removals: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)  # by place, in a base that tells them apart


class Merger:
    """Reads the same sources again and again. Not for two threads at once."""

    def __init__(self) -> None:
        self._decoded: dict[Hashable, _Decoded] = {}
        self._plans: dict[str, _Plan] = {}
        self._counts: list[tuple[Hashable, int]] = []

    def families(
        self, sources: Sequence[Source], *, with_exemplars: bool = False
    ) -> tuple[list[FamilyReading], int]:
        """Give every family, and how many disagreements about one there were. For the whole exposition."""
        decoded = self._refresh(sources)
        names = sorted({name for each in decoded for name in each.by_name})
        values = [each.area.values[: each.count].tolist() for each in decoded]
        readings = []
        left_out = 0
        exemplars = _Exemplars(decoded) if with_exemplars else None
        for name in names:
            plan = self._plan(name, sources, decoded)
            left_out += plan.left_out
            reading = _read(plan, sources, values, exemplars)
            if reading.samples:
                readings.append(reading)
        return readings, left_out

    def family(
        self, sources: Sequence[Source], name: str, *, with_exemplars: bool = True
    ) -> FamilyReading | None:
        """Give one family, if anybody has it, at the cost of that one alone."""
        decoded = self._refresh(sources)
        if not any(name in each.by_name for each in decoded):
            return None
        plan = self._plan(name, sources, decoded)
        values = [each.area.values for each in decoded]
        return _read(plan, sources, values, _Exemplars(decoded) if with_exemplars else None)

    def total(self, sources: Sequence[Source], key: Key) -> float:
        """Add up what all sources have counted under a key."""
        decoded = self._refresh(sources)
        plan = self._plan(key.family.name, sources, decoded)
        place = plan.places.get((key.suffix, key.values))
        return 0.0 if place is None else _totals(plan, [each.area.values for each in decoded])[place]

    def progress(self, sources: Sequence[Source], name: str) -> dict[tuple[str, ...], float | None]:
        """Give the label sets of a family, and how far each has counted; of a gauge that is None."""
        decoded = self._refresh(sources)
        if not any(name in each.by_name for each in decoded):
            return {}
        plan = self._plan(name, sources, decoded)
        if plan.family.kind in ("gauge", "stateset", "info"):
            return dict.fromkeys(plan.children)
        totals = _totals(plan, [each.area.values for each in decoded])
        return {values: _progress(child, totals) for values, child in plan.children.items()}

    def _refresh(self, sources: Sequence[Source]) -> list[_Decoded]:
        decoded = []
        for source in sources:
            each = self._decoded.get(source.identity)
            if each is None:
                each = self._decoded[source.identity] = _Decoded(source)
            each.catch_up()
            decoded.append(each)
        counts = [(source.identity, each.count) for source, each in zip(sources, decoded, strict=True)]
        if counts != self._counts:
            self._counts = counts  # Another object, so that every plan is looked at again.
        if len(self._decoded) > 2 * len(sources) + 16:
            self._decoded = {source.identity: each for source, each in zip(sources, decoded, strict=True)}
            self._plans.clear()
        if len(self._plans) > _PLANS_MAX:
            self._plans.clear()
        return decoded

    def _plan(self, name: str, sources: Sequence[Source], decoded: Sequence[_Decoded]) -> _Plan:
        plan = self._plans.get(name)
        if plan is not None and plan.is_fresh_for is self._counts:
            return plan
        signature: list[int] = []
        for each in decoded:
            signature += (id(each), len(each.by_name.get(name, ())))
        if plan is None or plan.signature != signature:
            plan = self._plans[name] = _make_plan(name, signature, sources, decoded)
        plan.is_fresh_for = self._counts
        return plan


class _Exemplars:
    """The exemplars of all sources, read once and only if somebody asks."""

    def __init__(self, decoded: Iterable[_Decoded]) -> None:
        self._by_source = [read_exemplars(each.area.exemplars) for each in decoded]
        self.is_empty = not any(self._by_source)

    def by_place(self, plan: _Plan) -> dict[int, ExemplarReading]:
        found: dict[int, ExemplarReading] = {}
        if self.is_empty:
            return found
        for index, cells, places in plan.cells:
            held = self._by_source[index]
            for cell, place in zip(cells, places, strict=True) if held else ():
                exemplar = held.get(cell)
                if exemplar and (place not in found or exemplar.timestamp > found[place].timestamp):
                    found[place] = exemplar
        return found


def _make_plan(
    name: str, signature: list[int], sources: Sequence[Source], decoded: Sequence[_Decoded]
) -> _Plan:
    holders = [index for index, each in enumerate(decoded) if name in each.by_name]
    youngest = max(holders, key=lambda index: (sources[index].is_live, sources[index].rank))
    family = decoded[youngest].by_name[name][-1][1].family
    shape = (family.kind, family.mode, family.label_names)
    plan = _Plan(signature=signature, is_fresh_for=None, family=family, left_out=0)
    for index in holders:
        cells: list[int] = []
        places: list[int] = []
        is_other = False
        for cell, key in decoded[index].by_name[name]:
            if (key.family.kind, key.family.mode, key.family.label_names) != shape:
                is_other = True
            elif key.suffix == REMOVED:
                plan.removals.append((index, cell, key.child))
            else:
                cells.append(cell)
                places.append(_place(plan, key))
        plan.left_out += is_other
        plan.cells.append((index, cells, places))
    plan.groups = _groups(plan.cells)
    for child in plan.children.values():
        child.bounds.sort(key=lambda bound: bound[0])
    return plan


def _groups(cells_by_source: Iterable[tuple[int, list[int], list[int]]]) -> list[_Group]:
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], _Group] = {}
    for index, cells, places in cells_by_source:
        if not cells:
            continue
        layout = (tuple(cells), tuple(places))
        group = groups.get(layout)
        if group is None:
            group = groups[layout] = _Group([], _picker(cells), places)
        group.indexes.append(index)
    return list(groups.values())


def _picker(cells: list[int]) -> Callable[[Sequence[float]], Iterable[float]]:
    if cells[-1] - cells[0] == len(cells) - 1:
        return itemgetter(slice(cells[0], cells[-1] + 1))
    return itemgetter(*cells)


def _place(plan: _Plan, key: Key) -> int:
    known = (f"{key.suffix}@{key.worker}" if key.worker else key.suffix, key.values)
    place = plan.places.get(known)
    if place is not None:
        return place
    place = plan.places[known] = len(plan.places)
    plan.workers.append(key.worker)
    family = plan.family
    child = plan.children.get(key.child)
    if child is None:
        child = plan.children[key.child] = _Child(dict(zip(family.label_names, key.child, strict=True)))
    if key.suffix == "_bucket" and family.kind == "histogram":
        try:
            bound = float(key.values[-1])
        except ValueError:
            return place
        child.bounds.append((bound, {**child.labels, "le": key.values[-1]}, place))
    elif family.kind == "info":
        child.places.append((key.suffix, _info_labels(child.labels, key), place))
    else:
        child.places.append((key.suffix, child.labels, place))
    return place


def _info_labels(labels: dict[str, str], key: Key) -> dict[str, str]:
    try:
        return labels | msgspec.json.decode(key.values[-1], type=dict[str, str])
    except msgspec.MsgspecError:
        return labels


def _read(
    plan: _Plan,
    sources: Sequence[Source],
    values: Sequence[Sequence[float]],
    exemplars: _Exemplars | None,
) -> FamilyReading:
    removed: dict[tuple[str, ...], float] = {}
    for index, cell, child in plan.removals:
        removed[child] = max(removed.get(child, 0.0), values[index][cell])
    if plan.family.kind in ("gauge", "stateset", "info"):
        return FamilyReading(plan.family, list(_gauges(plan, sources, values, removed)))
    found = exemplars.by_place(plan) if exemplars is not None else {}
    return FamilyReading(plan.family, list(_sums(plan, _totals(plan, values), removed, found)))


def _totals(
    plan: _Plan, values: Sequence[Sequence[float]], living: frozenset[int] | None = None
) -> list[float]:
    """Add up all sources, or the living ones."""
    totals = [0.0] * len(plan.places)
    for group_indexes, pick, places in plan.groups:
        indexes = group_indexes if living is None else [each for each in group_indexes if each in living]
        columns = zip(*(pick(values[index]) for index in indexes), strict=True)
        for place, total in zip(places, map(sum, columns), strict=False):  # No columns where nobody lives.
            totals[place] += total
    return _sane_totals(plan, values) if any(map(math.isnan, totals)) else totals


def _sane_totals(plan: _Plan, values: Sequence[Sequence[float]]) -> list[float]:
    """Add up again, without what is no number: one row that says nonsense must not spoil the others."""
    totals = [0.0] * len(plan.places)
    for index, cells, places in plan.cells:
        for cell, place in zip(cells, places, strict=True):
            value = values[index][cell]
            if not math.isnan(value):
                totals[place] += value
    return totals


def _sums(
    plan: _Plan,
    totals: list[float],
    removed: dict[tuple[str, ...], float],
    exemplars: dict[int, ExemplarReading],
) -> Iterable[SampleReading]:
    name = plan.family.name
    for values, child in plan.children.items():
        if values in removed and _progress(child, totals) < removed[values]:
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


def _progress(child: _Child, totals: list[float]) -> float:
    """Give the number that tells whether a label set was used again: whatever is counted by ones."""
    if child.bounds:
        return sum(totals[place] for _, _, place in child.bounds)
    return next((totals[place] for suffix, _, place in child.places if suffix != "_sum"), 0.0)


# A gauge's value in one source: value, when it was set, its worker, and its source's rank.
_Contribution = tuple[float, float, str, tuple[bool, int]]


def _gauges(
    plan: _Plan,
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
    plan: _Plan, living: frozenset[int] | None, values: Sequence[Sequence[float]]
) -> Iterable[SampleReading]:
    """Sum, which is what most gauges do, without looking at each value alone."""
    present = {
        place
        for indexes, _, places in plan.groups
        if living is None or not living.isdisjoint(indexes)
        for place in places
    }
    totals = _totals(plan, values, living)
    for child in plan.children.values():
        for _, labels, place in child.places:
            if place in present:
                yield SampleReading(plan.family.name, labels, totals[place])


def _latest_info(
    plan: _Plan, child: _Child, given: list[list[_Contribution]], removed_at: float
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


def _combine(family: Family, child: _Child, given: list[_Contribution]) -> Iterable[SampleReading]:
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
