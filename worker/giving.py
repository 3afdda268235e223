"""
A draining worker gives its idle connections to its siblings, through the master.

A connection moves as a descriptor, and only when no byte of a next request was
read and all output is sent: the client notices nothing, and what it writes on
the way waits in the kernel.
"""

import asyncio
import os
import time
from collections.abc import Mapping

from penstock.worker.channel import CHANNEL_DESCRIPTORS_MAX, ChannelFull
from penstock.worker.http.site import Site
from penstock.worker.link import MasterLink
from penstock.worker.logs import LOG
from penstock.worker.messages import Give, GiveTold
from penstock.worker.parking import Lane, Parked

# Output that the client takes slowly is looked at again after this.
LOOK_AGAIN_S = 0.01

# Connections came back because nobody can take them just now: try again after this,
GIVE_AGAIN_S = 0.1

# and for this long; then they are treated like those that cannot move.
GIVE_UP_S = 1.0


class Giver:
    """Gives away whatever is idle on these sites, by address, until nothing is left or nobody takes it."""

    def __init__(self, link: MasterLink, sites: Mapping[str, Site]) -> None:
        self._link = link
        self._sites = sites
        self._news = asyncio.Event()
        self._refused_s: float | None = None  # since when they come back
        self._not_before_s = 0.0

    def notice(self) -> None:
        """Look again: a connection has become idle."""
        self._news.set()

    def refused(self) -> None:
        """Note that connections came back, and are parked here again."""
        now_s = time.monotonic()
        if self._refused_s is None:
            self._refused_s = now_s
        self._not_before_s = now_s + GIVE_AGAIN_S
        self._news.set()

    async def run(self) -> None:
        """Give until cancelled; return if nobody takes them any more."""
        while True:
            self._news.clear()
            pause_s = await self._round()
            now_s = time.monotonic()
            if self._refused_s is not None and now_s - self._refused_s > GIVE_UP_S:
                LOG.warning("drain: nobody takes the idle connections over")
                return
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _round(self) -> float | None:
        """Give what can be given now; return when to look again without news."""
        pause_s: float | None = None
        for address, site in self._sites.items():
            lane = site.lane
            assert lane is not None
            while site.park_leaving():
                await asyncio.sleep(0)
            if site.is_anyone_leaving:
                pause_s = LOOK_AGAIN_S
            while lane.count:
                wait_s = self._not_before_s - time.monotonic()
                if wait_s > 0:
                    return wait_s
                await self._link.flushed()
                parked = lane.take_out(CHANNEL_DESCRIPTORS_MAX)
                if not parked:
                    break  # What still counts is about to be a connection.
                was_given = self._give(address, lane, parked)
                lane.left(len(parked))
                if not was_given:
                    return GIVE_AGAIN_S
                await asyncio.sleep(0)
        if self._refused_s is not None and time.monotonic() > self._not_before_s + GIVE_AGAIN_S:
            self._refused_s = None  # None came back of the last ones.
        if self._refused_s is not None:
            pause_s = GIVE_AGAIN_S
        return pause_s

    def _give(self, address: str, lane: Lane, parked: list[Parked]) -> bool:
        """Send some to the master, or keep them for now."""
        now_s = time.monotonic()
        left_ms = tuple(max(0, round((each.deadline_s - now_s) * 1000)) for each in parked)
        fds = [each.fd for each in parked]
        message = Give(address, left_ms)
        if any(each.told for each in parked):
            message = GiveTold(address, left_ms, tuple(each.told for each in parked))
        try:
            self._link.send(message, fds)
        except ChannelFull:
            lane.take_over(parked)
            return False
        for fd in fds:
            os.close(fd)
        return True
