"""Percentiles are those of the values, to a tenth of a percent."""

import math
from fractions import Fraction

from bench.histogram import CURVE_PERCENTILES, SUB_COUNT, Histogram, bucket_of, highest_in
from bench.result import PRINTED_PERCENTILES
from hypothesis import given
from hypothesis import strategies as st

ASKED = ("0", "10", "50", "75", "90", "99", "99.9", "99.99", "100")

values = st.lists(st.one_of(st.integers(0, 5000), st.integers(0, 10**9)), min_size=1, max_size=300)


def exact_us(values_us: list[int], percentile: str) -> int:
    """The smallest value that so many percent do not exceed, from the sorted list."""
    rank = math.ceil(Fraction(percentile) / 100 * len(values_us))
    return sorted(values_us)[max(1, rank) - 1]


@given(values)
def test_percentiles_agree_with_a_sorted_list(values_us: list[int]) -> None:
    """
    Never below the true one, and at most 0.1 % above.
    """
    found = Histogram(values_us).percentiles_us(map(float, ASKED))

    for percentile, found_us in zip(ASKED, found, strict=True):
        true_us = exact_us(values_us, percentile)
        assert true_us <= found_us <= true_us * (1 + 2 / SUB_COUNT)
    assert found[-1] == max(values_us)


@given(values, values)
def test_merged_histograms_are_the_histogram_of_all(left_us: list[int], right_us: list[int]) -> None:
    merged, together = Histogram(left_us), Histogram([*left_us, *right_us])
    merged.merge(Histogram(right_us))

    for name in Histogram.__slots__:
        assert getattr(merged, name) == getattr(together, name)


def test_an_empty_histogram_merges_as_nothing() -> None:
    merged = Histogram([7])
    merged.merge(Histogram())
    empty = Histogram()
    empty.merge(merged)

    assert (
        (merged.count, merged.min_us, merged.max_us) == (empty.count, empty.min_us, empty.max_us) == (1, 7, 7)
    )
    assert Histogram().percentiles_us([50.0]) == [0]
    assert Histogram().curve() == ()


@given(st.integers(0, 10**9), st.integers(1, 1000))
def test_a_value_recorded_several_times_counts_as_often(value_us: int, count: int) -> None:
    """
    A backlog is recorded so.
    """
    several, one_by_one = Histogram(), Histogram([value_us] * count)
    several.record(value_us, count)

    for name in Histogram.__slots__:
        assert getattr(several, name) == getattr(one_by_one, name)


@given(st.integers(0, 10**12))
def test_buckets_follow_each_other_without_a_gap(value_us: int) -> None:
    bucket = bucket_of(value_us)

    assert value_us <= highest_in(bucket)
    assert bucket_of(highest_in(bucket)) == bucket
    assert bucket_of(highest_in(bucket) + 1) == bucket + 1


@given(values)
def test_a_curve_rises_to_the_maximum(values_us: list[int]) -> None:
    curve = Histogram(values_us).curve()

    assert list(curve) == sorted(curve)
    assert curve[0][0] == 0
    assert curve[-1] == (100.0, max(values_us))


def test_printed_percentiles_are_points_of_the_curve() -> None:
    """
    Else a p99 would be read from the next point, which is further out in the tail.
    """
    curve = dict(Histogram(range(100_000)).curve())

    assert set(PRINTED_PERCENTILES) <= set(CURVE_PERCENTILES)
    assert [curve[at] for at in PRINTED_PERCENTILES] == Histogram(range(100_000)).percentiles_us(
        PRINTED_PERCENTILES
    )
