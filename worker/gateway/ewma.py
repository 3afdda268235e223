"""
Chooses the server that answers soonest: response times, weighed with how busy each server is.

Pure: times are handed in. What is kept is a peak: it jumps to a response that
took longer, and comes down slowly as others take less. So a server that begins
to stall loses its share with the first slow response, not with the hundredth.
"""

from collections.abc import Callable, Collection, Sequence
from math import exp
from typing import Protocol

from penstock.worker.gateway.balancing import Asking, Chance, Chooser, Loaded, couples
from penstock.worker.gateway.lineup import Lineup
from penstock.worker.limits import LATENCY_DECAY_S

DECAY_NS = LATENCY_DECAY_S * 1e9


class Latency:
    """How long a server takes to answer, in `ns`; 0 while nothing is known."""

    __slots__ = ("_at_ns", "_is_fresh", "ns")

    def __init__(self) -> None:
        self.ns = 0.0
        self._at_ns = 0.0
        self._is_fresh = False

    def observe(self, elapsed_ns: float, now_ns: float) -> None:
        """Take note of an answer."""
        ns = self.ns
        if elapsed_ns >= ns:
            self.ns = elapsed_ns
        else:
            self.ns = elapsed_ns + (ns - elapsed_ns) * exp((self._at_ns - now_ns) / DECAY_NS)
        self._at_ns = now_ns
        self._is_fresh = True

    def failed(self, elapsed_ns: float) -> None:
        """Take note that there was no answer for so long. A quick failure makes nobody quick."""
        self.ns = max(self.ns, elapsed_ns)

    def rest(self, now_ns: float) -> None:
        """Let time pass: who has not been asked for a while is worth another try."""
        if not self._is_fresh:
            self.ns *= exp(min(0.0, self._at_ns - now_ns) / DECAY_NS)
            self._at_ns = now_ns
        self._is_fresh = False


class Timed(Loaded, Protocol):
    """A server whose response times are taken."""

    @property
    def latency(self) -> Latency:
        """How long it takes."""


class Ewma:
    """Of two at random, by weight, the one that would answer sooner with one request more."""

    def __init__(self, servers: Callable[[], Sequence[Timed]], chance: Chance) -> None:
        self._servers = servers
        self._chance = chance

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses."""
        servers = self._servers()
        introduce([each.latency for each in servers])
        weights = lineup.weights
        two = couples(lineup, self._chance)

        def choose(tried: Collection[int], asking: Asking) -> int:
            first, second = two(tried)
            one, other = servers[first], servers[second]
            # The weight tells in how they are drawn, and here in how much each can do at a time:
            # two servers that are idle are compared by their times alone.
            if other.latency.ns * (1 + other.busy_count / weights[second]) < one.latency.ns * (
                1 + one.busy_count / weights[first]
            ):
                return second
            return first

        return choose


def introduce(latencies: Sequence[Latency]) -> None:
    """
    Take a server of which nothing is known for as quick as the others.

    As the quickest it would get everything until its first answer.
    """
    known = [each.ns for each in latencies if each.ns]
    for each in latencies:
        if not each.ns and known:
            each.ns = sum(known) / len(known)
