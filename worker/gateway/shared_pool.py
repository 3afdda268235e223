"""
A pool whose limit holds over all workers of the machine.

Every connection is reserved in the shared segment before it is made. A worker
that waits for one says so, and the others give up idle ones, and what they have
beyond their share.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.shm.quota import Place, Quota
from penstock.shm.segment import Segment
from penstock.shm.series import SeriesTable
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.limits import QUOTA_TRIES

if TYPE_CHECKING:
    from penstock.worker.gateway.upstream import Upstream


# What is given up at one tick of the clock is seen by whoever waits at the next one of its own.
YIELDING_TICKS = 2


class SharedPool(Pool):
    """Links to one server, of which all workers together have no more than the limit."""

    __slots__ = ("_is_retired", "_quota", "_surplus_count", "_yielding_ticks")

    def __init__(self, upstream: "Upstream", spec: UpstreamSpec, server: ServerSpec, quota: Quota) -> None:
        super().__init__(upstream, spec, server)
        self._quota = quota
        self._is_retired = False
        self._surplus_count = 0  # links to be given up when they come back
        self._yielding_ticks = 0  # for so long, what was given up is left to others

    def give_back(self, link: Link) -> None:
        """Take a link back, or end it for somebody else's sake."""
        if self._surplus_count and not link.is_closed:
            self._give_up(self._surplus_count - 1)
            self._yielding_ticks = YIELDING_TICKS
            link.borrower = None
            link.abort()
        else:
            super().give_back(link)

    def tick(self, now_s: float) -> None:
        """Let time pass, and look who needs what."""
        super().tick(now_s)
        self._yielding_ticks = max(0, self._yielding_ticks - 1)
        self._serve_waiting()
        quota = self._quota
        quota.want(len(self._waiting))
        wanted_count = quota.wanted()
        for _ in range(min(wanted_count, len(self.idle))):
            self._yielding_ticks = YIELDING_TICKS
            self.idle.pop(0).abort()
        self._give_up(quota.surplus(len(self._links) + self._making) if wanted_count else 0)

    def retire(self) -> None:
        """Keep nothing idle from now on."""
        self._is_retired = True
        super().retire()

    def close(self) -> None:
        """End all."""
        super().close()
        self._quota.want(0)

    def _give_up(self, count: int) -> None:
        self._surplus_count = count
        # While there are some, none is kept without a look at it.
        self.idle_max = 0 if count or self._is_retired else self._spec.idle_max

    def _has_room(self) -> bool:
        # Two workers that ask at once may both be refused, so it is asked again.
        return (
            not self._yielding_ticks
            and super()._has_room()
            and any(self._quota.reserve() for _ in range(QUOTA_TRIES))
        )

    def _room_changed(self) -> None:
        # At the next turn: the loop tells of an end just before it closes the socket.
        self._upstream.loop.call_soon(self._release)

    def _release(self) -> None:
        self._quota.hold(len(self._links) + self._making)
        self._serve_waiting()


def quota_of(segment: Segment, own: memoryview, first: int, most: int) -> Quota:
    """Give a worker's part in a limit, whose words are this series and the next. `own` is its row's cells."""
    series = segment.series.at(first)
    assert series is not None
    known: dict[int, int | None] = {id(segment.series): first}

    def first_in(table: SeriesTable) -> int | None:
        # The rows of a segment before this one have other words for the same.
        if id(table) not in known:
            found = (
                each.first
                for each in table.entries()
                if (each.name, each.labels) == (series.name, series.labels)
            )
            known[id(table)] = next(found, None)
        return known[id(table)]

    def others() -> Iterable[Place]:
        for row in segment.claimed_rows():
            # One that is free has no process, and so no connection, whatever is still written there.
            if row.cells is not own and not row.is_free():
                place = first_in(row.series)
                if place is not None:
                    yield row.cells, place

    return Quota((own, first), others, most)
