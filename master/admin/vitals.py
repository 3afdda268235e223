"""
What the kernel says of other processes: memory, processor time, descriptors.

Reading a process takes some ten microseconds, so it is remembered for a moment:
pages that poll at the same time, and a scrape with them, ask the kernel once.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

# Short beside the second between two questions of a page, which works out the share of a core.
REMEMBERED_S: Final = 0.25

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

# Where /proc/PID/stat has them, counted from the state, which is the first field after the name.
_STATE, _USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 0, 11, 12, 21


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """One process, just now."""

    rss_bytes: int
    cpu_s: float  # since it was forked, in steps of 10 ms


def read_vitals(pid: int) -> Vitals | None:
    """Read a process, or give None if it is gone or not ours to ask about."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (OSError, ValueError):
        return None
    # The name is in parentheses, and may have any in it.
    fields = stat.rpartition(b")")[2].split()
    if fields[_STATE] == b"Z":
        return None  # Dead, and not yet reaped.
    return Vitals(
        rss_bytes=int(fields[_RESIDENT_PAGES]) * _PAGE_BYTES,
        cpu_s=(int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) * _TICK_S,
    )


def count_open_fds(pid: int) -> int | None:
    """Count a process' descriptors, or give None if it is gone or not ours to ask about."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        # Linux 6.2 and later tell it as the folder's size, to anybody. Before, the size is 0, and
        # the folder is its owner's to list: a worker that has dropped its privileges is not told.
        return folder.stat().st_size or sum(1 for _ in folder.iterdir())
    except (OSError, ValueError):
        return None


class VitalSigns:
    """Vitals by pid, a moment old at most."""

    def __init__(self, read: Callable[[int], Vitals | None] = read_vitals) -> None:
        self._read = read
        self._known: dict[int, Vitals | None] = {}
        self._read_at_s = float("-inf")

    def of(self, pids: Iterable[int], now_monotonic_s: float) -> dict[int, Vitals]:
        """Give the vitals of those of these processes that have any."""
        if now_monotonic_s - self._read_at_s >= REMEMBERED_S:
            self._known = {}
            self._read_at_s = now_monotonic_s
        for pid in pids:
            if pid not in self._known:
                self._known[pid] = self._read(pid)
        return {pid: vitals for pid, vitals in self._known.items() if vitals is not None}
