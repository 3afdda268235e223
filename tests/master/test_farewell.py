"""The time between the order to stop and the stop."""

from penstock.master.farewell import Farewell


def test_nobody_stops_unasked() -> None:
    farewell = Farewell()
    assert not farewell.has_begun
    assert not farewell.is_over(1e9)


def test_it_stops_after_the_delay() -> None:
    farewell = Farewell()
    farewell.begin(100.0, 5.0)
    assert farewell.has_begun
    assert not farewell.is_over(104.9)
    assert farewell.is_over(105.0)


def test_ordered_again_it_stops_at_once() -> None:
    farewell = Farewell()
    farewell.begin(100.0, 5.0)
    farewell.begin(101.0, 5.0)
    assert farewell.is_over(101.0)
