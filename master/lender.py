"""
Lends the shards of all listeners to the workers that accept.

Carries out what lending.py works out. It also remembers who holds what, which
is what `status` shows and a hot restart hands over.
"""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

from penstock.master.crew import Crew
from penstock.master.lending import Shard, moves, spread
from penstock.master.listeners import Listener
from penstock.worker.channel import CHANNEL_DESCRIPTORS_MAX
from penstock.worker.messages import Adopt, Release


class Lender:
    """Who holds which shard."""

    def __init__(self, crew: Crew, lent: Mapping[Shard, frozenset[int]] | None = None) -> None:
        self._crew = crew
        self.lent: dict[Shard, frozenset[int]] = dict(lent or {})

    def lend(self, listeners: Iterable[Listener], accepting: Callable[[Listener], Sequence[int]]) -> None:
        """Spread each listener's shards over the workers that may accept for it, and tell them."""
        sockets: dict[Shard, socket.socket] = {}
        wanted: dict[Shard, frozenset[int]] = {}
        for listener in listeners:
            keys = [(listener.key, index) for index in range(len(listener.shards))]
            sockets.update(zip(keys, listener.shards, strict=True))
            pids = accepting(listener)
            if listener.is_shared:
                # One accept queue for all: unevenly served, but better than by one core.
                wanted.update((key, frozenset(pids)) for key in keys)
            else:
                holders = {key: min(self.lent[key]) for key in keys if self.lent.get(key)}
                wanted.update((key, frozenset({pid})) for key, pid in spread(keys, holders, pids).items())
        change = moves(self.lent, wanted)
        # Adopt first: two workers may accept on one shard for a moment, nobody never.
        for pid, gained in change.adopt.items():
            for key, indexes in _messages(gained):
                fds = [sockets[key, index].fileno() for index in indexes]
                if not self._crew.send(pid, Adopt(key, indexes), fds):
                    # It does not hold them, so they are offered again the next time.
                    for index in indexes:
                        wanted[key, index] -= {pid}
        for pid, lost in change.release.items():
            for key, indexes in _messages(lost):
                self._crew.send(pid, Release(key, indexes))
        self.lent = wanted

    def holders(self, listener: Listener) -> frozenset[int]:
        """Tell who accepts on any shard of a listener."""
        return frozenset[int]().union(
            *(pids for (address, _), pids in self.lent.items() if address == listener.key)
        )

    def forget(self, pid: int) -> None:
        """Note that a worker holds nothing any more: it is gone, or drains."""
        self.lent = {shard: holders - {pid} for shard, holders in self.lent.items() if holders - {pid}}


def _messages(shards: Iterable[Shard]) -> list[tuple[str, tuple[int, ...]]]:
    """Group shards into messages: one listener each, and no more descriptors than one may carry."""
    indexes: dict[str, list[int]] = {}
    for name, index in shards:
        indexes.setdefault(name, []).append(index)
    return [
        (name, tuple(found[start : start + CHANNEL_DESCRIPTORS_MAX]))
        for name, found in indexes.items()
        for start in range(0, len(found), CHANNEL_DESCRIPTORS_MAX)
    ]
