"""
What a worker process costs: processor time and garbage collections.

Added to the row's counters at every beat, as differences, so that the sums over
all workers only grow, whoever is replaced. Two calls, 2 µs together, four times
a second; a worker that is killed takes along what it spent since its last beat.
"""

import gc
import time

from penstock.shm.names import GC_GENERATIONS
from penstock.worker.spec import WorkerCells


class Expense:
    """Counts what this process spends into the row that it owns."""

    def __init__(self, cells: memoryview, words: WorkerCells | None) -> None:
        self._cells = cells
        self._words = words
        # A child's processor time begins at 0, but the master's collections are inherited.
        self._cpu_us = 0
        self._collections = _collections()

    def count(self) -> None:
        """Add what was spent since the last time."""
        if self._words is None:
            return
        cpu_us = time.process_time_ns() // 1000
        self._cells[self._words.cpu_us] += cpu_us - self._cpu_us
        self._cpu_us = cpu_us

        collections = _collections()
        for offset, (before, after) in enumerate(zip(self._collections, collections, strict=True)):
            if after > before:
                self._cells[self._words.gc_collections + offset] += after - before
        self._collections = collections


def _collections() -> list[int]:
    return [stats["collections"] for stats in gc.get_stats()[: len(GC_GENERATIONS)]]
