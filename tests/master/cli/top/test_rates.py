"""Two readings into rates."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.top.answers import make_reading
from penstock.master.cli.top.rates import Rates, WorkerRates, rates_between
from penstock.master.cli.top.reading import Reading
from tests.master.cli.top.sample_answers import SAMPLES, STATUS, WALL_S, later_status


def reading(at_s: float, status: dict[str, Any], samples: Any = None) -> Reading:
    return make_reading(at_s, WALL_S, status, samples, None)


def one(at_s: float, **worker: Any) -> Reading:
    return reading(at_s, {"workers": [{"slot": 0, "pid": 7, "generation": 1, **worker}]})


BEFORE = reading(100.0, STATUS)


def test_rates_are_what_happened_by_the_second() -> None:
    """
    For each worker, and together.
    """
    rates = rates_between(BEFORE, reading(102.0, later_status(2.0), SAMPLES))

    assert rates.workers[4000] == WorkerRates(requests_s=50.0, cpu=0.5)
    assert rates.requests_s == 100.0
    # Two slots with 2 errors and 2 KiB each a second, as their own samples tell.
    assert (rates.errors_s, rates.sent_bytes_s) == (4.0, 4096.0)


def test_one_reading_alone_has_no_rates_but_those_of_its_samples() -> None:
    """
    Nobody knows what was before.
    """
    assert rates_between(None, BEFORE) == Rates()
    assert rates_between(None, reading(100.0, STATUS, SAMPLES)).errors_s == 4.0
    assert rates_between(BEFORE, BEFORE).workers == {}


def test_a_worker_that_started_meanwhile_has_served_all_of_its_requests_meanwhile() -> None:
    """
    And one that we only did not see before has not.
    """
    fresh = {"slot": 2, "pid": 9, "generation": 4, "requests": 30, "cpu_s": 0.5}
    for age_s, rates in ((1.0, WorkerRates(requests_s=15.0, cpu=0.25)), (60.0, WorkerRates())):
        after = reading(102.0, {"workers": [{**fresh, "age_s": age_s}]})
        assert rates_between(BEFORE, after).workers == {9: rates}


def test_a_pid_that_was_given_again_is_another_worker() -> None:
    """
    Its counters began at nought.
    """
    before = one(100.0, age_s=5000.0, requests=1_000_000, cpu_s=900.0)
    after = one(102.0, age_s=1.0, requests=10, cpu_s=0.1)

    assert rates_between(before, after).workers[7] == WorkerRates(requests_s=5.0, cpu=0.05)


def test_counters_that_fall_are_no_negative_rate() -> None:
    """
    A row that made no sense for a moment is told as nought.
    """
    after = one(102.0, age_s=12.0, requests=0)

    assert rates_between(one(100.0, age_s=10.0, requests=50), after).requests_s == 0.0


def test_slots_that_have_told_nothing_lately_send_nothing() -> None:
    """
    The points of a slot that was scaled away stay in the answer for a while.
    """
    old = [{"t": WALL_S - 60 + second, "errors": second, "sent_bytes": 0} for second in range(4)]
    samples = {"slots": {"0": SAMPLES["slots"]["0"], "1": old}}

    assert rates_between(None, reading(100.0, STATUS, samples)).errors_s == 2.0


@given(
    st.floats(0, 1e6), st.integers(0, 10**12), st.integers(0, 10**12), st.floats(0, 1e6), st.floats(0, 1e6)
)
def test_no_rate_is_negative(passed_s: float, first: int, second: int, age_s: float, cpu_s: float) -> None:
    """
    Whatever the order of what was told.
    """
    rates = rates_between(
        one(100.0, requests=first, age_s=age_s, cpu_s=cpu_s),
        one(100.0 + passed_s, requests=second, age_s=1.0),
    )

    told = [rates.requests_s, rates.workers[7].requests_s, rates.workers[7].cpu] if rates.workers else []
    assert all(each is None or each >= 0 for each in told)
