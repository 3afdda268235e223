"""
What was ordered of the server, and what came of it.

An operation begins with a signal or with a command on the control socket, and
ends as done or failed. Two orders of the same kind are two operations that may
have one outcome: a reload is done when a generation serves that was made after
it was asked for, whoever asked for that one.

No process and no clock here: what has happened is told, time is an argument.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from penstock.master.exchange import judge_exchange
from penstock.master.fleet import Fleet, State

# A person or a deployment waits for each that runs; more than this is somebody's loop.
RUNNING_MAX: Final = 16
# The last few that ended, so that whoever polls finds theirs: polls come several times a second.
ENDED_MAX: Final = 16
# A reason may quote a whole traceback; its end says most.
TEXT_CHARS_MAX: Final = 16 * 1024

# Those that are done when a generation serves.
ROLLING: Final = frozenset({"reload", "upgrade"})

STOPPING: Final = "the server is stopping"
STOOD_IN: Final = "the new code of the hot restart did not start"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One order and its state. Fields are only added, with defaults: another release may read it."""

    id: str
    verb: str
    origin: str  # "control", or the name of a signal
    state: Literal["running", "done", "failed"]
    started_at: float  # wall-clock time, in seconds, as is the next
    ended_at: float | None = None
    argument: int | None = None
    generation: int | None = None  # the one that it waits for; None while it waits for its turn
    pid: int | None = None  # the worker that it is to replace
    reason: str = ""  # why it failed
    result: str = ""  # what a person is told of one that is done

    @property
    def is_running(self) -> bool:
        """Whether its outcome is still open."""
        return self.state == "running"

    def done(self, result: str, now_s: float) -> "Operation":
        """End it well."""
        return msgspec.structs.replace(self, state="done", result=_end_of(result), ended_at=now_s)

    def failed(self, reason: str, now_s: float) -> "Operation":
        """End it badly."""
        return msgspec.structs.replace(self, state="failed", reason=_end_of(reason), ended_at=now_s)


class Operations:
    """Every operation that runs, and the last few that ended; oldest first."""

    def __init__(self, kept: Iterable[Operation] = ()) -> None:
        self._kept = list(kept)

    @property
    def all(self) -> tuple[Operation, ...]:
        """List them as `/status` shows them."""
        return tuple(self._kept)

    def waiting(self, verb: str) -> bool:
        """Whether one of this kind waits for its turn, or for a check that has not ended."""
        return any(_is_waiting(each, verb) for each in self._kept)

    def is_any_running(self, verbs: Iterable[str]) -> bool:
        """Whether the outcome of one of these kinds is still open."""
        return any(each.is_running and each.verb in verbs for each in self._kept)

    # How they begin.

    def begin(self, verb: str, argument: int | None, *, origin: str, id: str, now_s: float) -> Operation:
        """
        Note an order. The answer is not running if it was refused.

        A signal that asks for what a signal asked for already says nothing new,
        as in the kernel; so signals need no limit.
        """
        if origin != "control":
            for each in self._kept:
                if _is_waiting(each, verb) and (each.origin, each.argument) == (origin, argument):
                    return each
        operation = Operation(
            id=id, verb=verb, argument=argument, origin=origin, state="running", started_at=now_s
        )
        running_count = sum(each.is_running for each in self._kept)
        if origin == "control" and running_count >= RUNNING_MAX:
            operation = operation.failed(f"{running_count} operations are under way", now_s)
        self._kept.append(operation)
        self._forget()
        return operation

    # What has happened.

    def aim(self, generation: int, *verbs: str) -> None:
        """Those of these kinds that waited are fulfilled when this generation serves."""
        for index, each in enumerate(self._kept):
            if each.verb in verbs and _is_waiting(each, each.verb):
                self._kept[index] = msgspec.structs.replace(each, generation=generation)

    def refuse(self, verb: str, reason: str, now_s: float) -> None:
        """Those of this kind that waited cannot be carried out; what serves goes on serving."""
        self._end(now_s, reason, lambda each: _is_waiting(each, verb))

    def rolled(self, generation: int, now_s: float) -> None:
        """Every slot is served by this generation, and nobody else is left."""
        for index, each in enumerate(self._kept):
            if _is_rolling(each) and each.generation is not None and each.generation <= generation:
                done = each.done(f"generation {generation} serves", now_s)
                self._kept[index] = msgspec.structs.replace(done, generation=generation)
        self._forget()

    def abandoned(self, reason: str, now_s: float) -> None:
        """The roll was given up, and with it what it had overtaken."""
        self._end(now_s, reason, lambda each: _is_rolling(each) and each.generation is not None)

    def retried(self, now_s: float) -> None:
        """The boot shim has told that all of them failed, and was then sent another USR2."""
        self._end(now_s, STOOD_IN, lambda _: True)
        self.begin("upgrade", None, origin="SIGUSR2", id=new_id(), now_s=now_s)

    def stopping(self, now_s: float) -> None:
        """Nothing but the stop happens any more."""
        self._end(now_s, STOPPING, lambda each: each.verb != "drain")

    def concern(self, id: str, pid: int) -> None:
        """One is about this worker."""
        self._kept = [
            msgspec.structs.replace(each, pid=pid) if _is_open(each, id) else each for each in self._kept
        ]

    def not_started(self, slot: int, why: str, now_s: float) -> None:
        """A worker of this slot could not start, so those that wait for one have failed."""
        reason = f"the next worker of slot {slot} does not start: {why}"
        self._end(now_s, reason, lambda each: each.verb == "recycle" and each.argument == slot)

    def finish(self, id: str, result: str, now_s: float) -> None:
        """One is done."""
        self._kept = [each.done(result, now_s) if _is_open(each, id) else each for each in self._kept]
        self._forget()

    def fail(self, id: str, reason: str, now_s: float) -> None:
        """One has failed."""
        self._end(now_s, reason, lambda each: each.id == id)

    def settle(self, fleet: Fleet, now_s: float) -> bool:
        """End the orders whose outcome the fleet shows; say whether there were any."""
        before = self._kept
        self._kept = [_exchanged(_scaled(each, fleet, now_s), fleet, now_s) for each in before]
        self._forget()
        return self._kept != before

    # Bookkeeping.

    def _end(self, now_s: float, reason: str, concerns: Callable[[Operation], bool]) -> None:
        self._kept = [
            each.failed(reason, now_s) if each.is_running and concerns(each) else each for each in self._kept
        ]
        self._forget()

    def _forget(self) -> None:
        ended = [each.id for each in self._kept if not each.is_running]
        forgotten = set(ended[:-ENDED_MAX])
        self._kept = [each for each in self._kept if each.is_running or each.id not in forgotten]


