"""
Chooses the server for a request, among those of an upstream.

Pure: loads and chances are handed in. A server that was tried already is not
chosen again while there is another.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

# Asked for each server by its index: how many requests it is busy with.
Load = Callable[[int], int]
# Gives a number from 0 up to, and without, 1.
Chance = Callable[[], float]


class Balancer(Protocol):
    """One way to choose."""

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of a server."""


class RoundRobin:
    """
    One after the other, by weight, and evenly mixed: a server of weight 5 is not chosen five times in a row.

    Each choice adds every server's weight to its credit, takes the one with the
    most credit, and takes the sum of all weights off it.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = list(weights)
        self._credits = [0] * len(weights)
        self._are_equal = len(set(weights)) == 1
        self._next = 0

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of a server."""
        count = len(self._weights)
        if self._are_equal and not tried:
            index = self._next
            self._next = index + 1 if index + 1 < count else 0
            return index
        left = [index for index in range(count) if index not in tried] or list(range(count))
        credits, weights = self._credits, self._weights
        for index in left:
            credits[index] += weights[index]
        best = max(left, key=lambda index: (credits[index], -index))
        credits[best] -= sum(weights[index] for index in left)
        return best


class Random:
    """Any, by weight."""

    def __init__(self, weights: Sequence[int], chance: Chance) -> None:
        self._weights = list(weights)
        self._chance = chance

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of a server."""
        weights = self._weights
        left = [index for index in range(len(weights)) if index not in tried] or list(range(len(weights)))
        return pick(left, weights, self._chance())


class LeastRequest:
    """
    Of two at random, by weight, the one that is busy with less.

    Nearly as even as looking at all of them, and no two workers that know little
    of each other run to the same one.
    """

    def __init__(self, weights: Sequence[int], load: Load, chance: Chance) -> None:
        self._weights = list(weights)
        self._load = load
        self._chance = chance

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of a server."""
        weights, load, chance = self._weights, self._load, self._chance
        left = [index for index in range(len(weights)) if index not in tried] or list(range(len(weights)))
        first = pick(left, weights, chance())
        if len(left) == 1:
            return first
        second = pick([index for index in left if index != first], weights, chance())
        # Weighed: a server of weight 2 may be busy with twice as much.
        if (load(second) + 1) * weights[first] < (load(first) + 1) * weights[second]:
            return second
        return first


def pick(indexes: Sequence[int], weights: Sequence[int], chance: float) -> int:
    """Return one of these indexes by the weights, where chance says."""
    mark = chance * sum(weights[index] for index in indexes)
    for index in indexes:
        mark -= weights[index]
        if mark < 0:
            return index
    return indexes[-1]
