"""
How long a slot waits after its worker died, and when that is a crash loop.

A worker that lived long is replaced at once. One that died young waits longer
each time, so that a crash loop spins neither the core nor the log. A worker
that then lives long ends it.
"""

from collections.abc import Mapping
from dataclasses import replace

from penstock.master.fleet import Backoff, Fleet, State

YOUNG_S = 10.0
FIRST_DELAY_S = 0.5
DELAY_S_MAX = 30.0

# Half a minute is reached at the seventh failure; doubling on would only overflow.
DOUBLINGS_MAX = 16

# Once may be an accident and twice a coincidence: from here on it is told.
CRASH_LOOP_FAILURES = 3


def after_death(previous: Backoff | None, *, lived_s: float, now_s: float, jitter: float) -> Backoff | None:
    """
    Choose when the next worker of the slot may start; None for at once.

    `jitter` is from 0 to 1; up to a quarter of the delay is added by it, so
    that slots which die together do not come back together.
    """
    if lived_s >= YOUNG_S:
        return None
    failures = (previous.failures if previous else 0) + 1
    delay_s = min(FIRST_DELAY_S * 2 ** (min(failures, DOUBLINGS_MAX) - 1), DELAY_S_MAX)
    return Backoff(failures=failures, not_before_s=now_s + delay_s * (1 + jitter / 4), failed_s=now_s)


def after_recovery(fleet: Fleet, now_s: float) -> Fleet:
    """Forget the early deaths on slots where a worker that came after them has lived long enough."""
    backoff = {slot: each for slot, each in fleet.backoff.items() if not _is_over(fleet, slot, each, now_s)}
    return fleet if len(backoff) == len(fleet.backoff) else replace(fleet, backoff=backoff)


def _is_over(fleet: Fleet, slot: int, backoff: Backoff, now_s: float) -> bool:
    # A predecessor that serves on while its successors fail proves nothing about them. And a roll
    # counts on the pause to last as long as it was said to, so it does not end before.
    return any(
        worker.since_s >= backoff.failed_s and now_s >= max(worker.since_s, backoff.not_before_s) + YOUNG_S
        for worker in fleet.on_slot(slot, State.READY)
    )


def crash_loops(fleet: Fleet) -> Mapping[int, Backoff]:
    """Find the slots whose workers die young, one after the other."""
    return {
        slot: each
        for slot, each in sorted(fleet.backoff.items())
        if each.failures >= CRASH_LOOP_FAILURES and slot < fleet.slot_count
    }
