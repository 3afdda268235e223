"""
The areas of a segment's rows and bases as sources for the merger.

Whoever wants the app's metrics looks through this: a worker for the app's own
`/metrics`, the admin process for its.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from penstock.shm import layout
from penstock.shm.base import Base
from penstock.shm.folding import counting_rows, steadily
from penstock.shm.readings import Source
from penstock.shm.row import Row, State
from penstock.shm.segment import Segment
from penstock.shm.values import ValueArea

Found = TypeVar("Found")


class AppValues:
    """The app's values of one segment and its ancestors."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        # By row: the claim, whether its owner lives, and what was made of them.
        self._known: dict[int, tuple[int, bool, Source]] = {}

    def look(self, reading: Callable[[Sequence[Source]], Found]) -> Found:
        """Read while nothing is folded. Raises Unsteady."""
        return steadily(self._segment, lambda: reading(self._sources()))

    def _sources(self) -> list[Source]:
        found = []
        for segment in (*self._segment.living_ancestors(), self._segment):
            identity = ("base", segment.serial, segment.folds)
            found.append(Source(identity, area_of(segment.base), is_live=False, rank=0))
            found += [self._source(row) for row in counting_rows(segment)]
        return found

    def _source(self, row: Row) -> Source:
        line, owner = row.master, row.owner
        claim = line[layout.MASTER_CLAIM]
        is_live = line[layout.MASTER_STATE] != State.FREE and owner[layout.OWNER_CLAIM] == claim
        known = self._known.get(row.index)
        if known is not None and known[:2] == (claim, is_live):
            return known[2]
        slot = row.slot
        source = Source(
            ("row", row.index, claim),
            area_of(row),
            "" if slot is None else str(slot),
            is_live,
            line[layout.MASTER_SPAWNED_NS],
        )
        self._known[row.index] = (claim, is_live, source)
        return source


def area_of(holder: Row | Base) -> ValueArea:
    """Give the three sections of a row or a base that hold the app's values."""
    return ValueArea(holder.values, holder.keys, holder.exemplars)
