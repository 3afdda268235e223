"""What the control socket told, as records."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.top.answers import make_reading
from penstock.master.cli.top.reading import Point, Quantiles, Reading, Worker
from tests.master.cli.top.sample_answers import REQUESTS, SAMPLES, STATUS, WALL_S

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def reading(status: Any = STATUS, samples: Any = SAMPLES, requests: Any = REQUESTS) -> Reading:
    return make_reading(100.0, WALL_S, status, samples, requests)


def test_everything_that_is_told_is_read() -> None:
    """
    Each key has its place.
    """
    read = reading()

    assert (read.name, read.version, read.pid, read.state, read.generation) == (
        "shop",
        "0.1.0",
        3999,
        "running",
        3,
    )
    assert read.workers[1] == Worker(
        slot=1,
        core=1,
        pid=4001,
        state="ready",
        generation=3,
        age_s=754.0,
        cpu_s=100.0,
        rss_bytes=36 * 2**20,
        connections=12,
        active=2,
        idle=10,
        requests=1000,
        lag_s=0.0004,
    )
    assert [shard.slot for shard in read.listeners[0].shards] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert read.requests is not None
    assert [each.path for each in read.requests] == ["/reports/2024", "/orders"]
    assert read.points is not None
    assert read.points[1][-1] == Point(t=WALL_S, errors=6, sent_bytes=6144)


def test_the_newest_window_of_latency_counts_while_it_is_news() -> None:
    """
    A server without requests goes on telling the last one that it had.
    """
    assert reading().latency == Quantiles(p50_s=0.00042, p99_s=0.0031)
    assert reading().latency_by_slot[1] == Quantiles(p50_s=0.0005, p99_s=0.0035)
    later = make_reading(100.0, WALL_S + 60, STATUS, SAMPLES, None)
    assert (later.latency, later.latency_by_slot) == (Quantiles(), {})


def test_what_an_older_server_does_not_tell_is_not_known() -> None:
    """
    None is not nought: the one is shown as a dash.
    """
    older = {**STATUS, "workers": [{"slot": 0, "pid": 4000, "state": "ready", "generation": 1}]}
    read = reading(older, samples=None, requests=None)

    assert read.workers == (Worker(slot=0, pid=4000, state="ready", generation=1),)
    assert (read.requests, read.points, read.latency) == (None, None, Quantiles())
    assert reading(requests={"requests": []}).requests == ()


@pytest.mark.parametrize("value", [True, -1, float("nan"), float("inf"), 10**400, "12", [], {}, None])
def test_a_number_that_is_none_is_not_known(value: Any) -> None:
    """
    Whatever stands there, what is shown is a number or a dash.
    """
    assert reading({"workers": [{"pid": value, "age_s": value}]}).workers == (Worker(),)


@given(JSON, JSON, JSON)
def test_any_json_is_a_reading(status: Any, samples: Any, requests: Any) -> None:
    """
    Somebody else may listen on the socket.
    """
    make_reading(0.0, 0.0, status, samples, requests)


@given(st.sampled_from(sorted(STATUS)), JSON, st.sampled_from(sorted(SAMPLES)), JSON)
def test_any_value_of_any_key_is_a_reading(key: str, value: Any, samples_key: str, other: Any) -> None:
    """
    Closer to the shape that is expected, and wrong in one place.
    """
    make_reading(0.0, 0.0, {**STATUS, key: value}, {**SAMPLES, samples_key: other}, {"requests": [value]})
    make_reading(0.0, 0.0, {"workers": [{"slot": value, "state": other}]}, {"slots": {"0": [value]}}, None)
