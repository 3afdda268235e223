"""A crash loop gets slower and slower, and a long life forgives everything."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.backoff import (
    CRASH_LOOP_FAILURES,
    DELAY_S_MAX,
    DOUBLINGS_MAX,
    FIRST_DELAY_S,
    YOUNG_S,
    after_death,
    after_recovery,
    crash_loops,
)
from penstock.master.fleet import Backoff, Fleet, State, Worker


def die(times: int, *, jitter: float = 0.0) -> list[float]:
    """Die young this often, at second 100 each time, and give the delays."""
    backoff: Backoff | None = None
    delays = []
    for _ in range(times):
        backoff = after_death(backoff, lived_s=0.0, now_s=100.0, jitter=jitter)
        assert backoff is not None
        delays.append(backoff.not_before_s - 100.0)
    return delays


def test_each_early_death_doubles_the_wait_up_to_half_a_minute() -> None:
    assert die(9) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_long_life_starts_the_count_anew() -> None:
    """A leak that kills a worker once an hour must not add up to half a minute of absence."""
    many = Backoff(failures=9, not_before_s=0.0)

    assert after_death(many, lived_s=YOUNG_S, now_s=0.0, jitter=1.0) is None
    assert after_death(None, lived_s=YOUNG_S, now_s=0.0, jitter=1.0) is None


def test_a_life_just_too_short_still_counts() -> None:
    assert after_death(None, lived_s=YOUNG_S - 0.001, now_s=0.0, jitter=0.0) is not None


def test_jitter_adds_up_to_a_quarter() -> None:
    """Slots that die together, of one missing database, do not come back together."""
    assert die(3, jitter=1.0) == [0.625, 1.25, 2.5]


def test_a_thousand_deaths_are_counted_and_the_delay_has_its_bound() -> None:
    backoff: Backoff | None = None
    for _ in range(1000):
        backoff = after_death(backoff, lived_s=0.0, now_s=0.0, jitter=0.0)
    assert backoff == Backoff(failures=1000, not_before_s=DELAY_S_MAX)


@given(failures=st.integers(0, 4 * DOUBLINGS_MAX), jitter=st.floats(0.0, 1.0), now_s=st.floats(0.0, 1e9))
def test_the_wait_always_has_bounds(failures: int, jitter: float, now_s: float) -> None:
    previous = Backoff(failures=failures, not_before_s=0.0)
    backoff = after_death(previous, lived_s=0.0, now_s=now_s, jitter=jitter)
    assert backoff is not None
    rounding_s = 1e-6
    assert FIRST_DELAY_S - rounding_s <= backoff.not_before_s - now_s <= DELAY_S_MAX * 1.25 + rounding_s


WORKER = Worker(
    pid=7, slot=0, generation=1, row=1, core=None, state=State.READY, since_s=100.0, spawned_s=99.0
)
LOOP = Backoff(failures=CRASH_LOOP_FAILURES, not_before_s=99.0, failed_s=95.0, reason="exited with status 1")
FLEET = Fleet(workers=(WORKER,), slot_count=2, generation=1, has_served=True, backoff={0: LOOP})


def test_three_early_deaths_in_a_row_are_a_crash_loop() -> None:
    twice = replace(LOOP, failures=CRASH_LOOP_FAILURES - 1)

    assert crash_loops(FLEET) == {0: LOOP}
    assert crash_loops(replace(FLEET, backoff={0: twice})) == {}
    assert crash_loops(replace(FLEET, backoff={5: LOOP})) == {}, "the slot was scaled away"


def test_a_crash_loop_is_over_when_a_worker_has_lived_long_enough() -> None:
    assert after_recovery(FLEET, 100.0 + YOUNG_S - 0.001) is FLEET
    assert after_recovery(FLEET, 100.0 + YOUNG_S).backoff == {}


@pytest.mark.parametrize(
    "worker",
    [
        replace(WORKER, state=State.STARTING),
        replace(WORKER, state=State.DRAINING),
        replace(WORKER, slot=1),
        replace(WORKER, since_s=94.0),
    ],
    ids=["starting", "draining", "another slot", "a predecessor that serves on"],
)
def test_nobody_else_ends_it(worker: Worker) -> None:
    """A predecessor whose successors keep failing says nothing about them, however long it lives."""
    fleet = replace(FLEET, workers=(worker,))

    assert after_recovery(fleet, 1000.0) is fleet


def test_a_pause_is_never_cut_short_by_a_recovery() -> None:
    """A roll waits for it, and sleeps until then."""
    long = replace(LOOP, not_before_s=120.0)
    fleet = replace(FLEET, backoff={0: long})

    assert after_recovery(fleet, 100.0 + YOUNG_S) is fleet
    assert after_recovery(fleet, 120.0 + YOUNG_S).backoff == {}
