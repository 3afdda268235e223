"""
Chooses the same server for the same key: in every worker, and after every restart.

Pure. The table is made of all servers, whether they are up or not. When the one
that a key belongs to may not be chosen, the key is hashed again: so only the
keys of that server move, to all the others, and they come back with it.
"""

from collections.abc import Callable, Collection, Sequence
from math import ceil
from zlib import crc32

from penstock.worker.gateway.balancing import Asking, Balancer, Chooser, Loaded, untried
from penstock.worker.gateway.hash_table import Member, Table, TableMaker
from penstock.worker.gateway.lineup import Lineup
from penstock.worker.gateway.request_key import KeyOf
from penstock.worker.limits import HASH_PROBES_MAX, HASH_TABLE_SIZE


class ConsistentHash:
    """
    By the key of a request; by `fallback` if it has none.

    With a `balance_factor`, of 1.25 for example, no server is to be busy with
    more than 1.25 times its share of all requests: beyond, keys go on to others.
    """

    def __init__(
        self,
        key_of: KeyOf,
        table_of: TableMaker,
        fallback: Balancer,
        *,
        balance_factor: float = 0.0,
        servers: Callable[[], Sequence[Loaded]] = tuple,
    ) -> None:
        self._key_of = key_of
        self._table_of = table_of
        self._fallback = fallback
        self._balance_factor = balance_factor
        self._servers = servers
        self._members: list[Member] = []
        self._table: Table = ()

    def chooser(self, lineup: Lineup) -> Chooser:
        """Make the function that chooses."""
        find = self._key_of
        without_key = self._fallback.chooser(lineup)
        candidates = lineup.candidates
        is_open = [weight > 0 for weight in lineup.weights]
        table = self._table_for(lineup)

        def again(mark: int, tried: Collection[int]) -> int:
            for _ in range(HASH_PROBES_MAX):
                mark = rehashed(mark)
                index = table[mark % HASH_TABLE_SIZE]
                if is_open[index] and index not in tried:
                    return index
            left = untried(candidates, tried)
            return left[mark % len(left)]

        def choose(tried: Collection[int], asking: Asking) -> int:
            key = find(asking.scope)
            if key is None:
                return without_key(tried, asking)
            mark = crc32(key)
            index = table[mark % HASH_TABLE_SIZE]
            if is_open[index] and not (tried and index in tried):
                return index
            return again(mark, tried)

        if not self._balance_factor:
            return choose
        room = self._room(lineup)

        def bounded(tried: Collection[int], asking: Asking) -> int:
            index = choose(tried, asking)
            full = [*tried]
            while not room(index) and len(full) < len(candidates):
                full.append(index)
                following = choose(full, asking)
                if following in full:
                    break
                index = following
            return index

        return bounded

    def _table_for(self, lineup: Lineup) -> Table:
        members = [
            Member(index, address, share)
            for index, (address, share) in enumerate(zip(lineup.addresses, lineup.shares, strict=True))
        ]
        if members != self._members:
            self._members = members
            self._table = self._table_of(members)
        return self._table

    def _room(self, lineup: Lineup) -> Callable[[int], bool]:
        servers = self._servers()
        candidates, weights = lineup.candidates, lineup.weights
        factor = self._balance_factor / sum(weights)

        def has_room(index: int) -> bool:
            busy = servers[index].busy_count
            if not busy:
                return True
            whole = sum(servers[each].busy_count for each in candidates) + 1
            return busy < ceil(factor * whole * weights[index])

        return has_room


def rehashed(mark: int) -> int:
    """Return the next of a key's hashes."""
    # A step of a linear congruential generator that comes by all numbers of 32 bits.
    return (mark * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
