"""
Has workers replaced that have served enough.

Reads what they have done from their rows and what they have grown to from
/proc; who is due is decided in recycling.py.
"""

import os
import random
from pathlib import Path
from typing import Protocol

from penstock.master.config.model import Recycle
from penstock.master.fleet import Fleet, State, Worker
from penstock.master.recycling import Recycling, Wear
from penstock.shm import names
from penstock.shm.segment import Segment
from penstock.worker.logs import LOG

# The master wakes up as often anyway, to show that it is alive.
LOOK_S = 1.0
# The kernel keeps this number ready, but a thousand workers are a thousand files to open.
RSS_LOOK_S = 3.0

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class Force(Protocol):
    """Who keeps the workers."""

    fleet: Fleet

    def replace(self, pid: int, reason: str) -> None:
        """Have a worker replaced, successor first."""


class Recycler:
    """Looks at the workers by the clock."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._recycling = Recycling(random.random)
        self._rss_bytes: dict[int, int | None] = {}  # by pid
        self._next_look_s = 0.0
        self._next_rss_look_s = 0.0

    def tick(self, force: Force, limits: Recycle, now_s: float) -> None:
        """Have one worker replaced, if one is due."""
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_S
        chosen = self._recycling.next(force.fleet, limits, self._wear(force.fleet, limits, now_s), now_s)
        for warning in self._recycling.warnings:
            LOG.warning("%s", warning)
        self._recycling.warnings.clear()
        if chosen is not None:
            force.replace(chosen.pid, chosen.reason)

    def _wear(self, fleet: Fleet, limits: Recycle, now_s: float) -> dict[int, Wear]:
        ready = fleet.in_state(State.READY)
        if limits.max_rss_bytes is None:
            self._rss_bytes = {}
        elif now_s >= self._next_rss_look_s:
            self._next_rss_look_s = now_s + RSS_LOOK_S
            self._rss_bytes = {worker.pid: read_rss_bytes(worker.pid) for worker in ready}
        return {
            worker.pid: Wear(
                requests=self._requests(worker) if limits.max_requests else None,
                rss_bytes=self._rss_bytes.get(worker.pid),
            )
            for worker in ready
        }

    def _requests(self, worker: Worker) -> int | None:
        """Count what this worker has answered: its row counts on from what its owners before it did."""
        row = self._segment.row(worker.row)
        reading = row.read()
        if reading is None or not reading.is_current or reading.pid != worker.pid:
            return None
        return sum(row.cells[word] for word in row.series.words_of(names.REQUESTS))


def read_rss_bytes(pid: int) -> int | None:
    """Give a child's resident memory, or None if it cannot be read. Does not wait for the child."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return None
