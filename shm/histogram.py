"""
Log-linear latency histograms, from a microsecond to 67 seconds.

Every octave has 32 buckets, so a bucket is at most 1/32 wide and its middle is
at most 1.6 % off. A histogram is one word for the sum of all values and one
word a bucket; there is no count, since the buckets add up to it.

Pure arithmetic over numbers that somebody else reads and writes, except for
`observe`, which is two plain stores.
"""

from collections.abc import Sequence
from typing import Final

SUB_BUCKET_BITS: Final = 5
SUB_BUCKET_COUNT: Final = 1 << SUB_BUCKET_BITS
OCTAVE_MAX: Final = 26

# Values below 32 have a bucket each; the 21 octaves from there to 2^26 µs have 32.
BUCKET_COUNT: Final = SUB_BUCKET_COUNT * (OCTAVE_MAX - SUB_BUCKET_BITS + 1)
WORD_COUNT: Final = 1 + BUCKET_COUNT
assert BUCKET_COUNT == 704

_US_LIMIT: Final = 1 << OCTAVE_MAX
_LINEAR_LIMIT: Final = 2 * SUB_BUCKET_COUNT

# Where Prometheus' buckets end, in µs. Each is an edge of one of our buckets, so
# the classic histogram is exact; they lie as near as an edge can to 0.5, 1, 2.5,
# 5, 10, 25, 50, 100, 250, 500 ms and 1, 2.5, 5, 10, 30, 60 s. Nothing is lost by
# an edge of 4.992 ms instead of 5: quantiles are interpolated between edges.
CLASSIC_BOUNDS_US: Final = (
    512,
    1_024,
    2_496,
    4_992,
    9_984,
    25_088,
    50_176,
    100_352,
    249_856,
    499_712,
    999_424,
    2_490_368,
    4_980_736,
    9_961_472,
    29_884_416,
    59_768_832,
)


def bucket_of(us: int) -> int:
    """Give the bucket of a duration; what is out of range counts in the outermost."""
    if us < _LINEAR_LIMIT:
        return us if us > 0 else 0
    if us >= _US_LIMIT:
        return BUCKET_COUNT - 1
    # The six leading bits say where in the octave, the others are dropped.
    dropped = us.bit_length() - SUB_BUCKET_BITS - 1
    return (dropped << SUB_BUCKET_BITS) + (us >> dropped)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """Give the smallest duration in a bucket, and the smallest one above it."""
    assert 0 <= bucket < BUCKET_COUNT
    if bucket < _LINEAR_LIMIT:
        return bucket, bucket + 1
    dropped = (bucket >> SUB_BUCKET_BITS) - 1
    leading = bucket - (dropped << SUB_BUCKET_BITS)
    return leading << dropped, (leading + 1) << dropped


def observe(cells: memoryview, first: int, us: int) -> None:
    """
    Count one duration in the histogram that begins at word `first`.

    The bucket comes before the sum: a reader that sees neither of the two
    words it looks at first (see totals.py) has then missed nothing.
    """
    cells[first + 1 + bucket_of(us)] += 1
    if us > 0:
        cells[first] += us


def quantile(buckets: Sequence[int], q: float) -> float | None:
    """
    Estimate a quantile in µs, or None of an empty histogram.

    The answer is the middle of the bucket that holds the q-th value, hence
    within 1.6 % of it.
    """
    assert len(buckets) == BUCKET_COUNT
    assert 0.0 <= q <= 1.0
    count = sum(buckets)
    if count == 0:
        return None

    rank = max(1, -(-count * q // 1))  # the ceiling
    passed = 0
    for bucket, in_bucket in enumerate(buckets):
        passed += in_bucket
        if passed >= rank:
            low, high = bucket_bounds(bucket)
            # Durations are whole µs, so the values in [low, high) average this.
            return (low + high - 1) / 2
    raise AssertionError("the buckets add up to less than their sum")


def classic_buckets(buckets: Sequence[int]) -> list[tuple[int | None, int]]:
    """
    Give the cumulative counts below each of CLASSIC_BOUNDS_US; None is +Inf.
    """
    assert len(buckets) == BUCKET_COUNT
    cumulative = 0
    counts: list[tuple[int | None, int]] = []
    for bound, (start, end) in zip(CLASSIC_BOUNDS_US, _CLASSIC_SPANS, strict=True):
        cumulative += sum(buckets[start:end])
        counts.append((bound, cumulative))
    counts.append((None, cumulative + sum(buckets[_CLASSIC_SPANS[-1][1] :])))
    return counts


def _classic_spans() -> list[tuple[int, int]]:
    spans = []
    start = 0
    for bound in CLASSIC_BOUNDS_US:
        end = bucket_of(bound)
        assert bucket_bounds(end)[0] == bound, f"{bound} µs is not the edge of a bucket"
        spans.append((start, end))
        start = end
    return spans


_CLASSIC_SPANS: Final = _classic_spans()
