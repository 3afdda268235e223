"""A crash loop gets slower and slower, and a long life forgives everything."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.backoff import DELAY_S_MAX, FAILURES_MAX, FIRST_DELAY_S, YOUNG_S, after_death
from penstock.master.fleet import Backoff


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


def test_a_thousand_deaths_are_counted_no_further_than_the_delay_grows() -> None:
    backoff: Backoff | None = None
    for _ in range(1000):
        backoff = after_death(backoff, lived_s=0.0, now_s=0.0, jitter=0.0)
    assert backoff == Backoff(failures=FAILURES_MAX, not_before_s=DELAY_S_MAX)


@given(failures=st.integers(0, FAILURES_MAX), jitter=st.floats(0.0, 1.0), now_s=st.floats(0.0, 1e9))
def test_the_wait_always_has_bounds(failures: int, jitter: float, now_s: float) -> None:
    previous = Backoff(failures=failures, not_before_s=0.0)
    backoff = after_death(previous, lived_s=0.0, now_s=now_s, jitter=jitter)
    assert backoff is not None
    rounding_s = 1e-6
    assert FIRST_DELAY_S - rounding_s <= backoff.not_before_s - now_s <= DELAY_S_MAX * 1.25 + rounding_s
