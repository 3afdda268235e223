"""The wheel of deadlines, against the plainest possible model of one."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.wheel import NOT_WATCHED, Wheel
from penstock.worker.limits import WHEEL_BUCKETS, WHEEL_TICK_S

HORIZON_S = WHEEL_BUCKETS * WHEEL_TICK_S


@dataclass(eq=False)
class Item:
    """Something with a deadline, that notes when it expired."""

    deadline_s: float = 0.0
    wheel_tick: int = NOT_WATCHED
    expired_s: list[float] = field(default_factory=list)

    def expire(self, now_s: float) -> None:
        """Note the time."""
        self.expired_s.append(now_s)


def test_item_expires_at_the_first_look_after_its_deadline() -> None:
    """
    Never before, and not much later.
    """
    wheel, item = Wheel(100.0), Item()
    wheel.watch(item, 110.2)
    now_s = 100.0
    while not item.expired_s:
        now_s += WHEEL_TICK_S
        wheel.advance(now_s)
    assert 110.2 <= item.expired_s[0] <= 110.2 + 2 * WHEEL_TICK_S
    wheel.advance(1000.0)
    assert len(item.expired_s) == 1


def test_deadline_that_moves_later_is_a_plain_store() -> None:
    """
    What the hot path does: the item is looked at early, and put on.
    """
    wheel, item = Wheel(0.0), Item()
    wheel.watch(item, 10.0)
    item.deadline_s = 50.0
    for now_s in range(50):
        wheel.advance(float(now_s))
    assert not item.expired_s
    wheel.advance(51.0)
    assert item.expired_s


def test_earlier_deadline_moves_the_item() -> None:
    """
    A head that begins has ten seconds, not the rest of seventy-five.
    """
    wheel, item = Wheel(0.0), Item()
    wheel.watch(item, 75.0)
    wheel.watch(item, 10.0)
    wheel.advance(11.0)
    assert item.expired_s == [11.0]
    wheel.advance(80.0)
    assert item.expired_s == [11.0]


def test_forgotten_item_does_not_expire() -> None:
    """
    Its connection is gone.
    """
    wheel, item = Wheel(0.0), Item()
    wheel.forget(item)
    wheel.watch(item, 10.0)
    wheel.forget(item)
    wheel.advance(100.0)
    assert not item.expired_s


def test_deadline_beyond_the_horizon() -> None:
    """
    An hour of keep-alive is looked at now and then.
    """
    wheel, item = Wheel(0.0), Item()
    wheel.watch(item, 3600.0)
    now_s = 0.0
    while now_s < 3599.0:
        now_s += 1.0
        wheel.advance(now_s)
    assert not item.expired_s
    wheel.advance(3601.0)
    assert item.expired_s


def test_item_may_take_down_another_and_come_back_itself() -> None:
    """
    Expiring changes the wheel under its own feet.
    """
    wheel = Wheel(0.0)

    class Loop(Item):
        def expire(self, now_s: float) -> None:
            super().expire(now_s)
            wheel.watch(self, now_s + 5.0)

    item = Loop()
    wheel.watch(item, 5.0)
    for now_s in range(1, 23):
        wheel.advance(float(now_s))
    assert len(item.expired_s) in (3, 4)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("watch"), st.integers(0, 3), st.floats(0.0, 3 * HORIZON_S)),
            st.tuples(st.just("put off"), st.integers(0, 3), st.floats(0.0, 3 * HORIZON_S)),
            st.tuples(st.just("forget"), st.integers(0, 3), st.just(0.0)),
            st.tuples(st.just("pass"), st.just(0), st.floats(0.0, 2 * HORIZON_S)),
        ),
        max_size=40,
    )
)
def test_nothing_expires_early_or_is_lost(steps: list[tuple[str, int, float]]) -> None:
    """
    Whatever is done to it, an item that is watched expires, and after its deadline.
    """
    now_s = 1000.0
    wheel = Wheel(now_s)
    items = [Item() for _ in range(4)]
    watched: dict[int, float] = {}
    for step, index, value in steps:
        item = items[index]
        if step == "watch":
            wheel.watch(item, now_s + value)
            watched[index] = now_s + value
        elif step == "put off" and index in watched:
            item.deadline_s = watched[index] = watched[index] + value
        elif step == "forget":
            wheel.forget(item)
            watched.pop(index, None)
        elif step == "pass":
            now_s += value
            wheel.advance(now_s)
            for other in list(watched):
                if items[other].expired_s:
                    assert items[other].expired_s == [now_s]
                    assert watched.pop(other) <= now_s
                    items[other].expired_s.clear()
                else:
                    assert watched[other] > now_s - WHEEL_TICK_S
    for index in range(4):
        assert not items[index].expired_s
        assert (items[index].wheel_tick != NOT_WATCHED) == (index in watched)
