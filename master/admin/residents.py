"""
How much memory processes have resident, as far as we may know.

Reading it takes tens of microseconds a process, so it is remembered for a
moment: a page that polls and a scrape that comes with it ask the kernel once.
"""

from collections.abc import Callable, Iterable
from typing import Final

import psutil

REMEMBERED_S: Final = 1.0


def read_rss(pid: int) -> int | None:
    """Give a process' resident bytes, or None if it is gone or not ours to ask about."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError, ValueError):
        return None


class ResidentMemory:
    """Resident bytes by pid, at most a second old."""

    def __init__(self, read: Callable[[int], int | None] = read_rss) -> None:
        self._read = read
        self._known: dict[int, int | None] = {}
        self._read_at_s = float("-inf")

    def of(self, pids: Iterable[int], now_monotonic_s: float) -> dict[int, int | None]:
        """Give the resident bytes of each of these processes."""
        if now_monotonic_s - self._read_at_s >= REMEMBERED_S:
            self._known = {}
            self._read_at_s = now_monotonic_s
        for pid in pids:
            if pid not in self._known:
                self._known[pid] = self._read(pid)
        return self._known
