"""Quantiles of the last minutes, of rows that come, go, idle and are damaged."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.admin.latency import (
    POINT_COUNT_MAX,
    LatencyHistory,
    RowDurations,
    read_durations,
)
from penstock.shm import histogram, names
from penstock.shm.histogram import BUCKET_COUNT, bucket_bounds, bucket_of, observe

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site


def durations(*us: int, claim: int = 1, slot: int = 0) -> RowDurations:
    """What a row says that has observed these."""
    cells = memoryview(bytearray(8 * histogram.WORD_COUNT)).cast("Q")
    for each in us:
        observe(cells, 0, each)
    return RowDurations(claim, slot, (cells[0], cells[1]), int.from_bytes(cells[1:], "little"))


def near(us: float) -> object:
    """As near as a bucket's middle."""
    return pytest.approx(us / 1e6, rel=0.016)


def test_a_point_has_the_quantiles_of_its_window_alone() -> None:
    """The hours before it do not blunt it."""
    history = LatencyHistory()
    history.add(100.0, {0: durations(*[50] * 1000)})
    history.add(105.0, {0: durations(*[50] * 1000, *[2_000] * 90, *[70_000] * 10)})
    (point,) = history.since(0.0)
    assert point == {
        "t": 105.0,
        "requests": 100,
        "p50_s": near(2_000),
        "p95_s": near(70_000),
        "p99_s": near(70_000),
        "slots": {"0": {"p50_s": near(2_000), "p99_s": near(70_000)}},
    }


def test_one_in_a_thousand_is_told_of_a_thousand() -> None:
    """Of fewer, it is the maximum by another name."""
    history = LatencyHistory()
    history.add(100.0, {0: durations()})
    history.add(105.0, {0: durations(*[100] * 999)})
    history.add(110.0, {0: durations(*[100] * 2997, 9_000, 9_000)})
    first, second = history.since(0.0)
    assert "p999_s" not in first
    assert second["p999_s"] == near(100)


def test_slots_are_told_apart_and_their_rows_added() -> None:
    """In a roll a slot has two workers."""
    history = LatencyHistory()
    history.add(100.0, {0: durations(slot=0), 1: durations(slot=1), 2: durations(slot=1)})
    history.add(
        105.0,
        {0: durations(1_000), 1: durations(10, 10, slot=1), 2: durations(100, 100, 100, slot=1)},
    )
    (point,) = history.since(0.0)
    assert point["requests"] == 6
    assert point["slots"] == {
        "0": {"p50_s": near(1_000), "p99_s": near(1_000)},
        "1": {"p50_s": near(100), "p99_s": near(100)},
    }


def test_a_window_without_a_request_is_no_point() -> None:
    """There is no quantile of nothing."""
    history = LatencyHistory()
    for time_s in (100.0, 105.0):
        history.add(time_s, {0: durations(7)})
    history.add(110.0, {})
    history.add(115.0, {0: durations(7, 7)})
    assert history.since(0.0) == []


def test_the_next_owner_of_a_row_begins_a_window() -> None:
    """What was observed between the two readings may be either's."""
    history = LatencyHistory()
    history.add(100.0, {0: durations(10)})
    history.add(105.0, {0: durations(10, 20, 30, claim=2, slot=1)})
    assert history.since(0.0) == []
    history.add(110.0, {0: durations(10, 20, 30, 5_000, claim=2, slot=1)})
    (point,) = history.since(0.0)
    assert point["requests"] == 1
    assert point["slots"].keys() == {"1"}


@pytest.mark.parametrize(
    "fallen",
    [durations(), durations(30, 40, 40), durations(3_000_000, 3_000_001), durations(1)],
)
def test_a_counter_that_fell_begins_a_window(fallen: RowDurations) -> None:
    """The row was taken out of the counting, or damaged: the difference is nobody's latency."""
    history = LatencyHistory()
    history.add(100.0, {0: durations(30, 30, 3_000_000), 1: durations(slot=1)})
    history.add(105.0, {0: fallen, 1: durations(500, slot=1)})
    (point,) = history.since(0.0)
    assert point["slots"].keys() == {"1"}
    assert point["p99_s"] == near(500)


def test_points_are_of_the_last_minutes() -> None:
    """However long the server runs."""
    history = LatencyHistory()
    seen: list[int] = []
    for window in range(2 * POINT_COUNT_MAX):
        seen.append(100)
        history.add(100.0 + 5 * window, {0: durations(*seen)})
    points = history.since(0.0)
    assert len(points) == POINT_COUNT_MAX
    assert history.since(points[-3]["t"] - 1.0) == points[-3:]
    assert history.since(points[-1]["t"] + 3.0) == []


def test_a_clock_that_is_set_back_starts_the_plot_anew() -> None:
    """Otherwise the page would wait for it to catch up."""
    history = LatencyHistory()
    history.add(5_000.0, {0: durations(1)})
    history.add(5_005.0, {0: durations(1, 1)})
    history.add(1_000.0, {0: durations(1, 1, 1)})
    assert [point["t"] for point in history.since(0.0)] == [1_000.0]


@given(
    before=st.lists(st.integers(0, 2**27), max_size=30),
    after=st.lists(st.integers(0, 2**27), min_size=1, max_size=30),
)
def test_the_long_difference_is_the_short_ones(before: list[int], after: list[int]) -> None:
    """
    Subtracting two integers of 45,056 bits is subtracting 704 words.
    """
    history = LatencyHistory()
    history.add(0.0, {0: durations(*before)})
    history.add(5.0, {0: durations(*before, *after)})
    (point,) = history.since(0.0)
    assert point["requests"] == len(after)
    low, high = bucket_bounds(bucket_of(sorted(after)[(len(after) + 1) // 2 - 1]))
    assert low <= point["p50_s"] * 1e6 < high


def test_rows_are_read_with_all_their_routes(site: "Site") -> None:
    """And with who owns them."""
    second = site.segment.series.define(
        names.REQUEST_DURATION, "histogram", (("listener", "web"), ("route", "/b"))
    )
    observe(site.rows[0].cells, site.duration, 100)
    observe(site.rows[0].cells, second, 100)
    observe(site.rows[0].cells, second, 0)
    found = read_durations(site.segment, {})
    index = site.rows[0].index
    assert found.keys() == {index, site.rows[1].index}
    words = found[index].buckets.to_bytes(8 * BUCKET_COUNT, "little")
    buckets = memoryview(words).cast("Q").tolist()
    assert (buckets[0], buckets[bucket_of(100)], sum(buckets)) == (1, 2, 3)
    assert (found[index].slot, found[index].claim) == (0, 1)
    assert found[site.rows[1].index].buckets == 0


def test_rows_that_have_not_moved_are_not_read_again(site: "Site") -> None:
    """An idle server's numbers cost a look at two words a route."""
    observe(site.rows[0].cells, site.duration, 100)
    before = read_durations(site.segment, {})
    observe(site.rows[1].cells, site.duration, 0)
    after = read_durations(site.segment, before)
    assert after[site.rows[0].index] is before[site.rows[0].index]
    assert after[site.rows[1].index].buckets == 1


def test_rows_without_an_owner_are_left_out(site: "Site") -> None:
    """Nobody observes there any more."""
    site.rows[0].release()
    assert read_durations(site.segment, {}).keys() == {site.rows[1].index}


def test_a_segment_without_routes_has_no_durations() -> None:
    """Nothing is defined yet when the first admin process asks."""
    history = LatencyHistory()
    history.add(1.0, {})
    assert history.since(0.0) == []
