"""
When a worker is replaced although nothing has happened to it: by use, by age, by size.

Pure: what the workers have done and grown to is told, chance and time are
arguments, and the answer is a pid and a reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.master.config.model import Recycle
from penstock.master.config.units import size_text
from penstock.master.fleet import Fleet, State, Worker

# The labels under which they are counted.
MAX_REQUESTS = "max_requests"
LIFETIME = "lifetime"
MAX_RSS = "max_rss"

# By how much of a limit workers differ, so that those which started together do not end together.
JITTER = 0.1

# One that has grown to the memory limit sooner than this after it was ready was replaced in vain.
VAIN_S = 60.0
# How long it then stays all the same: twice as long each time, up to ten minutes. A boot in ten
# minutes costs a core nothing, and a leak that needs a replacement more often is not helped by any.
VAIN_PAUSE_FIRST_S = 60.0
VAIN_PAUSE_S_MAX = 600.0
VAIN_COUNT_MAX = 16  # Counting on would only overflow the doubling.


@dataclass(frozen=True, kw_only=True)
class Wear:
    """What a worker has done and grown to; None where that cannot be read."""

    requests: int | None = None  # answered by itself, not by the row's owners before it
    rss_bytes: int | None = None


@dataclass(frozen=True)
class Replacement:
    """Who is to be replaced, and why."""

    pid: int
    reason: str


@dataclass(frozen=True)
class _Size:
    """The last worker of a slot that was too large."""

    pid: int
    vain_count: int  # how many in a row were so soon after they were ready
    not_before_s: float


class Recycling:
    """
    What is remembered between two looks at the workers.

    `random` gives a number from 0 to 1 for each worker, once: where in the
    jitter its own limits lie.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.warnings: list[str] = []  # for the caller to log and to empty
        self._random = random
        self._chances: dict[int, float] = {}  # by pid
        self._sizes: dict[int, _Size] = {}  # by slot
        self._rss_bytes_max: int | None = None
        self._has_warned = False

    def next(
        self, fleet: Fleet, limits: Recycle, wear: Mapping[int, Wear], now_s: float
    ) -> Replacement | None:
        """
        Choose who is replaced next, or None: one at a time, and only when that is safe.

        The longest-serving of those that are due goes first, so nobody waits
        for ever behind a slot that is due again and again.
        """
        ready = [worker for worker in fleet.in_state(State.READY) if not worker.is_killed]
        ready.sort(key=lambda worker: (worker.since_s, worker.pid))
        kept = {worker.pid: self._chances.get(worker.pid) for worker in ready}
        self._chances = {pid: self._random() if each is None else each for pid, each in kept.items()}
        self._note_sizes(ready, limits, wear, now_s)
        if not _may_replace(fleet):
            return None
        for worker in ready:
            reason = self._reason(worker, limits, wear.get(worker.pid, Wear()), now_s)
            if reason is not None:
                return Replacement(worker.pid, reason)
        return None

    def _reason(self, worker: Worker, limits: Recycle, wear: Wear, now_s: float) -> str | None:
        chance = self._chances[worker.pid]
        if limits.max_requests and wear.requests is not None:
            jitter = limits.max_requests_jitter
            if jitter is None:
                jitter = int(limits.max_requests * JITTER)
            if wear.requests >= limits.max_requests + int(chance * jitter):
                return MAX_REQUESTS
        # From when it was ready: a slow start is no part of a service life.
        served_s = now_s - worker.since_s
        if limits.lifetime_s is not None and served_s >= limits.lifetime_s * (1 + chance * JITTER):
            return LIFETIME
        size = self._sizes.get(worker.slot)
        # Without jitter: what the machine has does not vary.
        if size is not None and size.pid == worker.pid and _is_too_large(limits, wear):
            return MAX_RSS if now_s >= size.not_before_s else None
        return None

    def _note_sizes(
        self, ready: list[Worker], limits: Recycle, wear: Mapping[int, Wear], now_s: float
    ) -> None:
        """Remember who has got too large, and how long it is kept if a replacement has just been in vain."""
        if limits.max_rss_bytes != self._rss_bytes_max:
            self._rss_bytes_max, self._has_warned = limits.max_rss_bytes, False
            self._sizes.clear()
        for worker in ready:
            last = self._sizes.get(worker.slot)
            if not _is_too_large(limits, wear.get(worker.pid, Wear())):
                continue
            if last is not None and last.pid == worker.pid:
                continue
            is_vain = last is not None and now_s - worker.since_s < VAIN_S
            vain_count = min(last.vain_count + 1, VAIN_COUNT_MAX) if last is not None and is_vain else 0
            self._sizes[worker.slot] = _Size(worker.pid, vain_count, now_s + _pause_s(vain_count))
            if is_vain and not self._has_warned:
                self._has_warned = True
                self.warnings.append(_vain(worker, self._rss_bytes_max or 0))


def _may_replace(fleet: Fleet) -> bool:
    """
    Whether somebody may be replaced now.

    A roll replaces everyone itself. Whoever leaves counts until it is gone, so
    workers that take long to drain do not pile up. And while new workers die
    young, those that serve are kept: the code that a successor would run may be
    why.
    """
    return (
        fleet.has_served
        and fleet.can_spawn
        and not fleet.is_stopping
        and not fleet.is_rolling
        and not any(slot < fleet.slot_count for slot in fleet.backoff)
        and all(worker.leave_reason is None for worker in fleet.workers)
    )


def _is_too_large(limits: Recycle, wear: Wear) -> bool:
    return (
        limits.max_rss_bytes is not None
        and wear.rss_bytes is not None
        and wear.rss_bytes > limits.max_rss_bytes
    )


def _pause_s(vain_count: int) -> float:
    if vain_count == 0:
        return 0.0
    return min(VAIN_PAUSE_FIRST_S * 2.0 ** (vain_count - 1), VAIN_PAUSE_S_MAX)


def _vain(worker: Worker, limit_bytes: int) -> str:
    return (
        f"recycle.max_rss {size_text(limit_bytes)} is less than a new worker needs: that of slot "
        f"{worker.slot} took its predecessor's place and was beyond it within {VAIN_S:g} s; "
        "such workers are kept for a while, ever longer"
    )
