"""Buckets cover the range without gaps, and quantiles are as good as promised."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.shm import histogram
from penstock.shm.histogram import BUCKET_COUNT, bucket_bounds, bucket_of, classic_buckets, observe, quantile

IN_RANGE = st.integers(0, 2**26 - 1)


def fill(durations_us: list[int]) -> list[int]:
    """Count durations as a worker does; give the buckets."""
    cells = memoryview(bytearray(8 * (histogram.WORD_COUNT + 3))).cast("Q")
    for us in durations_us:
        observe(cells, 3, us)
    assert cells[3] == sum(us for us in durations_us if us > 0)
    assert cells[:3].tolist() == [0, 0, 0]
    return cells[4:].tolist()


def test_buckets_follow_each_other_without_gap_or_overlap() -> None:
    """Each duration is counted once."""
    edge = 0
    for bucket in range(BUCKET_COUNT):
        low, high = bucket_bounds(bucket)
        assert low == edge < high
        assert bucket_of(low) == bucket_of(high - 1) == bucket
        edge = high
    assert edge == 2**26


@given(IN_RANGE)
def test_a_duration_lies_within_the_bounds_of_its_bucket(us: int) -> None:
    """And the bucket is narrow: its middle is within 1.6 % of all it holds."""
    low, high = bucket_bounds(bucket_of(us))
    assert low <= us < high
    assert abs((low + high - 1) / 2 - us) <= 0.016 * us


@given(st.integers(-(2**70), 2**70))
def test_any_integer_has_a_bucket(us: int) -> None:
    """A clock that jumps must not take the worker down."""
    assert 0 <= bucket_of(us) < BUCKET_COUNT


def test_durations_out_of_range_count_in_the_outermost_buckets() -> None:
    """They are too rare to place, but they happened."""
    buckets = fill([-5, 0, 2**26, 10**12])
    assert buckets[0] == 2
    assert buckets[-1] == 2


@given(st.lists(IN_RANGE, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_within_their_error(durations_us: list[int], q: float) -> None:
    """The promise on which a p99 is believed."""
    exact = sorted(durations_us)[max(1, math.ceil(len(durations_us) * q)) - 1]
    estimate = quantile(fill(durations_us), q)
    assert estimate is not None
    assert abs(estimate - exact) <= 0.016 * exact


def test_p99_of_a_long_tail_is_within_its_error() -> None:
    """Latencies as they are, in their thousands."""
    chance = random.Random(7)
    durations_us = [int(chance.lognormvariate(8, 1.2)) for _ in range(20_000)]
    exact = sorted(durations_us)[math.ceil(len(durations_us) * 0.99) - 1]
    estimate = quantile(fill(durations_us), 0.99)
    assert estimate is not None
    assert abs(estimate - exact) <= 0.016 * exact


def test_an_empty_histogram_has_no_quantile() -> None:
    """Zero would be a wonderful latency."""
    assert quantile([0] * BUCKET_COUNT, 0.99) is None


@given(st.lists(IN_RANGE, max_size=200))
def test_classic_buckets_count_exactly_what_lies_below_their_bounds(durations_us: list[int]) -> None:
    """The bounds are edges of our buckets, so nothing is guessed."""
    for bound, count in classic_buckets(fill(durations_us)):
        assert count == sum(bound is None or us < bound for us in durations_us)


def test_classic_bounds_are_near_the_usual_ones() -> None:
    """From half a millisecond to a minute, where dashboards expect them."""
    usual_ms = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]
    for bound_us, near_ms in zip(histogram.CLASSIC_BOUNDS_US, usual_ms, strict=True):
        assert abs(bound_us / 1000 - near_ms) <= 0.025 * near_ms
