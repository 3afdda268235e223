"""
Whether a server's answers speak for it: the passive check.

Pure: a table, a few counts, and time as an argument. Who fails often in a row is
put out for a while, for longer each time; then one request tries it, and what
becomes of that one decides.
"""

import math
from enum import Enum
from typing import Final

from penstock.worker.gateway.rules import EjectionRules


class State(Enum):
    """Where a server is."""

    IN = "in"
    OUT = "out"
    DUE = "due"  # it has served its time, and waits for a request that tries it
    TRIED = "tried"  # one request is with it


class Event(Enum):
    """What happens to it."""

    EJECTED = "ejected"
    SERVED = "served"
    TAKEN = "taken"
    PASSED = "passed"
    FAILED = "failed"
    LOST = "lost"  # the request that tried it ended otherwise


# The whole life of a server's standing. A move that is not here is our bug, so it asserts.
TRANSITIONS: Final = {
    State.IN: {Event.EJECTED: State.OUT},
    State.OUT: {Event.SERVED: State.DUE},
    State.DUE: {Event.TAKEN: State.TRIED},
    State.TRIED: {Event.PASSED: State.IN, Event.FAILED: State.OUT, Event.LOST: State.DUE},
}


def ejectable_count(server_count: int, ratio_max: float) -> int:
    """
    Tell how many of an upstream's servers may be out at once.

    The share is rounded up, for with two or three servers hardly any share is a
    whole one; and one always stays, since whatever fails everywhere is not mended
    by having nobody to ask.
    """
    return max(0, min(server_count - 1, math.ceil(ratio_max * server_count)))


class Outlier:
    """
    What one worker makes of one server's answers.

    `failures` is how many came in a row; `until_s` is when its time is served;
    `trial` is the request that tries it.
    """

    __slots__ = ("_count", "_last_s", "_rules", "failures", "since_s", "state", "trial", "until_s")

    def __init__(self, rules: EjectionRules) -> None:
        self._rules = rules
        self._count = 0  # how often it was put out, less what was made good
        self._last_s = 0.0  # for how long, the last time
        self.state = State.IN
        self.since_s = 0.0  # in this state
        self.failures = 0
        self.until_s = 0.0
        self.trial: object = None

    @property
    def is_in(self) -> bool:
        """Tell whether it is in service."""
        return self.state is State.IN

    def failed(self, by: object, now_s: float, *, may_eject: bool) -> bool:
        """
        Count a failure; return whether it is put out with that.

        Of one that is out nothing counts but what becomes of its trial: other
        requests were sent before, or because all servers are out.
        """
        if self.state is State.TRIED:
            if by is not self.trial:
                return False
            self._put_out(Event.FAILED, now_s)
            return True
        if self.state is not State.IN:
            return False
        self.failures += 1
        if self.failures < self._rules.consecutive_failures or not may_eject:
            return False
        # Each time that it was in for as long as it had been out makes one time good.
        if self._last_s:
            self._count = max(0, self._count - int((now_s - self.since_s) / self._last_s))
        self._put_out(Event.EJECTED, now_s)
        return True

    def worked(self, by: object, now_s: float) -> bool:
        """Count a success; return whether it is back in with that."""
        if self.state is State.IN:
            self.failures = 0
        elif self.state is State.TRIED and by is self.trial:
            self.failures = 0
            self._move(Event.PASSED, now_s)
            return True
        return False

    def serve(self, now_s: float) -> None:
        """Let time pass."""
        if self.state is State.OUT and now_s >= self.until_s:
            self._move(Event.SERVED, now_s)

    def try_with(self, request: object, now_s: float) -> None:
        """Have a request try it."""
        self._move(Event.TAKEN, now_s)
        self.trial = request

    def lose_trial(self, now_s: float) -> None:
        """Wait for another request: the one that tried it has shown nothing."""
        self._move(Event.LOST, now_s)

    def _put_out(self, event: Event, now_s: float) -> None:
        self._count += 1
        self._last_s = min(self._rules.most_s, self._rules.base_s * self._count)
        self.until_s = now_s + self._last_s
        self.failures = 0
        self._move(event, now_s)

    def _move(self, event: Event, now_s: float) -> None:
        moves = TRANSITIONS[self.state]
        assert event in moves, f"{event.value} of one that is {self.state.value}"
        self.state = moves[event]
        self.since_s = now_s
        self.trial = None