def new_id() -> str:
    """Make up a name for an operation. Whoever asks makes it, and so need not wait for it."""
    return secrets.token_hex(8)


def judge_scale(slot_count: int, fleet: Fleet, most: int) -> str | None:
    """Say why there cannot be so many workers, or None."""
    if not 1 <= slot_count <= most:
        return (
            f"{slot_count} workers are not possible: 1 to {most} are, until the server is started with more"
        )
    if slot_count > fleet.slot_count and not fleet.can_spawn:
        return "the code of the running workers is gone: reload or upgrade, then there can be more"
    return None


def _exchanged(operation: Operation, fleet: Fleet, now_s: float) -> Operation:
    if operation.verb != "recycle" or not operation.is_running or operation.pid is None:
        return operation
    assert operation.argument is not None
    exchange = judge_exchange(operation.argument, operation.pid, fleet)
    if exchange.failure:
        return operation.failed(exchange.failure, now_s)
    return operation.done(exchange.result, now_s) if exchange.result else operation


@dataclass(frozen=True)
class _Scaling:
    """What has become of the slots that a scaling wants."""

    is_done: bool = False
    failure: str = ""


def _scaled(operation: Operation, fleet: Fleet, now_s: float) -> Operation:
    if operation.verb != "scale" or not operation.is_running:
        return operation
    assert operation.argument is not None
    scaling = _judge_scaling(operation.argument, fleet)
    if scaling.failure:
        return operation.failed(scaling.failure, now_s)
    if scaling.is_done:
        return operation.done(_workers(operation.argument), now_s)
    return operation


def _judge_scaling(wanted: int, fleet: Fleet) -> _Scaling:
    if fleet.slot_count != wanted:
        return _Scaling(failure=f"overtaken: {_workers(fleet.slot_count)} are wanted by now")
    vacant = [slot for slot in range(wanted) if not fleet.on_slot(slot, State.READY)]
    for slot in vacant:
        if slot in fleet.backoff:
            return _Scaling(
                failure=f"the worker of slot {slot} does not start; it is tried again, see the log"
            )
    surplus = [worker for worker in fleet.workers if worker.slot >= wanted]
    return _Scaling(is_done=not vacant and not surplus)


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"


def _is_open(operation: Operation, id: str) -> bool:
    return operation.is_running and operation.id == id


def _is_rolling(operation: Operation) -> bool:
    return operation.is_running and operation.verb in ROLLING


def _is_waiting(operation: Operation, verb: str) -> bool:
    return operation.is_running and operation.verb == verb and operation.generation is None


def _end_of(text: str) -> str:
    return text[-TEXT_CHARS_MAX:]
