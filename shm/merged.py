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

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from penstock.shm import gauges
from penstock.shm.exemplars import ExemplarReading, read_exemplars
from penstock.shm.keylog import Key
from penstock.shm.plans import Plan, make_plan
from penstock.shm.readings import DecodedKeys, FamilyReading, Source
from penstock.shm.sums import add_up, progress_of, sum_samples

# Metrics that come and go leave plans behind, which are thrown away when there are so many.
_PLANS_MAX: Final = 4096


class Merger:
    """Reads the same sources again and again. Not for two threads at once."""

    def __init__(self) -> None:
        self._decoded: dict[Hashable, DecodedKeys] = {}
        self._plans: dict[str, Plan] = {}
        self._counts: list[tuple[Hashable, int]] = []

    def families(
        self, sources: Sequence[Source], *, with_exemplars: bool = False
    ) -> tuple[list[FamilyReading], int]:
        """
        Give every family, for the whole exposition, and count what had to be left out.

        That is: what an area has under a name that means something else, and
        areas whose log cannot be read to its end.
        """
        decoded = self._refresh(sources)
        names = sorted({name for each in decoded for name in each.by_name})
        values = [each.area.values[: each.count].tolist() for each in decoded]
        readings = []
        left_out = sum(each.reader.is_damaged for each in decoded)
        exemplars = Exemplars(decoded) if with_exemplars else None
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
        return _read(plan, sources, values, Exemplars(decoded) if with_exemplars else None)

    def total(self, sources: Sequence[Source], key: Key) -> float:
        """Add up what all sources have counted under a key."""
        decoded = self._refresh(sources)
        if not any(key.family.name in each.by_name for each in decoded):
            return 0.0
        plan = self._plan(key.family.name, sources, decoded)
        place = plan.places.get((key.suffix, key.values))
        return 0.0 if place is None else add_up(plan, [each.area.values for each in decoded])[place]

    def progress(self, sources: Sequence[Source], name: str) -> dict[tuple[str, ...], float | None]:
        """Give the label sets of a family, and how far each has counted; of a gauge that is None."""
        decoded = self._refresh(sources)
        if not any(name in each.by_name for each in decoded):
            return {}
        plan = self._plan(name, sources, decoded)
        if plan.family.kind in gauges.KINDS:
            return dict.fromkeys(plan.children)
        totals = add_up(plan, [each.area.values for each in decoded])
        return {values: progress_of(child, totals) for values, child in plan.children.items()}

    def _refresh(self, sources: Sequence[Source]) -> list[DecodedKeys]:
        decoded = []
        for source in sources:
            each = self._decoded.get(source.identity)
            if each is None:
                each = self._decoded[source.identity] = DecodedKeys(source)
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

    def _plan(self, name: str, sources: Sequence[Source], decoded: Sequence[DecodedKeys]) -> Plan:
        plan = self._plans.get(name)
        if plan is not None and plan.is_fresh_for is self._counts:
            return plan
        signature: list[int] = []
        for each in decoded:
            signature += (id(each), len(each.by_name.get(name, ())))
        if plan is None or plan.signature != signature:
            plan = self._plans[name] = make_plan(name, signature, sources, decoded)
        plan.is_fresh_for = self._counts
        return plan


class Exemplars:
    """The exemplars of all sources, read once and only if somebody asks."""

    def __init__(self, decoded: Iterable[DecodedKeys]) -> None:
        self._by_source = [read_exemplars(each.area.exemplars) for each in decoded]
        self.is_empty = not any(self._by_source)

    def by_place(self, plan: Plan) -> dict[int, ExemplarReading]:
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


def _read(
    plan: Plan,
    sources: Sequence[Source],
    values: Sequence[Sequence[float]],
    exemplars: Exemplars | None,
) -> FamilyReading:
    removed: dict[tuple[str, ...], float] = {}
    for index, cell, child in plan.removals:
        removed[child] = max(removed.get(child, 0.0), values[index][cell])
    if plan.family.kind in gauges.KINDS:
        return FamilyReading(plan.family, list(gauges.gauge_samples(plan, sources, values, removed)))
    found = exemplars.by_place(plan) if exemplars is not None else {}
    return FamilyReading(plan.family, list(sum_samples(plan, add_up(plan, values), removed, found)))
