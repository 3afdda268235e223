"""How fast endless responses are told to end."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.streams import due_count

COUNTS = st.integers(1, 100_000)
TIMES = st.floats(0.0, 100.0)


@given(count=COUNTS, spread_s=TIMES)
def test_first_is_told_at_once_and_all_within_the_spread(count: int, spread_s: float) -> None:
    assert due_count(count, 0.0, spread_s) == (1 if spread_s else count)
    assert due_count(count, spread_s, spread_s) == count


@given(count=COUNTS, spread_s=TIMES, elapsed_s=TIMES, turn_s=TIMES)
def test_they_are_told_evenly(count: int, spread_s: float, elapsed_s: float, turn_s: float) -> None:
    """
    However many there are, and however late a turn comes: never fewer than before, never a burst.
    """
    before = due_count(count, elapsed_s, spread_s)
    after = due_count(count, elapsed_s + turn_s, spread_s)

    assert 1 <= before <= after <= count
    if spread_s:
        assert after - before <= count * turn_s / spread_s + 1.001
