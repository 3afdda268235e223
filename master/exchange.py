"""
What becomes of the order to replace the worker of one slot.

Pure: the fleet is looked at, before and while it happens.
"""

from dataclasses import dataclass

from penstock.master.fleet import Fleet, State, Worker

# The reason of a replacement that was ordered, and its label.
RECYCLE = "recycle"


@dataclass(frozen=True)
class Exchange:
    """What has become of it: `result` when it is done, `failure` when it will not be, else neither."""

    result: str = ""
    failure: str = ""


def judge_recycle(slot: int, fleet: Fleet) -> Worker | str:
    """Find the worker that is to be replaced, or say why none can be."""
    if slot >= fleet.slot_count:
        last = fleet.slot_count - 1
        return f"there is no slot {slot}: there is slot 0" + (f" to {last}" if last else "")
    if not fleet.can_spawn:
        return "the code of the running workers is gone: reload or upgrade, and all of them are replaced"
    serving = _serving(fleet, slot)
    return serving[-1] if serving else f"nobody serves slot {slot}: a worker for it is on its way"


def judge_exchange(slot: int, pid: int, fleet: Fleet) -> Exchange:
    """
    Say what has become of the order to replace this worker of this slot.

    It is done when the worker has left and another serves, whoever wanted that
    too: a roll that comes in between has the same outcome.
    """
    if slot >= fleet.slot_count:
        return Exchange(failure=f"overtaken: there is no slot {slot} any more")
    worker = fleet.find(pid)
    if worker is None:
        serving = _serving(fleet, slot)
        return Exchange(
            result=f"worker {pid} of slot {slot} was replaced by {serving[-1].pid}" if serving else ""
        )
    if worker.state is State.READY and worker.leave_reason is None and not fleet.is_rolling:
        return Exchange(
            failure=f"worker {pid} of slot {slot} stays: the roll that overtook this was given up"
        )
    return Exchange()


def _serving(fleet: Fleet, slot: int) -> list[Worker]:
    return [worker for worker in fleet.on_slot(slot, State.READY) if not worker.is_killed]
