"""
One set of numbers over all rows.

Counters and histograms are summed over every row that ever had an owner, so a
total never falls, whoever died. Gauges are summed over current owners only.
Nothing here raises because of what a row holds: a row that makes no sense is
counted in `rows_corrupt`, and its gauges are left out.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

import msgspec

from penstock.shm.fence import reader_fence
from penstock.shm.histogram import BUCKET_COUNT
from penstock.shm.layout import WORD_SIZE
from penstock.shm.row import Row, RowReading
from penstock.shm.segment import Segment
from penstock.shm.series import Series

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


def totals(segment: Segment) -> Totals:
    """
    Read and sum the whole segment.

    Each word is read once and whole, but not all at one moment: two totals
    that move together may be one event apart.
    """
    # Entries first: a series that is defined a moment later waits for the next reading.
    entries = list(segment.series.entries())
    claimed = segment.claimed_rows()
    readings = [(row, row.read()) for row in claimed]
    reader_fence()  # A gauge that is read from here on is at least as new as the claim on its row.
    current = [row for row, reading in readings if reading is not None and reading.is_current]

    counters = [series for series in entries if series.kind == "counter"]
    gauges = [series for series in entries if series.kind == "gauge"]
    return Totals(
        counters=list(zip(counters, _sums(claimed, counters), strict=True)),
        gauges=list(zip(gauges, _sums(current, gauges), strict=True)),
        histograms=[
            (series, _histogram(claimed, series.first)) for series in entries if series.kind == "histogram"
        ],
        rows=[reading for _, reading in readings if reading is not None],
        rows_corrupt=sum(reading is None for _, reading in readings),
    )


def _sums(rows: Sequence[Row], series: Sequence[Series]) -> list[int]:
    if not rows:
        return [0] * len(series)
    if len(series) < 2:  # itemgetter gives no tuple of one
        return [sum(row.cells[one.first] for row in rows) for one in series]
    pick = itemgetter(*(one.first for one in series))
    return list(map(sum, zip(*(pick(row.cells) for row in rows), strict=True)))


def _histogram(rows: Sequence[Row], first: int) -> HistogramTotal:
    """
    Sum one histogram, reading the buckets only of rows that have counted in it.

    Durations of 0 µs are all in the first bucket, so where it and the sum are
    zero the histogram is empty, and its pages need not be touched.

    The buckets of a row are added as one very long integer, which is two and a
    half times as fast as 704 short ones. No bucket carries into the next, for
    none comes near 2^64 before the sun goes out; a damaged one may, and would
    be nonsense anyway. The extra word keeps even that from overflowing.
    """
    sum_us = 0
    added = 0
    for row in rows:
        row_sum = row.cells[first]
        sum_us += row_sum
        if row_sum or row.cells[first + 1]:
            added += int.from_bytes(row.cells[first + 1 : first + 1 + BUCKET_COUNT], "little")
    if not added:
        return HistogramTotal(sum_us, _NO_BUCKETS)
    words = added.to_bytes((BUCKET_COUNT + 1) * WORD_SIZE, "little")
    return HistogramTotal(sum_us, memoryview(words).cast("Q").tolist()[:BUCKET_COUNT])
