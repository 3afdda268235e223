"""The circuit breaker."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.worker.gateway.breaker import TRANSITIONS, Breaker, Event, State
from penstock.worker.gateway.rules import BreakerRules

RULES = BreakerRules(failure_ratio=0.5, requests_min=4, window_s=10.0, open_s=5.0, probes=2)


def test_every_state_can_be_left() -> None:
    """
    It never stays open for good.
    """
    assert TRANSITIONS.keys() == set(State)
    assert {event for moves in TRANSITIONS.values() for event in moves} == set(Event)
    assert all(TRANSITIONS.values())


def test_it_opens_cools_and_closes() -> None:
    """
    The life that it is made for.
    """
    breaker = Breaker(RULES, 0.0)
    assert not breaker.failed("a", 1.0, (3, 3))  # too few to judge
    assert not breaker.failed("a", 1.0, (8, 3))  # most have worked
    assert breaker.failed("a", 1.0, (8, 4))
    assert not breaker.admits("b")
    assert breaker.retry_after_s(2.0) == 4
    assert not breaker.advance(5.9, (8, 4))
    assert breaker.advance(6.0, (8, 4))
    assert [breaker.admits(each) for each in "cde"] == [True, True, False]
    assert not breaker.worked("other", 6.5, (10, 4))
    assert not breaker.worked("c", 6.5, (10, 4))
    assert breaker.worked("d", 6.5, (10, 4))
    assert breaker.admits("f")
    assert not breaker.failed("f", 7.0, (11, 5))  # What failed before is over.


def test_a_probe_that_fails_opens_it_again() -> None:
    """
    And one of which nothing is heard does not keep it half-open.
    """
    breaker = Breaker(RULES, 0.0)
    breaker.failed("a", 0.0, (4, 4))
    breaker.advance(5.0, (4, 4))
    assert breaker.admits("b")
    assert not breaker.failed("older", 5.0, (4, 5))
    assert breaker.failed("b", 5.0, (5, 6))
    assert not breaker.admits("c")
    breaker.advance(10.0, (5, 6))
    assert breaker.admits("d")
    assert breaker.admits("e")
    assert not breaker.admits("f")
    breaker.advance(15.0, (7, 6))
    assert breaker.admits("g")


class BreakerMachine(RuleBasedStateMachine):
    """Requests come, and end in any way and order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(RULES, 0.0)
        self.now_s = 0.0
        self.attempts = self.failures = 0
        self.running: list[int] = []
        self.admitted_half_open = 0
        self.opened_s = 0.0

    @rule(count=st.integers(1, 8))
    def begin(self, count: int) -> None:
        """Have requests come."""
        for _ in range(count):
            state = self.breaker.state
            is_admitted = self.breaker.admits(self.attempts)
            assert is_admitted or state is not State.CLOSED
            assert not is_admitted or state is not State.OPEN
            if is_admitted:
                self.running.append(self.attempts)
                self.attempts += 1
                self.admitted_half_open += state is State.HALF_OPEN
                assert state is not State.HALF_OPEN or self.admitted_half_open <= RULES.probes

    @rule(pick=st.integers(0, 100), works=st.booleans())
    def end(self, pick: int, works: bool) -> None:
        """Have one of them end."""
        if not self.running:
            return
        request = self.running.pop(pick % len(self.running))
        before = self.breaker.state
        if works:
            changed = self.breaker.worked(request, self.now_s, (self.attempts, self.failures))
            assert not changed or (before is State.HALF_OPEN and self.breaker.state is State.CLOSED)
        else:
            self.failures += 1
            changed = self.breaker.failed(request, self.now_s, (self.attempts, self.failures))
            assert not changed or self.breaker.state is State.OPEN
            if changed:
                self.opened_s = self.now_s
        assert changed == (self.breaker.state is not before)

    @rule(seconds=st.integers(0, 12))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now_s += seconds
        before = self.breaker.state
        if self.breaker.advance(self.now_s, (self.attempts, self.failures)):
            self.admitted_half_open = 0
            assert self.breaker.state is State.HALF_OPEN
        else:
            assert self.breaker.state is before

    @invariant()
    def it_is_open_no_longer_than_it_says(self) -> None:
        """A request that comes when Retry-After is over is let through, or soon."""
        if self.breaker.state is State.OPEN:
            left_s = self.opened_s + RULES.open_s - self.now_s
            assert left_s <= self.breaker.retry_after_s(self.now_s) <= RULES.open_s + 1


TestBreakerMachine = BreakerMachine.TestCase
