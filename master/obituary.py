"""
What the end of a worker means.

The same exit status is a success or a catastrophe by what the worker was doing
and whether it was told to. Pure: the supervisor logs, counts and restarts.
"""

import enum
from dataclasses import dataclass

from penstock.master.exchange import RECYCLE
from penstock.master.fleet import Fleet, State, Worker
from penstock.master.recycling import LIFETIME, MAX_REQUESTS, MAX_RSS
from penstock.master.rollout import HUNG

# Why we ended a worker that is not replaced.
NOT_REPLACED = frozenset({"stop", "scale"})

# Every label that a replacement may be counted under.
RESTART_REASONS = frozenset(
    {"boot_failure", "crash", "exit", "roll", "term", HUNG, RECYCLE, LIFETIME, MAX_REQUESTS, MAX_RSS}
)


class Meaning(enum.Enum):
    """What a death is."""

    WANTED = "wanted"  # Told to go, and nobody comes in its place.
    REPLACED = "replaced"  # Told to go; its successor serves.
    SUPERSEDED = "superseded"  # Had not served yet when a later roll made it obsolete.
    BOOT_FAILURE = "boot_failure"
    CRASH = "crash"


@dataclass(frozen=True)
class Obituary:
    """The meaning of a death and the label under which a replacement is counted, None for no replacement."""

    meaning: Meaning
    restart_reason: str | None = None


def judge_death(fleet: Fleet, worker: Worker, *, reason: str | None, status: int) -> Obituary:
    """
    Say what it means that this worker ended.

    `reason` is why it was drained or killed by us, None if it went by itself;
    `status` is what waitpid told.
    """
    if reason in NOT_REPLACED or fleet.is_stopping:
        return Obituary(Meaning.WANTED)
    if worker.state is State.STARTING:
        if reason == "roll":
            return Obituary(Meaning.SUPERSEDED)
        return Obituary(Meaning.BOOT_FAILURE, "boot_failure")
    if worker.state is State.READY:
        return Obituary(Meaning.CRASH, "crash" if status else "exit")
    if worker.leave_reason is not None and reason != "roll":
        return Obituary(Meaning.REPLACED, worker.leave_reason)
    return Obituary(Meaning.REPLACED, reason if reason in ("roll", "term") else "timeout")


class Setback(enum.Enum):
    """What follows from a worker that could not start."""

    END = "end"  # Nothing has ever served, and nothing will.
    HOLD = "hold"  # Nothing has ever served, but whoever develops is mending it.
    RETRY = "retry"  # What serves goes on.


def judge_boot_failure(fleet: Fleet) -> Setback:
    """Say what follows when a worker of this fleet could not start."""
    if fleet.has_served:
        return Setback.RETRY
    return Setback.HOLD if fleet.is_watched else Setback.END


def is_roll_hopeless(fleet: Fleet) -> bool:
    """Whether a roll whose worker could not boot should be given up: nobody of it has ever served."""
    return fleet.is_rolling and not any(
        worker.generation == fleet.generation for worker in fleet.in_state(State.READY)
    )
