"""
One set of numbers over all rows.

Counters and histograms are summed over every row and the base, so a total never
falls, whoever died, and so it is over a hot restart to another layout. Gauges
are summed over current owners only. Nothing here raises because of what a row
holds: a row that makes no sense is counted in `rows_corrupt`, and its gauges
are left out.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

import msgspec

from penstock.shm.fence import reader_fence
from penstock.shm.folding import counting_rows, steadily
from penstock.shm.histogram import BUCKET_COUNT
from penstock.shm.layout import WORD_SIZE
from penstock.shm.row import ReadRow, Row, RowReading
from penstock.shm.segment import Segment
from penstock.shm.series import Labels, Series

_NO_BUCKETS: Final = (0,) * BUCKET_COUNT


class HistogramTotal(msgspec.Struct, frozen=True):
    """A histogram summed over the rows."""

    sum_us: int
    buckets: Sequence[int]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the segment counts, and the lines of its rows, as of one reading."""

    counters: list[tuple[Series, int]]
    gauges: list[tuple[Series, int]]
    histograms: list[tuple[Series, HistogramTotal]]
    rows: list[RowReading]  # those that make sense, free ones included
    rows_corrupt: int


def totals(segment: Segment, read: ReadRow = Row.read, wants: Callable[[str], bool] | None = None) -> Totals:
    """
    Read and sum the whole segment, and its ancestors; of the series only those whose names one `wants`.

    Each word is read once and whole, but not all at one moment: two totals
    that move together may be one event apart. Raises Unsteady, which takes a
    fold during each of a thousand readings.
    """
    return steadily(segment, lambda: _read(segment, read, wants))


def _read(segment: Segment, read: ReadRow, wants: Callable[[str], bool] | None) -> Totals:
    found = _read_own(segment, read, wants)
    for ancestor in segment.living_ancestors():
        found = _joined(_read_own(ancestor, read, wants), found)
    return found


def _read_own(segment: Segment, read: ReadRow, wants: Callable[[str], bool] | None) -> Totals:
    # Entries first: a series that is defined a moment later waits for the next reading.
    entries = [each for each in segment.series.entries() if wants is None or wants(each.name)]
    claimed = segment.own_rows()
    counting = [segment.base.cells, *(row.cells for row in counting_rows(segment))]
    readings = [(row, read(row)) for row in claimed]
    reader_fence()  # A gauge that is read from here on is at least as new as the claim on its row.
    current = [row.cells for row, reading in readings if reading is not None and reading.is_current]

    counters = [series for series in entries if series.kind == "counter"]
    gauges = [series for series in entries if series.kind == "gauge"]
    histograms = [series for series in entries if series.kind == "histogram"]
    return Totals(
        counters=list(zip(counters, _sums(counting, counters), strict=True)),
        gauges=list(zip(gauges, _sums(current, gauges), strict=True)),
        histograms=[(series, sum_histogram(counting, series.first)) for series in histograms],
        rows=[reading for _, reading in readings if reading is not None],
        rows_corrupt=sum(reading is None for _, reading in readings),
    )


def _sums(parts: Sequence[memoryview], series: Sequence[Series]) -> list[int]:
    if not parts:
        return [0] * len(series)
    if len(series) < 2:  # itemgetter gives no tuple of one
        return [sum(cells[one.first] for cells in parts) for one in series]
    pick = itemgetter(*(one.first for one in series))
    return list(map(sum, zip(*map(pick, parts), strict=True)))


def sum_histogram(parts: Sequence[memoryview], first: int) -> HistogramTotal:
    """
    Sum one histogram over rows and base, reading the buckets only where there has been counted in it.

    Durations of 0 µs are all in the first bucket, so where it and the sum are
    zero the histogram is empty, and its pages need not be touched.

    The buckets of a part are added as one very long integer, which is two and a
    half times as fast as 704 short ones. No bucket carries into the next, for
    none comes near 2^64 before the sun goes out; a damaged one may, and would
    be nonsense anyway. The extra word keeps even that from overflowing.
    """
    sum_us = 0
    added = 0
    for cells in parts:
        part_us = cells[first]
        sum_us += part_us
        if part_us or cells[first + 1]:
            added += int.from_bytes(cells[first + 1 : first + 1 + BUCKET_COUNT], "little")
    if not added:
        return HistogramTotal(sum_us, _NO_BUCKETS)
    words = added.to_bytes((BUCKET_COUNT + 1) * WORD_SIZE, "little")
    return HistogramTotal(sum_us, memoryview(words).cast("Q").tolist()[:BUCKET_COUNT])


def _joined(older: Totals, newer: Totals) -> Totals:
    """Add what two segments of one service have counted, by name."""
    return Totals(
        counters=_added(newer.counters, older.counters),
        gauges=_added(newer.gauges, older.gauges),
        histograms=_histograms_added(newer.histograms, older.histograms),
        rows=[*older.rows, *newer.rows],
        rows_corrupt=older.rows_corrupt + newer.rows_corrupt,
    )


def _added(newer: list[tuple[Series, int]], older: list[tuple[Series, int]]) -> list[tuple[Series, int]]:
    found = {_name(series): (series, value) for series, value in newer}
    for series, value in older:
        known, sum_ = found.get(_name(series), (series, 0))
        found[_name(series)] = known, sum_ + value
    return list(found.values())


def _histograms_added(
    newer: list[tuple[Series, HistogramTotal]], older: list[tuple[Series, HistogramTotal]]
) -> list[tuple[Series, HistogramTotal]]:
    found = {_name(series): (series, total) for series, total in newer}
    for series, total in older:
        known, before = found.get(_name(series), (series, HistogramTotal(0, _NO_BUCKETS)))
        buckets = [a + b for a, b in zip(before.buckets, total.buckets, strict=True)]
        found[_name(series)] = known, HistogramTotal(before.sum_us + total.sum_us, buckets)
    return list(found.values())


def _name(series: Series) -> tuple[str, Labels]:
    return series.name, series.labels
