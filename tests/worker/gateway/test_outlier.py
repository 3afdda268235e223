"""The passive check: when a server is put out, and how it comes back."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.worker.gateway.outlier import TRANSITIONS, Event, Outlier, State, ejectable_count
from penstock.worker.gateway.rules import EjectionRules

RULES = EjectionRules(consecutive_failures=3, base_s=30.0, most_s=100.0)


def test_every_state_can_be_left_and_leads_back() -> None:
    """
    Nobody is out for ever.
    """
    assert TRANSITIONS.keys() == set(State)
    reached = {State.OUT}
    while more := {to for state in reached for to in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert State.IN in reached
    assert {event for moves in TRANSITIONS.values() for event in moves} == set(Event)


def test_only_failures_in_a_row_count() -> None:
    """
    One success and it begins anew.
    """
    server = Outlier(RULES)
    for _ in range(5):
        assert not server.failed(None, 0.0, may_eject=True)
        assert not server.failed(None, 0.0, may_eject=True)
        server.worked(None, 0.0)
    for expected in (False, False, True):
        assert server.failed(None, 0.0, may_eject=True) is expected


def test_it_is_out_for_longer_each_time_and_makes_up_for_it() -> None:
    """
    30, 60, 90 and then 100 seconds, while its trials fail; after a while in service it is 30 again.
    """
    server = Outlier(RULES)
    now_s = 1000.0
    for _ in range(3):
        server.failed(None, now_s, may_eject=True)
    for expected_s in (30.0, 60.0, 90.0, 100.0, 100.0):
        assert server.until_s - now_s == expected_s
        server.serve(server.until_s - 0.1)
        assert server.state is State.OUT
        now_s = server.until_s
        server.serve(now_s)
        server.try_with("trial", now_s)
        assert server.failed("trial", now_s, may_eject=True)
    server.serve(server.until_s)
    server.try_with("trial", now_s)
    assert server.worked("trial", now_s)
    for _ in range(3):
        server.failed(None, now_s + 600, may_eject=True)
    assert server.until_s - (now_s + 600) == 30.0


def test_nobody_but_the_trial_decides() -> None:
    """
    What was sent before, and fails now, says nothing about how the server is now.
    """
    server = Outlier(RULES)
    for _ in range(3):
        server.failed(None, 0.0, may_eject=True)
    server.serve(30.0)
    server.try_with("trial", 30.0)
    assert not server.failed("older", 31.0, may_eject=True)
    assert not server.worked("older", 31.0)
    assert server.state is State.TRIED
    assert server.worked("trial", 31.0)


def test_how_many_may_be_out() -> None:
    """
    Half of them, rounded up, and never all.
    """
    assert [ejectable_count(count, 0.5) for count in range(1, 8)] == [0, 1, 2, 2, 3, 3, 4]
    assert [ejectable_count(count, 0.1) for count in range(1, 8)] == [0, 1, 1, 1, 1, 1, 1]
    assert [ejectable_count(count, 1.0) for count in range(1, 4)] == [0, 1, 2]


class OutlierMachine(RuleBasedStateMachine):
    """Anything may happen, in any order that callers keep to."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Outlier(RULES)
        self.now_s = 0.0
        self.in_a_row = 0

    @rule(may_eject=st.booleans(), by=st.sampled_from(["trial", "other"]))
    def fail(self, may_eject: bool, by: str) -> None:
        """Have a request fail."""
        before = self.server.state
        changed = self.server.failed(by, self.now_s, may_eject=may_eject)
        if before is State.IN:
            self.in_a_row += 1
            assert changed == (may_eject and self.in_a_row >= RULES.consecutive_failures)
        else:
            assert changed == (before is State.TRIED and by == "trial")
        if changed:
            self.in_a_row = 0
            assert self.server.state is State.OUT
            assert RULES.base_s <= self.server.until_s - self.now_s <= RULES.most_s

    @rule(by=st.sampled_from(["trial", "other"]))
    def work(self, by: str) -> None:
        """Have a request succeed."""
        before = self.server.state
        assert self.server.worked(by, self.now_s) == (before is State.TRIED and by == "trial")
        if self.server.is_in:
            self.in_a_row = 0

    @rule(seconds=st.integers(0, 120))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now_s += seconds
        before, until_s = self.server.state, self.server.until_s
        self.server.serve(self.now_s)
        if before is State.OUT:
            assert (self.server.state is State.DUE) == (self.now_s >= until_s)

    @precondition(lambda self: self.server.state is State.DUE)
    @rule()
    def take(self) -> None:
        """Try it."""
        self.server.try_with("trial", self.now_s)

    @precondition(lambda self: self.server.state is State.TRIED)
    @rule()
    def lose(self) -> None:
        """Have the client of the trial go away."""
        self.server.lose_trial(self.now_s)

    @invariant()
    def a_trial_is_there_exactly_while_one_is_under_way(self) -> None:
        """No request is held on to that is over."""
        assert (self.server.trial is not None) == (self.server.state is State.TRIED)
        assert self.server.is_in or self.server.failures == 0


TestOutlierMachine = OutlierMachine.TestCase
