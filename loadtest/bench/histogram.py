"""
Latencies counted in buckets, in the manner of HdrHistogram.

Values are whole microseconds. Each power of two has 1024 buckets of equal
width, so a value is known within 0.1 %, whatever its size, in memory that does
not grow with the length of a run.
"""

import math
from collections.abc import Iterable

SUB_BITS = 11
SUB_COUNT = 1 << SUB_BITS  # Below this, every microsecond has a bucket of its own.
HALF_COUNT = SUB_COUNT >> 1

# Where a percentile curve is drawn: finer and finer towards 100 %, and at the percentiles
# that are printed, so that they are read off exactly.
CURVE_STEPS_PER_HALVING = 5
CURVE_HALVINGS = 20
CURVE_NINES = (90.0, 99.0, 99.9, 99.99, 99.999)
CURVE_PERCENTILES = tuple(
    sorted(
        {
            *CURVE_NINES,
            *(
                100.0 * (1.0 - 0.5 ** (step / CURVE_STEPS_PER_HALVING))
                for step in range(CURVE_STEPS_PER_HALVING * CURVE_HALVINGS)
            ),
        }
    )
)

# 99.9 % of 1000 is 999, but not in binary fractions.
RANK_SLACK = 1e-6


def bucket_of(value_us: int) -> int:
    """Return the index of the bucket that holds a value."""
    if value_us < SUB_COUNT:
        return value_us
    shift = value_us.bit_length() - SUB_BITS
    return shift * HALF_COUNT + (value_us >> shift)


def highest_in(bucket: int) -> int:
    """Return the highest value that a bucket holds: a percentile is never told too low."""
    if bucket < SUB_COUNT:
        return bucket
    shift = bucket // HALF_COUNT - 1
    return ((bucket - shift * HALF_COUNT + 1) << shift) - 1


class Histogram:
    """Counts of latencies; `record` is cheap, the questions walk all buckets."""

    __slots__ = ("count", "counts", "max_us", "min_us", "total_us")

    def __init__(self, values_us: Iterable[int] = ()) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total_us = 0
        self.min_us = 0
        self.max_us = 0
        for value_us in values_us:
            self.record(value_us)

    def record(self, value_us: int, count: int = 1) -> None:
        """Count a value of at least 0 µs, once or several times."""
        bucket = bucket_of(value_us)
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        if not self.count or value_us < self.min_us:
            self.min_us = value_us
        if value_us > self.max_us:  # noqa: PLR1730  `max` is a call, and this is counted in nanoseconds.
            self.max_us = value_us
        self.count += count
        self.total_us += value_us * count

    def merge(self, other: "Histogram") -> None:
        """Add what another histogram counted."""
        if not other.count:
            return
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.min_us = min(self.min_us, other.min_us) if self.count else other.min_us
        self.max_us = max(self.max_us, other.max_us)
        self.count += other.count
        self.total_us += other.total_us

    def percentiles_us(self, percentiles: Iterable[float]) -> list[int]:
        """
        Return the smallest value that so many percent of the values do not exceed.

        Percentiles lie in 0..100 and are given in ascending order. An empty
        histogram answers 0.
        """
        found: list[int] = []
        buckets = sorted(self.counts)
        seen, position = 0, -1
        for percentile in percentiles:
            # The rank is rounded up: p99 of 100 values is the 99th, of 101 the 100th.
            rank = max(1, math.ceil(percentile * self.count / 100 - RANK_SLACK))
            while seen < rank and position + 1 < len(buckets):
                position += 1
                seen += self.counts[buckets[position]]
            found.append(min(highest_in(buckets[position]), self.max_us) if buckets else 0)
        return found

    def curve(self) -> tuple[tuple[float, int], ...]:
        """Return (percentile, µs) pairs from 0 to 100, spaced for a plot of the tail."""
        if not self.count:
            return ()
        # Where less than one request is left above, the maximum says it all.
        percentiles = [
            percentile
            for percentile in CURVE_PERCENTILES
            if (100.0 - percentile) / 100.0 * self.count >= 1.0 - RANK_SLACK
        ]
        percentiles.append(100.0)
        return tuple(zip(percentiles, self.percentiles_us(percentiles), strict=True))
