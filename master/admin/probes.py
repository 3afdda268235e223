"""
What `/livez`, `/readyz` and `/startupz` answer: pure judgements of what is known.

Live means that waiting helps; not live, that only a restart of everything does.
Ready means that clients are served on every slot. Started means that this was
so once, after which an orchestrator looks at the other two.
"""

from typing import Any, Final

import msgspec

from penstock.master.admin.status import CrashLoopStatus, FleetStatus
from penstock.shm.row import Kind, RowReading, State

# The master beats at least once a second. A hot restart costs it two or three.
MASTER_SILENCE_MAX_S: Final = 10.0


class Verdict(msgspec.Struct, frozen=True):
    """The answer of a probe, and what it was made of."""

    is_ok: bool
    detail: dict[str, Any]


def judge_live(master: RowReading | None, now_monotonic_ns: int) -> Verdict:
    """Judge the master by its own row; that the admin process lives shows in its answering."""
    if master is None or master.kind is not Kind.MASTER or not master.is_current:
        return Verdict(False, {"status": "the master's row makes no sense"})
    silence_s = max(0.0, (now_monotonic_ns - master.heartbeat_ns) / 1e9)
    is_ok = silence_s <= MASTER_SILENCE_MAX_S
    return Verdict(
        is_ok,
        {
            "status": "ok"
            if is_ok
            else f"the master has been silent for more than {MASTER_SILENCE_MAX_S:g} s",
            "master_heartbeat_age_s": round(silence_s, 3),
        },
    )


def judge_ready(fleet: FleetStatus) -> Verdict:
    """Judge whether every slot has a READY worker, of whatever generation."""
    unserved = fleet.slots_without_service()
    if fleet.master.state == State.DRAINING.word:
        status = "stopping"
    elif unserved or fleet.slot_count == 0:
        status = "; ".join(["not every slot has a ready worker", *map(_crash_loop, fleet.crash_loops)])
    else:
        status = "ok"
    return Verdict(
        status == "ok",
        {
            "status": status,
            "master": fleet.master.state,
            "generation": fleet.master.generation,
            "slots": fleet.slot_count,
            "slots_without_ready_worker": unserved,
            "crash_loops": [{"slot": each.slot, "failures": each.failures} for each in fleet.crash_loops],
        },
    )


def _crash_loop(loop: CrashLoopStatus) -> str:
    return f"slot {loop.slot} is in a crash loop, {loop.failures} failures so far"


def judge_started(fleet: FleetStatus) -> Verdict:
    """Judge whether the first generation has been READY on every slot."""
    status = "ok" if fleet.has_served else "the first generation is starting"
    return Verdict(fleet.has_served, {"status": status})
