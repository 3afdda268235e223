"""
Chooses the server for a request, among those of an upstream.

Pure: loads and chances are handed in. A balancer is told of the lineup when
that changes, and makes a function of it that chooses: all that can be worked
out before a request is worked out then. A server that was tried already for a
request is not chosen again while there is another.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate, count, cycle
from math import gcd
from typing import Protocol

from penstock.worker.asgi.types import Scope
from penstock.worker.gateway.lineup import Lineup
from penstock.worker.limits import BALANCE_ROUND_MAX

# Gives a number from 0 up to, and without, 1.
Chance = Callable[[], float]

NOBODY = -1


class Loaded(Protocol):
    """A server, as those see it who look at loads."""

    @property
    def busy_count(self) -> int:
        """Count the requests that it is busy with."""


class Asking(Protocol):
    """A request that is to have a server. It is not plain if its response is its own alone."""

    scope: Scope
    is_plain: bool


# Takes the indexes that were tried, and who asks; gives an index, or NOBODY.
Chooser = Callable[[Collection[int], Asking], int]


class Balancer(Protocol):
    """One way to choose. What it knows outlives a lineup, where it makes sense."""

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses among the two or more candidates of a lineup."""


def chooser_of(balancer: Balancer, lineup: Lineup) -> Chooser:
    """Make the function that chooses, also where there is nothing to choose."""
    candidates = lineup.candidates
    only = candidates[0] if candidates else NOBODY
    choose = balancer.chooser(lineup) if len(candidates) > 1 else lambda tried, asking: only
    return _with_reserves(choose, lineup) if lineup.reserves else choose


def _with_reserves(choose: Chooser, lineup: Lineup) -> Chooser:
    """Have a backup get what was tried with all others; backups of the same priority take turns."""
    candidates = lineup.candidates
    turn = count()

    def choose_or_fall_back(tried: Collection[int], asking: Asking) -> int:
        if tried and all(index in tried for index in candidates):
            for level in lineup.reserves:
                left = [index for index in level if index not in tried]
                if left:
                    return left[next(turn) % len(left)]
        return choose(tried, asking)

    return choose_or_fall_back


class RoundRobin:
    """
    One after the other, by weight, and evenly mixed: a server of weight 5 is not chosen five times in a row.

    A round is worked out beforehand, and begun anywhere: workers that start
    together do not go to the same server. Weights that make no short round, as
    those that grow, are mixed as requests come; what each server is owed then is
    kept by its address.
    """

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._names: list[str] = []
        self._owed: list[float] = []

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses."""
        candidates = lineup.candidates
        following = self._turns(candidates, lineup).__next__
        # For another try, which takes nobody's turn: else who fails would get the first try of every request.
        others = cycle(candidates).__next__

        def choose(tried: Collection[int], asking: Asking) -> int:
            if tried and any(each not in tried for each in candidates):
                index = others()
                while index in tried:
                    index = others()
                return index
            return following()

        return choose

    def _turns(self, candidates: Sequence[int], lineup: Lineup) -> Iterator[int]:
        weights = [lineup.weights[index] for index in candidates]
        whole = [int(weight) for weight in weights]
        divisor = gcd(*whole)
        if whole == weights and sum(whole) // divisor <= BALANCE_ROUND_MAX:
            self._names, self._owed = [], []
            mixed = smooth([weight // divisor for weight in whole], [0] * len(whole))
            order = [candidates[next(mixed)] for _ in range(sum(whole) // divisor)]
            begin = int(self._chance() * len(order))
            return cycle(order[begin:] + order[:begin])
        owed = dict(zip(self._names, self._owed, strict=True))
        self._names = [lineup.addresses[index] for index in candidates]
        self._owed = [owed.get(name, 0) for name in self._names]
        return (candidates[at] for at in smooth(weights, self._owed))


def smooth(weights: Sequence[float], owed: list[float]) -> Iterator[int]:
    """
    Give positions without end, each as often as its weight says and evenly mixed.

    Each turn every position is owed its weight more, and the one that is owed
    most has its turn and pays for all. `owed` is kept up to date.
    """
    total = sum(weights)
    count = range(len(weights))
    while True:
        for at in count:
            owed[at] += weights[at]
        best = owed.index(max(owed))
        owed[best] -= total
        yield best


class Random:
    """Any, by weight."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses."""
        chance = self._chance
        candidates = lineup.candidates
        weights = [lineup.weights[index] for index in candidates]
        # Without the last one: a chance that is rounded up to 1 is still somebody's.
        *marks, total = accumulate(weights)

        def choose(tried: Collection[int], asking: Asking) -> int:
            if tried:
                return draw(untried(candidates, tried), lineup.weights, chance())
            return candidates[bisect_right(marks, chance() * total)]

        return choose


class LeastRequest:
    """
    Of two at random, by weight, the one that is busy with less.

    Nearly as even as looking at all of them, and no two workers that know little
    of each other run to the same one.
    """

    def __init__(self, servers: Callable[[], Sequence[Loaded]], chance: Chance) -> None:
        self._servers = servers
        self._chance = chance

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses."""
        chance = self._chance
        servers = self._servers()
        weights = lineup.weights
        two = couples(lineup, chance)
        candidates = lineup.candidates

        def by_weight(tried: Collection[int], asking: Asking) -> int:
            first, second = two(tried)
            # Weighed: a server of weight 2 may be busy with twice as much.
            if servers[second].busy_count * weights[first] < servers[first].busy_count * weights[second]:
                return second
            return first

        if len({weights[index] for index in candidates}) > 1:
            return by_weight
        count, last = len(candidates), candidates[-1]
        others = count - 1

        def choose(tried: Collection[int], asking: Asking) -> int:
            if tried:
                return by_weight(tried, asking)
            first = candidates[int(chance() * count)]
            second = candidates[int(chance() * others)]
            if second == first:
                second = last
            if servers[second].busy_count < servers[first].busy_count:
                return second
            return first

        return choose


def couples(lineup: Lineup, chance: Chance) -> Callable[[Collection[int]], tuple[int, int]]:
    """
    Make a function that draws two different candidates by weight.

    It draws the same one twice if that is the only one left.
    """
    candidates = lineup.candidates
    weights = [lineup.weights[index] for index in candidates]
    *marks, total = accumulate(weights)
    begins = [0, *marks]

    def two(tried: Collection[int]) -> tuple[int, int]:
        if tried:
            left = untried(candidates, tried)
            drawn = draw(left, lineup.weights, chance())
            others = [index for index in left if index != drawn] or left
            return drawn, draw(others, lineup.weights, chance())
        first = bisect_right(marks, chance() * total)
        weight = weights[first]
        mark = chance() * (total - weight)
        if mark >= begins[first]:
            mark += weight
        second = bisect_right(marks, mark)
        return candidates[first], candidates[second]

    return two


def untried(candidates: Sequence[int], tried: Collection[int]) -> Sequence[int]:
    """Return those that were not tried; all, if all were."""
    return [index for index in candidates if index not in tried] or candidates


def draw(indexes: Sequence[int], weights: Sequence[float], chance: float) -> int:
    """Return one of these indexes by the weights, where chance says."""
    *marks, total = accumulate(weights[index] for index in indexes)
    return indexes[bisect_right(marks, chance * total)]
