"""
A limit that holds over all processes together: so many of something, and never one more.

Each process has a word of its own for what it holds. Whoever wants one more says
so first, in its word, and then adds up all words. If the sum is too large, it
takes that back. Two that do so at once may both be refused, but never both
succeed: with a fence between the store and the loads, whoever is later sees the
other's word. A second word tells the others that somebody waits.
"""

from collections.abc import Callable, Iterable

from penstock.shm.fence import full_fence

# The two words, one after the other.
HELD = 0
WANTED = 1

# The words of a process, and the first of its two.
Place = tuple[memoryview, int]


class Quota:
    """
    One process's part in a limit. `others` gives the places of all other living processes.
    """

    __slots__ = ("_first", "_most", "_others", "_own")

    def __init__(self, own: Place, others: Callable[[], Iterable[Place]], most: int) -> None:
        self._own, self._first = own
        self._others = others
        self._most = most

    def reserve(self) -> bool:
        """Hold one more, if there is one."""
        own, word = self._own, self._first + HELD
        held = own[word] + 1
        own[word] = held
        full_fence()
        if held + sum(cells[first + HELD] for cells, first in self._others()) <= self._most:
            return True
        own[word] = held - 1
        return False

    def hold(self, count: int) -> None:
        """Say how many are held, which is no more than before."""
        self._own[self._first + HELD] = count

    def want(self, count: int) -> None:
        """Say how many more are wanted here."""
        self._own[self._first + WANTED] = count

    def wanted(self) -> int:
        """Tell how many the others want."""
        return sum(cells[first + WANTED] for cells, first in self._others())

    def surplus(self, held: int) -> int:
        """
        Tell how many of those that are held here should go to others: what is beyond
        an equal share, and at least one if another has none at all.
        """
        places = [(cells[first + HELD], cells[first + WANTED]) for cells, first in self._others()]
        wanted_count = sum(wanted for _, wanted in places)
        if not wanted_count:
            return 0
        takers = 1 + sum(held > 0 or wanted > 0 for held, wanted in places)
        is_one_starved = any(wanted and not held for held, wanted in places)
        return min(wanted_count, held, max(held - -(-self._most // takers), int(is_one_starved)))
