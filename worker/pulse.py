"""
What a worker does by the clock: beat, tick, sample.

One timer for all of it. The beat is stamped from inside the loop, so a loop
that is blocked shows as a heart that has stopped.
"""

import asyncio
import time

from penstock.shm.row import Row
from penstock.shm.samples import SampleWriter
from penstock.worker.expense import Expense
from penstock.worker.hosting import Hosting
from penstock.worker.spec import RouteCells, WorkerSpec

# Often enough that a loop blocked for a second is seen as such; four wake-ups
# a second cost about 0.01 % of a core.
BEAT_S = 0.25
BEATS_PER_TICK = 2
BEATS_PER_SAMPLE = 4


class Pulse:
    """The heart of one worker."""

    def __init__(self, row: Row, spec: WorkerSpec, hosting: Hosting) -> None:
        self._row = row
        self._hosting = hosting
        self._samples = SampleWriter(row)
        self.expense = Expense(row.cells, spec.cells)
        self._loop = asyncio.get_running_loop()
        routes = {cells.requests: cells for cells in _route_cells(spec)}
        self._request_words = [first + offset for first in routes for offset in range(4)]
        self._error_words = [first + 3 for first in routes]
        self._sent_words = [listener.cells.sent_bytes for listener in spec.listeners]

    def start(self) -> None:
        """Beat now, and from now on."""
        self._beat(0, self._loop.time())

    def _beat(self, count: int, expected_s: float) -> None:
        now_s = self._loop.time()
        lag_us = max(0, int((now_s - expected_s) * 1e6))
        self._row.beat(time.monotonic_ns(), lag_us)
        self.expense.count()
        if count % BEATS_PER_TICK == 0:
            self._hosting.tick(time.monotonic())
        if count % BEATS_PER_SAMPLE == 0:
            self._sample(lag_us)
        next_s = now_s + BEAT_S
        self._loop.call_at(next_s, self._beat, count + 1, next_s)

    def _sample(self, lag_us: int) -> None:
        cells = self._row.cells
        self._samples.push(
            time_ns=time.time_ns(),
            requests=sum(cells[word] for word in self._request_words),
            errors=sum(cells[word] for word in self._error_words),
            sent_bytes=sum(cells[word] for word in self._sent_words),
            connections=self._hosting.connection_count,
            loop_lag_us=lag_us,
        )


def _route_cells(spec: WorkerSpec) -> list[RouteCells]:
    return [
        cells
        for listener in spec.listeners
        for cells in (listener.unmatched, *(route.cells for route in listener.leaves))
    ]
