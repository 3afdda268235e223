"""
What to do next with the workers: start, drain, kill, or wait.

One function decides for booting, rolling, scaling, hot restart and stopping
alike, because they are one thing: the fleet is not yet what it should be. Pure:
time arrives as an argument and the answer is carried out by the supervisor.
"""

from dataclasses import dataclass, replace

from penstock.master.backoff import YOUNG_S
from penstock.master.fleet import Fleet, State, Worker

# What a draining worker may take beyond its deadline, to run the app's own shutdown.
DRAIN_GRACE_S = 10.0

# How long workers that are to stop at once have for the apps' own shutdown: closing a pool of connections
# takes some round trips. Who does not want to wait so long sends the signal once more.
END_AT_ONCE_S = 5.0

# Why a worker leaves whose loop is blocked for too long, as it is counted.
HUNG = "timeout"

# How long such a worker may still recover once its successor serves, before it is killed: it does not
# hear that it is to drain. Its clients have waited for the whole timeout and for a boot; these are for
# a loop that was about to turn again, and eight of its beats.
HUNG_GRACE_S = 2.0


# How long one that does not start may live on for its stacks to be read, which takes a second.
BOOT_GRACE_S = 2.0

# How many workers of a slot may drain at once while one develops: who saves a file every second has
# as many of old code as a drain has seconds, each with the memory of an app.
LEFTOVERS_MAX = 3


@dataclass(frozen=True)
class Spawn:
    """Start a worker of the fleet's generation on this slot."""

    slot: int


@dataclass(frozen=True)
class Drain:
    """Tell a worker to accept nothing new, finish, and exit."""

    pid: int
    reason: str


@dataclass(frozen=True)
class Kill:
    """End a worker at once."""

    pid: int
    reason: str


Step = Spawn | Drain | Kill


def next_step(fleet: Fleet, now_s: float) -> Step | None:
    """
    Choose the next step towards what the fleet should be, or None to wait.

    A replacement is READY before its predecessor drains, so the number of
    accepting workers never falls below the configured one.
    """
    return _overdue(fleet, now_s) or _leftover(fleet) or _unwanted(fleet) or _start(fleet, now_s)


def next_deadline_s(fleet: Fleet) -> float | None:
    """
    Tell when `next_step` will answer otherwise although nothing has happened, or None for never.

    Once `next_step` has been asked until it waits, this lies in the future: the
    supervisor sleeps until then, and would spin over a moment that has passed.
    """
    times = [_overdue_s(fleet, worker) for worker in fleet.workers if not worker.is_killed]
    times += [vacancy.not_before_s for vacancy in _vacancies(fleet) if vacancy.not_before_s > 0.0]
    return min((time_s for time_s in times if time_s is not None), default=None)


def _overdue_s(fleet: Fleet, worker: Worker) -> float | None:
    if worker.end_by_s is not None:
        return worker.end_by_s
    if worker.state is State.DRAINING:
        if _hangs(worker):
            return worker.since_s + HUNG_GRACE_S
        return worker.since_s + worker.drain_timeout_s + DRAIN_GRACE_S
    if worker.state is State.STARTING and fleet.boot_timeout_s:
        return worker.spawned_s + fleet.boot_timeout_s + BOOT_GRACE_S
    return None


def _overdue(fleet: Fleet, now_s: float) -> Step | None:
    for worker in fleet.workers:
        overdue_s = _overdue_s(fleet, worker)
        if overdue_s is not None and now_s >= overdue_s and not worker.is_killed:
            reason = "it is still blocked" if _hangs(worker) else f"{worker.state.value} for too long"
            if worker.end_by_s is not None:
                reason = "it did not stop at once"
            return Kill(worker.pid, reason)
    return None


def _hangs(worker: Worker) -> bool:
    """Whether it was to be replaced because it hangs, and still does."""
    return worker.is_silent and worker.leave_reason == HUNG and worker.state is State.DRAINING


def late(fleet: Fleet, now_s: float) -> set[int]:
    """Find the workers whose time to start is over. They are killed a little later."""
    return {
        worker.pid
        for worker in fleet.in_state(State.STARTING)
        if fleet.boot_timeout_s and now_s >= worker.spawned_s + fleet.boot_timeout_s and not worker.is_killed
    }


def _leftover(fleet: Fleet) -> Step | None:
    """While one develops, end the oldest of those that take long to drain when there are many."""
    if not fleet.is_watched:
        return None
    for slot in {worker.slot for worker in fleet.workers}:
        draining = [each for each in fleet.on_slot(slot, State.DRAINING) if not each.is_killed]
        if len(draining) > LEFTOVERS_MAX:
            return Kill(min(draining, key=lambda each: each.since_s).pid, "roll")
    return None


