"""
The workers as the master sees them, and the life that each of them has.

Plain records: no pid is signalled here and no clock is read. The supervisor
keeps one Fleet, and replaces it when something happens.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


class Event(enum.Enum):
    """What can happen to a worker."""

    BOOTED = "booted"
    DRAIN = "drain"
    EXITED = "exited"


# The whole life of a worker. A move that is not here is our bug, so it asserts.
TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.STARTING: {
        Event.BOOTED: State.READY,
        Event.DRAIN: State.DRAINING,
        Event.EXITED: State.GONE,
    },
    State.READY: {Event.DRAIN: State.DRAINING, Event.EXITED: State.GONE},
    # A worker can get ready while the order to drain is on its way to it.
    State.DRAINING: {Event.BOOTED: State.DRAINING, Event.EXITED: State.GONE},
    State.GONE: {},
}


# What a READY worker is called whose loop is blocked. No state of its own: it may be drained or
# replaced like any other, and is one again when it recovers.
SUSPECT = "suspect"


def next_state(state: State, event: Event) -> State:
    """Look the move up. An illegal one is a bug of the caller."""
    assert event in TRANSITIONS[state], f"{state} cannot take {event}"
    return TRANSITIONS[state][event]


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker process. Times are of the monotonic clock."""

    pid: int
    slot: int
    generation: int
    row: int
    core: int | None
    state: State
    since_s: float  # when it came into this state
    spawned_s: float
    drain_timeout_s: float = 30.0  # what its own generation was promised
    can_take: bool = True  # it understands to be given connections
    end_by_s: float | None = None  # it was told to end at once, and is killed then
    is_killed: bool = False  # we sent it SIGKILL; it is only to be reaped
    leave_reason: str | None = None  # why it gets a successor although its generation is wanted
    silent_since_s: float | None = None  # the last beat of one whose loop is blocked

    @property
    def is_silent(self) -> bool:
        """Whether its loop is blocked, as far as is known: a suspect."""
        return self.silent_since_s is not None

    @property
    def word(self) -> str:
        """Its state, as metrics and `/status` spell it."""
        return SUSPECT if self.is_silent and self.state is State.READY else self.state.value


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often a slot's workers died young, one after the other, and when the next may start."""

    failures: int
    not_before_s: float
    failed_s: float = 0.0  # when the last one died
    reason: str = ""  # how it died


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """
    All workers, and what they should become.

    `generation` is what a spawned worker runs. `is_rolling` says that workers of
    another generation are to be replaced; after a failed roll it is False, and
    they go on serving.
    """

    workers: tuple[Worker, ...] = ()
    slot_count: int
    generation: int
    is_rolling: bool = False
    is_stopping: bool = False
    has_served: bool = False  # every slot was READY once
    can_spawn: bool = True  # False when only adopted generations are known
    backoff: Mapping[int, Backoff] = field(default_factory=dict)
    boot_timeout_s: float = 120.0  # 0: none
    is_watched: bool = False  # a change of the code orders a reload: what fails to start waits for one
    is_held: bool = False  # nobody is started before there is one

    def with_state(self, pid: int, event: Event, now_s: float) -> "Fleet":
        """Let a worker live on by one event."""
        return self._replaced(
            pid, lambda worker: replace(worker, state=next_state(worker.state, event), since_s=now_s)
        )

    def with_kill(self, pid: int) -> "Fleet":
        """Remember that a worker was sent SIGKILL."""
        return self._replaced(pid, lambda worker: replace(worker, is_killed=True))

    def with_end(self, by_s: float) -> "Fleet":
        """Note that all are to end at once, and when they are killed if they have not."""
        return replace(self, workers=tuple(replace(worker, end_by_s=by_s) for worker in self.workers))

    def with_leave(self, pid: int, reason: str) -> "Fleet":
        """Have a worker replaced. The first reason stays."""
        return self._replaced(pid, lambda worker: replace(worker, leave_reason=worker.leave_reason or reason))

    def without_leave(self, slot: int, reason: str) -> "Fleet":
        """Let the worker of a slot stay that was to be replaced for this reason."""
        staying = [each for each in self.on_slot(slot, State.READY) if each.leave_reason == reason]
        fleet = self
        for each in staying:
            fleet = fleet._replaced(each.pid, lambda worker: replace(worker, leave_reason=None))
        return fleet

    def with_silence(self, pid: int, since_s: float | None) -> "Fleet":
        """Note that a worker's loop is blocked since its last beat, or that it turns again."""
        return self._replaced(pid, lambda worker: replace(worker, silent_since_s=since_s))

    def without(self, pid: int) -> "Fleet":
        """Forget a worker that was reaped."""
        return replace(self, workers=tuple(worker for worker in self.workers if worker.pid != pid))

    def _replaced(self, pid: int, change: Callable[[Worker], Worker]) -> "Fleet":
        return replace(
            self,
            workers=tuple(change(worker) if worker.pid == pid else worker for worker in self.workers),
        )

    def find(self, pid: int) -> Worker | None:
        """Look a worker up by its pid."""
        return next((worker for worker in self.workers if worker.pid == pid), None)

    def in_state(self, *states: State) -> tuple[Worker, ...]:
        """List the workers in any of these states."""
        return tuple(worker for worker in self.workers if worker.state in states)

    def on_slot(self, slot: int, *states: State) -> tuple[Worker, ...]:
        """List the workers of a slot in any of these states, youngest generation last."""
        found = [worker for worker in self.workers if worker.slot == slot and worker.state in states]
        return tuple(sorted(found, key=lambda worker: (worker.generation, worker.spawned_s)))

    @property
    def serving_generation(self) -> int:
        """The youngest generation that has a READY worker; before there is one, the wanted one."""
        ready = self.in_state(State.READY)
        return max((worker.generation for worker in ready), default=self.generation)

    @property
    def all_slots_ready(self) -> bool:
        """Whether each slot has a worker that serves, of whatever generation."""
        return all(self.on_slot(slot, State.READY) for slot in range(self.slot_count))
