"""
Folding: adding to the base what a row has counted whose owner is gone.

Nothing that anybody counted may be missing or be there twice, at whatever store
the master dies, and however often a reader looks meanwhile. So there are two
copies of the base, and one word in the header that says how often was folded:
its parity names the copy that holds.

    1.  the copy that does not hold gets the sums, and the claim of the row
    2.  the word is moved on: from this store on the row's counts are in the base
    3.  the row is wiped, and then marked as empty

A reader that finds a row's claim in the base leaves the row out. Before 2 the
base has neither; after it the row may be wiped, half wiped or whole. Broken off
anywhere, it is done again from the start if 2 was not reached, and else from 3.

A reader that began before 2 and ends after it has seen two states of the world.
It compares the word from before with the one after, and looks again.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from penstock.shm import layout
from penstock.shm.base import Base
from penstock.shm.fence import reader_fence
from penstock.shm.histogram import WORD_COUNT as HISTOGRAM_WORDS
from penstock.shm.legacies import fold_values
from penstock.shm.row import Row
from penstock.shm.series import Series, SeriesFull, SeriesTable
from penstock.shm.values import ValueArea

if TYPE_CHECKING:
    from penstock.shm.segment import Segment

Found = TypeVar("Found")

# A process that counted a billion a second would need three months to get there: more is damage.
COUNT_MAX: Final = 2**53

# A fold takes some milliseconds, and so does a look. This many misses in a row are not bad luck.
LOOKS_MAX: Final = 1000


class Unsteady(Exception):
    """The base did not hold still for a single look."""


def steadily(segment: "Segment", look: Callable[[], Found]) -> Found:
    """Look at base and rows until nothing was folded meanwhile. Raises Unsteady."""
    for _ in range(LOOKS_MAX):
        before = _folds(segment)
        reader_fence()
        found = look()
        reader_fence()
        if _folds(segment) == before:
            return found
    raise Unsteady(f"rows were folded during each of {LOOKS_MAX} looks")


def _folds(segment: "Segment") -> list[int]:
    return [each.folds for each in (segment, *segment.ancestors)]


def counting_rows(segment: "Segment") -> list[Row]:
    """List the rows of this very segment whose counts are not in its base. For use within `steadily`."""
    folded = segment.base.folded
    counting = [row for row in segment.own_rows() if folded[row.number] != row.claim_number]
    reader_fence()  # Who sees a claim must see as well that the row was wiped before it.
    return counting


def fold_row(
    bases: tuple[Base, Base],
    header: memoryview,
    series: Sequence[Series],
    row: Row,
    others: Sequence[Row] | None = None,
) -> None:
    """Do 1 and 2 for a row that is free. `others` are all rows that may count, unless some are not known."""
    with _Fold(bases, header) as fold:
        fold.add_cells([(each, each) for each in series], row.cells)
        fold.add_values(row.values, row.keys, row.exemplars, slot=row.slot, others=others)
        fold.after.folded[row.number] = row.claim_number


def fold_segment(
    bases: tuple[Base, Base], header: memoryview, series: SeriesTable, ancestor: "Segment"
) -> int:
    """
    Add the base of an ancestor, all of whose rows are folded there, to the base of its heir.

    Returns how many of its series have no room here.
    """
    pairs, lost = [], 0
    for each in ancestor.series.entries():
        try:
            first = series.define(each.name, each.kind, each.labels)
        except SeriesFull:
            lost += 1
        else:
            pairs.append((each, Series(each.name, each.kind, each.labels, first)))
    base = ancestor.base
    with _Fold(bases, header) as fold:
        fold.add_cells(pairs, base.cells)
        fold.add_values(base.values, base.keys, base.exemplars, slot=None)
        fold.after.line[layout.BASE_FOLDED_SERIAL] = ancestor.serial + 1
    return lost


class _Fold:
    """Writes the copy of the base that does not hold, and makes it hold unless something goes wrong."""

    def __init__(self, bases: tuple[Base, Base], header: memoryview) -> None:
        self._header = header
        self._folds = int(header[layout.HEADER_FOLDS])
        self.before = bases[self._folds & 1]
        self.after = bases[self._folds + 1 & 1]

    def __enter__(self) -> "_Fold":
        self.after.line[:] = self.before.line
        self.after.folded[:] = self.before.folded
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._header[layout.HEADER_FOLDS] = self._folds + 1

    def add_cells(self, pairs: Sequence[tuple[Series, Series]], cells: memoryview) -> None:
        """Add counters and histograms, from where the first of a pair has them to where the second does."""
        before, after = self.before.cells, self.after.cells
        for source, target in pairs:
            if source.kind == "counter":
                after[target.first] = before[target.first] + _count(cells[source.first])
            elif source.kind == "histogram":
                _add_histogram(before, after, target.first, cells, source.first)

    def add_values(
        self,
        values: "memoryview[float]",
        keys: memoryview,
        exemplars: memoryview,
        *,
        slot: int | None,
        others: Sequence[Row] | None = None,
    ) -> None:
        """Add the app's own numbers."""
        source = ValueArea(values, keys, exemplars)
        fold_values(
            source,
            _area(self.before),
            _area(self.after),
            slot=slot,
            others=None if others is None else lambda: map(_area, others),
        )


def _area(holder: Base | Row) -> ValueArea:
    return ValueArea(holder.values, holder.keys, holder.exemplars)


def _count(value: int) -> int:
    """Take a count as it stands, unless nobody can have counted that far."""
    return value if value < COUNT_MAX else 0


def _add_histogram(
    before: memoryview, after: memoryview, target: int, cells: memoryview, source: int
) -> None:
    """
    Add one histogram, if there is anything in it.

    Durations of 0 µs are all in the first bucket, so where it and the sum are
    zero the histogram is empty, and its pages need not be touched. That goes for
    all three: a fold that was broken off may have left something in the copy
    that does not hold, and it stored these two words first.
    """
    is_counted = cells[source] or cells[source + 1]
    is_known = before[target] or before[target + 1] or after[target] or after[target + 1]
    if not is_counted and not is_known:
        return
    counts = before[target : target + HISTOGRAM_WORDS].tolist()
    if is_counted:
        added = map(_count, cells[source : source + HISTOGRAM_WORDS].tolist())
        counts = [count + more for count, more in zip(counts, added, strict=True)]
    after[target : target + HISTOGRAM_WORDS] = memoryview(array("Q", counts))
