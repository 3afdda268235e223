"""
Tables that say which server a hash belongs to.

Pure, and the same in every process and on every machine: they follow from
addresses and weights alone, in whatever order these stand. A request costs one
look into the table, however many servers there are.
"""

from array import array
from collections.abc import Callable, Sequence
from hashlib import blake2b, shake_128
from math import log
from typing import NamedTuple

from penstock.worker.limits import HASH_TABLE_SIZE

NOBODY = -1


class Member(NamedTuple):
    """One server that hashes belong to, and where it stands among the others."""

    position: int
    address: str
    weight: int


# The position of a server for each slot.
Table = Sequence[int]
TableMaker = Callable[[Sequence[Member]], Table]


class Rendezvous:
    """
    Each slot of the table is drawn by lot between all servers, and a server's lots never change.

    So a server that goes leaves its own slots to others, and one that comes
    takes slots for itself; no other slot changes hands. The shares are those of
    the weights within a few percent: slots that fall by lot are not quite even.
    """

    def __init__(self) -> None:
        self._lots: dict[tuple[str, int], Sequence[float]] = {}

    def __call__(self, members: Sequence[Member]) -> Table:
        """Make the table."""
        members = sorted((each for each in members if each.weight), key=lambda each: each.address)
        if not members:
            return array("i", [NOBODY]) * HASH_TABLE_SIZE
        kept = self._lots
        self._lots = {
            key: kept.get(key) or _lots(*key) for key in ((each.address, each.weight) for each in members)
        }
        positions = [each.position for each in members]
        return array(
            "i", [positions[lots.index(min(lots))] for lots in zip(*self._lots.values(), strict=True)]
        )


def _lots(address: str, weight: int) -> Sequence[float]:
    """
    Draw a server's lots; the smallest wins a slot.

    A lot of -log(u)/weight, with u from a hash, wins in proportion to the weight.
    """
    drawn = array("I")
    assert drawn.itemsize == 4
    drawn.frombytes(shake_128(address.encode()).digest(4 * HASH_TABLE_SIZE))
    # In single precision: no library's last digit of a logarithm decides.
    return array("f", [-log((each + 0.5) / 2**32) / weight for each in drawn])


def maglev(members: Sequence[Member]) -> Table:
    """
    Have the servers take slots in turn, each in an order of its own (Eisenbud et al., 2016).

    As even as can be. A change of the servers moves a few percent of the other
    slots as well.
    """
    table = array("i", [NOBODY]) * HASH_TABLE_SIZE
    members = sorted((each for each in members if each.weight), key=lambda each: each.address)
    if not members:
        return table
    heaviest = max(each.weight for each in members)
    places = [_order(each.address) for each in members]
    turns = [0] * len(members)
    left = HASH_TABLE_SIZE
    while True:
        for at, member in enumerate(members):
            turns[at] += member.weight
            if turns[at] < heaviest:
                continue
            turns[at] -= heaviest
            place, skip = places[at]
            while table[place] != NOBODY:
                place = (place + skip) % HASH_TABLE_SIZE
            table[place] = member.position
            places[at] = ((place + skip) % HASH_TABLE_SIZE, skip)
            left -= 1
            if not left:
                return table


def _order(address: str) -> tuple[int, int]:
    """Return where a server begins, and in which steps it goes on: all over a table whose size is prime."""
    digest = blake2b(address.encode(), digest_size=16).digest()
    first, second = int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
    return first % HASH_TABLE_SIZE, second % (HASH_TABLE_SIZE - 1) + 1
