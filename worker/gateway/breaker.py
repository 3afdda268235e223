"""
The circuit breaker of an upstream: whether requests are let through at all.

Pure: a table, and totals and times as arguments. When too many of the last
attempts have failed it opens, and requests are answered at once; after a while
a few go through, and what becomes of them decides.
"""

from enum import Enum
from typing import Final

from penstock.worker.gateway.rules import BreakerRules
from penstock.worker.gateway.window import Window


class State(Enum):
    """Whether requests go through."""

    CLOSED = "closed"  # as current does through a fuse: all of them
    OPEN = "open"  # none
    HALF_OPEN = "half-open"  # a few


class Event(Enum):
    """What happens to it."""

    TRIPPED = "tripped"
    COOLED = "cooled"
    PASSED = "passed"
    FAILED = "failed"


# The whole life of a breaker. A move that is not here is our bug, so it asserts.
TRANSITIONS: Final = {
    State.CLOSED: {Event.TRIPPED: State.OPEN},
    State.OPEN: {Event.COOLED: State.HALF_OPEN},
    State.HALF_OPEN: {Event.PASSED: State.CLOSED, Event.FAILED: State.OPEN},
}


class Breaker:
    """
    The breaker of one upstream in one worker.

    Each method that may move it says so. The totals are how many attempts there
    were so far, and how many of them failed.
    """

    __slots__ = ("_passed_count", "_probes", "_rules", "_since_s", "_window", "state")

    def __init__(self, rules: BreakerRules, now_s: float) -> None:
        self._rules = rules
        self._window = Window(rules.window_s, now_s, (0, 0))
        self._since_s = now_s
        self._probes: set[object] = set()  # requests that went through it half-open
        self._passed_count = 0
        self.state = State.CLOSED

    def admits(self, request: object) -> bool:
        """Tell whether a request may go through."""
        if self.state is not State.HALF_OPEN:
            return self.state is State.CLOSED
        if len(self._probes) + self._passed_count >= self._rules.probes:
            return False
        self._probes.add(request)
        return True

    def failed(self, by: object, now_s: float, totals: tuple[int, int]) -> bool:
        """Hear of a failure, which is in the totals; return whether it opens."""
        if self.state is State.CLOSED:
            attempts, failures = self._window.growth(totals)
            ratio = self._rules.failure_ratio
            if ratio is None or attempts < self._rules.requests_min or failures < ratio * attempts:
                return False
            self._move(Event.TRIPPED, now_s)
            return True
        if self.state is State.HALF_OPEN and by in self._probes:
            self._move(Event.FAILED, now_s)
            return True
        return False

    def worked(self, by: object, now_s: float, totals: tuple[int, int]) -> bool:
        """Hear of a success; return whether it closes."""
        if by not in self._probes:
            return False
        self._probes.discard(by)
        self._passed_count += 1
        if self._passed_count < self._rules.probes:
            return False
        self._move(Event.PASSED, now_s)
        # What failed before is over.
        self._window.restart(now_s, totals)
        return True

    def advance(self, now_s: float, totals: tuple[int, int]) -> bool:
        """Let time pass; return whether probes may go through from now on."""
        self._window.advance(now_s, totals)
        if self.state is State.CLOSED or now_s - self._since_s < self._rules.open_s:
            return False
        if self.state is State.OPEN:
            self._move(Event.COOLED, now_s)
        else:
            # Clients have left, or it takes them long: others may go through.
            self._probes.clear()
            self._since_s = now_s
        return True

    def retry_after_s(self, now_s: float) -> int:
        """Tell when it is worth while to ask again."""
        left_s = self._since_s + self._rules.open_s - now_s if self.state is State.OPEN else 1.0
        return max(1, round(left_s + 0.5))

    def _move(self, event: Event, now_s: float) -> None:
        moves = TRANSITIONS[self.state]
        assert event in moves, f"{event.value} of one that is {self.state.value}"
        self.state = moves[event]
        self._since_s = now_s
        self._probes.clear()
        self._passed_count = 0