def _unwanted(fleet: Fleet) -> Step | None:
    """End those that nobody needs: all when stopping, slots scaled away, the replaced."""
    for worker in fleet.in_state(State.STARTING, State.READY):
        if worker.is_killed:
            continue
        if fleet.is_stopping:
            reason = "stop"
        elif worker.slot >= fleet.slot_count:
            reason = "scale"
        elif fleet.is_held and worker.state is State.STARTING:
            reason = "roll"
        elif _is_superseded(fleet, worker):
            reason = worker.leave_reason or "roll"
        else:
            continue
        # A worker that does not serve yet has nothing to finish.
        if worker.state is State.STARTING:
            return Kill(worker.pid, reason)
        return Drain(worker.pid, reason)
    return None


def _is_superseded(fleet: Fleet, worker: Worker) -> bool:
    """Whether its slot is served by a younger worker, or it boots what is not wanted any more."""
    serving = _serving(fleet, worker.slot)
    if worker.state is State.STARTING:
        # A roll that was abandoned, or overtaken by the next one, leaves workers that still boot.
        is_overtaken = worker.generation != fleet.generation and fleet.can_spawn
        is_abandoned = not fleet.is_rolling and any(each.leave_reason is None for each in serving)
        return is_overtaken or is_abandoned
    return bool(serving) and serving[-1] is not worker and serving[-1].generation >= worker.generation


def _serving(fleet: Fleet, slot: int) -> list[Worker]:
    """List who can be counted on: a worker may turn READY with a SIGKILL already on its way to it."""
    return [worker for worker in fleet.on_slot(slot, State.READY) if not worker.is_killed]


@dataclass(frozen=True)
class _Vacancy:
    """A slot that is to get a worker, and when that may start at the earliest."""

    slot: int
    not_before_s: float


def _start(fleet: Fleet, now_s: float) -> Step | None:
    for vacancy in _vacancies(fleet):
        if now_s >= vacancy.not_before_s:
            return Spawn(vacancy.slot)
    return None


def _vacancies(fleet: Fleet) -> list[_Vacancy]:
    """List the slots that have nobody, then those whose worker may get a successor."""
    if fleet.is_stopping or fleet.is_held or not fleet.can_spawn:
        return []
    empty = [slot for slot in range(fleet.slot_count) if not fleet.on_slot(slot, State.STARTING, State.READY)]
    settled_s = _settled_s(fleet)
    return [
        *(_Vacancy(slot, _backoff_s(fleet, slot)) for slot in empty),
        *(_Vacancy(slot, max(settled_s, _backoff_s(fleet, slot))) for slot in _outdated(fleet)),
        *(_Vacancy(slot, _backoff_s(fleet, slot)) for slot in _leaving(fleet)),
    ]


def _backoff_s(fleet: Fleet, slot: int) -> float:
    backoff = fleet.backoff.get(slot)
    return 0.0 if backoff is None else backoff.not_before_s


def _settled_s(fleet: Fleet) -> float:
    """
    Tell when no worker of this roll has died young for a while.

    New code may crash just after it was READY. Then the workers that still run
    the old code are all that serves well, and no more of them are replaced.
    """
    return max((backoff.not_before_s + YOUNG_S for backoff in fleet.backoff.values()), default=0.0)


def _outdated(fleet: Fleet) -> list[int]:
    """List the slots that may get a successor for a worker of another generation, a few at a time."""
    if not fleet.is_rolling or len(_replacing(fleet)) >= surge_count(fleet.slot_count):
        return []
    return [slot for slot, worker in _settled(fleet).items() if worker.generation != fleet.generation]


def _leaving(fleet: Fleet) -> list[int]:
    """List the slots that may get a successor for a worker that is to leave, one at a time."""
    if fleet.is_rolling or _replacing(fleet):
        return []
    return [slot for slot, worker in _settled(fleet).items() if worker.leave_reason is not None]


def _replacing(fleet: Fleet) -> list[int]:
    """List the slots whose next worker boots beside the one that serves."""
    starting = {worker.slot for worker in fleet.in_state(State.STARTING)}
    return [slot for slot in starting if fleet.on_slot(slot, State.READY)]


def _settled(fleet: Fleet) -> dict[int, Worker]:
    """Find who serves each slot on which nobody boots."""
    starting = {worker.slot for worker in fleet.in_state(State.STARTING)}
    slots = {
        slot: fleet.on_slot(slot, State.READY) for slot in range(fleet.slot_count) if slot not in starting
    }
    return {slot: workers[-1] for slot, workers in slots.items() if workers}


def surge_count(slot_count: int) -> int:
    """Count the replacements that may boot at once: a quarter, for they cost memory and cores."""
    return max(1, slot_count // 4)


def abandon_roll(fleet: Fleet, spawnable: frozenset[int]) -> Fleet:
    """
    Give a roll up: whoever serves goes on serving.

    Slots that fall empty later get the generation that serves, if this master
    still knows how to start it; after a hot restart it does not, and they get
    the wanted one.
    """
    serving = fleet.serving_generation
    generation = serving if serving in spawnable else fleet.generation
    return replace(fleet, generation=generation, is_rolling=False)


def is_roll_done(fleet: Fleet) -> bool:
    """Whether every slot is served by the wanted generation and nobody else is left."""
    return (
        fleet.is_rolling
        and fleet.all_slots_ready
        and all(worker.generation == fleet.generation for worker in fleet.workers)
    )
