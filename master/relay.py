"""
Idle connections on their way from a worker that drains to its siblings.

The master passes descriptors on and looks at none of them. Whatever cannot be
placed goes back to where it came from.
"""

import os
from collections.abc import Callable, Sequence

from penstock.master.crew import Crew
from penstock.worker.logs import LOG
from penstock.worker.messages import Give, GiveTold, Take, TakeTold

# Messages that may wait for a worker to read, each with up to 128 descriptors, before it is given
# no more: the master has to keep room for descriptors of its own.
RELAY_WAITING_MAX = 4


class Relay:
    """Passes connections on to those who take them, evenly."""

    def __init__(self, crew: Crew, takers: Callable[[str], Sequence[int]]) -> None:
        """`takers` lists the workers that may be given connections of an address."""
        self._crew = crew
        self._takers = takers
        self._taken: dict[int, int] = {}  # connections by worker

    def give(self, giver: int, message: Give, fds: list[int]) -> None:
        """Pass connections on. Takes the descriptors over."""
        try:
            self._pass_on(giver, message, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _pass_on(self, giver: int, message: Give, fds: list[int]) -> None:
        if len(fds) < len(message.left_ms):
            LOG.error("out of descriptors: lost %d idle connections", len(message.left_ms) - len(fds))
        left_ms = message.left_ms[: len(fds)]
        takers = [pid for pid in self._takers(message.listener) if pid != giver]
        self._taken = {pid: self._taken.get(pid, 0) for pid in takers}
        for pid in sorted(takers, key=self._taken.__getitem__):
            if self._crew.waiting(pid) >= RELAY_WAITING_MAX:
                continue
            if self._crew.send(pid, _take(message, left_ms), fds):
                self._taken[pid] += len(fds)
                return
        if not self._crew.send(giver, _take(message, left_ms, is_returned=True), fds):
            LOG.warning("closed %d idle connections: nobody is there to take them", len(fds))


def _take(message: Give, left_ms: tuple[int, ...], *, is_returned: bool = False) -> Take:
    if isinstance(message, GiveTold):
        return TakeTold(message.listener, left_ms, is_returned, message.told[: len(left_ms)])
    return Take(message.listener, left_ms, is_returned)
