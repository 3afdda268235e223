"""
A coarse wheel of deadlines: one timer for all connections of a site.

An item lies in at most one bucket. Setting its deadline *later* is a plain
attribute store, and moves nothing: when its bucket comes round and the deadline
does not hold any more, the item is put where it belongs. So a keep-alive
connection costs the wheel nothing per request. Only a deadline that becomes
*earlier* needs `watch`.
"""

import math
from typing import Protocol

from penstock.worker.limits import WHEEL_BUCKETS, WHEEL_TICK_S

NOT_WATCHED = -1


class Watched(Protocol):
    """What lies in a wheel. Both attributes are its own slots; the wheel sets `wheel_tick`."""

    deadline_s: float
    wheel_tick: int

    def expire(self, now_s: float) -> None:
        """Act on a deadline that has come; ask to be watched again, or not."""


class Wheel:
    """
    Calls `expire` on items whose deadline has passed, at the next `advance`.
    """

    __slots__ = ("_buckets", "_tick", "_tick_s")

    def __init__(self, now_s: float, tick_s: float = WHEEL_TICK_S) -> None:
        self._tick_s = tick_s
        self._tick = math.floor(now_s / tick_s)  # The last tick that was looked at.
        self._buckets: list[set[Watched]] = [set() for _ in range(WHEEL_BUCKETS)]

    def watch(self, item: Watched, deadline_s: float) -> None:
        """Set an item's deadline, earlier or later than the one it had."""
        item.deadline_s = deadline_s
        tick = self._tick_of(deadline_s)
        if item.wheel_tick != NOT_WATCHED:
            if item.wheel_tick <= tick:
                return
            self._buckets[item.wheel_tick % WHEEL_BUCKETS].discard(item)
        item.wheel_tick = tick
        self._buckets[tick % WHEEL_BUCKETS].add(item)

    def forget(self, item: Watched) -> None:
        """Take an item out, if it is in."""
        if item.wheel_tick != NOT_WATCHED:
            self._buckets[item.wheel_tick % WHEEL_BUCKETS].discard(item)
            item.wheel_tick = NOT_WATCHED

    def advance(self, now_s: float) -> None:
        """Look at every bucket between the last call and now."""
        last = math.floor(now_s / self._tick_s)
        # After a long sleep each bucket is looked at once, not once a turn.
        first = max(self._tick + 1, last - WHEEL_BUCKETS + 1)
        due: list[Watched] = []
        for tick in range(first, last + 1):
            bucket = self._buckets[tick % WHEEL_BUCKETS]
            due.extend(bucket)
            bucket.clear()
        self._tick = max(self._tick, last)
        # First out of the wheel, all of them: one that expires may take down another.
        for item in due:
            item.wheel_tick = NOT_WATCHED
        for item in due:
            if item.wheel_tick != NOT_WATCHED:
                continue
            if item.deadline_s <= now_s:
                item.expire(now_s)
            else:
                self.watch(item, item.deadline_s)

    def _tick_of(self, deadline_s: float) -> int:
        # Rounded up, or the deadline would not have passed when its tick comes.
        # What lies beyond the horizon is looked at there and put on again.
        tick_s = self._tick_s
        tick = math.ceil(min(deadline_s, (self._tick + WHEEL_BUCKETS) * tick_s) / tick_s)
        return min(max(tick, self._tick + 1), self._tick + WHEEL_BUCKETS - 1)
