"""
The last minutes of latency, in windows of five seconds.

The rows' histograms only ever grow, so what was observed in a window is the
difference between two readings. A reading is one long integer for each row,
its 704 buckets side by side: to add histograms, or to subtract them, is then
one operation, and a bucket never carries into the next.

`LatencyHistory` keeps readings and works out quantiles; it knows of no segment
and no clock. `read_durations` reads the segment, and no row that is idle.
"""

from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

import msgspec

from penstock.shm import names
from penstock.shm.histogram import BUCKET_COUNT, quantile
from penstock.shm.layout import WORD_SIZE
from penstock.shm.row import Kind
from penstock.shm.segment import Segment

WINDOW_S: Final = 5.0

# As many minutes as the rings hold samples.
POINT_COUNT_MAX: Final = 48

# One request in a thousand says nothing of fewer.
P999_REQUESTS_MIN: Final = 1000

# A reply overlaps the one before by so much.
OVERLAP_S: Final = 2.0

# A bucket that fell borrows from its neighbour, and looks as if it had grown by more than this.
_BUCKET_GROWTH_MAX: Final = 2**62

_HISTOGRAM_BYTES: Final = BUCKET_COUNT * WORD_SIZE


class RowDurations(msgspec.Struct, frozen=True):
    """What a row's owners have observed since the segment was made, all routes together."""

    claim: int
    slot: int
    marks: tuple[int, ...]  # change with every observation
    buckets: int  # 704 words as one integer


def read_durations(segment: Segment, before: Mapping[int, RowDurations]) -> dict[int, RowDurations]:
    """
    Read the histograms of all rows that a worker owns, by row index.

    Of each histogram two words are looked at: the sum, and the bucket of 0 µs,
    which leaves the sum alone. Where neither has moved since `before`, nothing
    else is read; where both are 0, nothing was ever observed.
    """
    found = {}
    for row in segment.claimed_rows():
        reading = row.read()
        if reading is None or reading.kind is not Kind.WORKER or not reading.is_current:
            continue
        firsts = row.series.words_of(names.REQUEST_DURATION)
        if reading.slot is None or not firsts:
            continue
        look = itemgetter(*firsts, *(first + 1 for first in firsts))
        marks = look(row.cells)
        known = before.get(row.index)
        if known is not None and known.claim == reading.claim and known.marks == marks:
            found[row.index] = known
            continue
        buckets = 0
        for first, total_us, at_once in zip(firsts, marks, marks[len(firsts) :], strict=False):
            if total_us or at_once:
                buckets += int.from_bytes(row.cells[first + 1 : first + 1 + BUCKET_COUNT], "little")
        found[row.index] = RowDurations(reading.claim, reading.slot, marks, buckets)
    return found


class LatencyHistory:
    """Quantiles of each window, over all slots and by slot."""

    def __init__(self) -> None:
        self.latest: Mapping[int, RowDurations] = {}
        self._points: deque[dict[str, Any]] = deque(maxlen=POINT_COUNT_MAX)

    def add(self, time_s: float, rows: Mapping[int, RowDurations]) -> None:
        """
        End a window. The first reading of an owner is where his first window begins.

        A window in which no request was answered is no point: there is nothing
        to say of it.
        """
        if self._points and time_s < self._points[-1]["t"]:
            self._points.clear()  # The clock was set back.
        by_slot: dict[int, int] = {}
        for index, row in rows.items():
            grown = _growth(self.latest.get(index), row)
            if grown:
                by_slot[row.slot] = by_slot.get(row.slot, 0) + grown
        self.latest = rows
        if by_slot:
            self._points.append(_point(time_s, by_slot))

    def since(self, time_s: float) -> list[dict[str, Any]]:
        """Give the points after a time, and a moment before it."""
        return [point for point in self._points if point["t"] > time_s - OVERLAP_S]


def _growth(before: RowDurations | None, after: RowDurations) -> int:
    """Subtract, or give 0 where that would make no sense: another owner, a counter that fell."""
    if before is None or before.claim != after.claim or before.buckets == after.buckets:
        return 0
    grown = after.buckets - before.buckets
    if grown < 0 or grown.bit_length() > 8 * _HISTOGRAM_BYTES:
        return 0
    return grown if max(_words(grown)) < _BUCKET_GROWTH_MAX else 0


def _point(time_s: float, by_slot: Mapping[int, int]) -> dict[str, Any]:
    total = _words(sum(by_slot.values()))
    count = sum(total)
    point = {
        "t": time_s,
        "requests": count,
        "p50_s": _seconds(total, 0.5),
        "p95_s": _seconds(total, 0.95),
        "p99_s": _seconds(total, 0.99),
        "slots": {str(slot): _slot_point(_words(grown)) for slot, grown in sorted(by_slot.items())},
    }
    if count >= P999_REQUESTS_MIN:
        point["p999_s"] = _seconds(total, 0.999)
    return point


def _slot_point(buckets: list[int]) -> dict[str, float]:
    return {"p50_s": _seconds(buckets, 0.5), "p99_s": _seconds(buckets, 0.99)}


def _seconds(buckets: list[int], q: float) -> float:
    us = quantile(buckets, q)
    assert us is not None
    return us / 1e6


def _words(added: int) -> list[int]:
    return memoryview(added.to_bytes(_HISTOGRAM_BYTES, "little")).cast("Q").tolist()
