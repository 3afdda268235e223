"""How many requests may be sent another time."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway.retry_budget import RetryBudget
from penstock.worker.gateway.window import MARK_S
from penstock.worker.limits import RETRY_BUDGET_COUNT_MIN, RETRY_BUDGET_S

TICK_S = 0.5


def test_a_share_of_the_requests_and_a_few_for_free() -> None:
    """
    Three of none, a fifth of a hundred.
    """
    budget = RetryBudget(0.2, 0.0)
    assert [budget.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert sum(budget.take(100) for _ in range(100)) == 20 - 3
    for tick in range(30):
        budget.advance(tick * TICK_S, 100)
    assert sum(budget.take(100) for _ in range(100)) == RETRY_BUDGET_COUNT_MIN


@given(
    ratio=st.floats(0.0, 1.0),
    steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=80),
)
def test_it_holds_over_any_stretch_of_time(ratio: float, steps: list[tuple[int, int]]) -> None:
    """
    Of the requests since ten seconds ago, and a little more, never more than the share; and no less is given.
    """
    budget = RetryBudget(ratio, 0.0)
    requests: list[float] = []
    retries: list[float] = []
    for number, (request_count, wanted) in enumerate(steps):
        now_s = number * TICK_S
        budget.advance(now_s, len(requests))
        requests += [now_s] * request_count
        for _ in range(wanted):
            taken = budget.take(len(requests))
            # It looks back over ten seconds, and a mark and a tick more at the most.
            longest_s = now_s - RETRY_BUDGET_S - MARK_S - TICK_S
            used = sum(each >= longest_s for each in retries)
            if taken:
                share = ratio * sum(each >= longest_s for each in requests)
                shortest_used = sum(each >= now_s - RETRY_BUDGET_S for each in retries)
                assert shortest_used < max(RETRY_BUDGET_COUNT_MIN, share)
                retries.append(now_s)
            else:
                share = ratio * sum(each >= now_s - RETRY_BUDGET_S for each in requests)
                assert used >= max(RETRY_BUDGET_COUNT_MIN, share)
