"""
What to do next with the workers: start, drain, kill, or wait.

One function decides for booting, rolling, scaling, hot restart and stopping
alike, because they are one thing: the fleet is not yet what it should be. Pure:
time arrives as an argument and the answer is carried out by the supervisor.
"""

from dataclasses import dataclass, replace

from penstock.master.fleet import Fleet, State, Worker

# What a draining worker may take beyond its deadline, to run the app's own shutdown.
DRAIN_GRACE_S = 10.0


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
    return _overdue(fleet, now_s) or _unwanted(fleet) or _missing(fleet, now_s) or _outdated(fleet, now_s)


def next_deadline_s(fleet: Fleet) -> float | None:
    """Tell when `next_step` may answer otherwise although nothing has happened, or None for never."""
    times = [_overdue_s(fleet, worker) for worker in fleet.workers if not worker.is_killed]
    times += [
        backoff.not_before_s
        for slot, backoff in fleet.backoff.items()
        if not fleet.is_stopping and slot < fleet.slot_count
    ]
    return min((time_s for time_s in times if time_s is not None), default=None)


def _overdue_s(fleet: Fleet, worker: Worker) -> float | None:
    if worker.state is State.DRAINING:
        return worker.since_s + fleet.drain_timeout_s + DRAIN_GRACE_S
    if worker.state is State.STARTING:
        return worker.spawned_s + fleet.boot_timeout_s
    return None


def _overdue(fleet: Fleet, now_s: float) -> Step | None:
    for worker in fleet.workers:
        overdue_s = _overdue_s(fleet, worker)
        if overdue_s is not None and now_s >= overdue_s and not worker.is_killed:
            return Kill(worker.pid, f"{worker.state.value} for too long")
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
        elif _is_superseded(fleet, worker):
            reason = "roll"
        else:
            continue
        # A worker that does not serve yet has nothing to finish.
        if worker.state is State.STARTING:
            return Kill(worker.pid, reason)
        return Drain(worker.pid, reason)
    return None


def _is_superseded(fleet: Fleet, worker: Worker) -> bool:
    """Whether its slot is served by a younger worker, or it boots what is outdated already."""
    if worker.state is State.STARTING and fleet.is_rolling and worker.generation != fleet.generation:
        return True
    ready = fleet.on_slot(worker.slot, State.READY)
    return bool(ready) and ready[-1] is not worker and ready[-1].generation >= worker.generation


def _missing(fleet: Fleet, now_s: float) -> Step | None:
    """Fill the slots that have nobody."""
    if fleet.is_stopping:
        return None
    for slot in range(fleet.slot_count):
        if not fleet.on_slot(slot, State.STARTING, State.READY) and _may_start(fleet, slot, now_s):
            return Spawn(slot)
    return None


def _outdated(fleet: Fleet, now_s: float) -> Step | None:
    """Start a successor for a worker of another generation, a few at a time."""
    if fleet.is_stopping or not fleet.is_rolling:
        return None
    starting = [
        worker for worker in fleet.in_state(State.STARTING) if len(fleet.on_slot(worker.slot, State.READY))
    ]
    if len(starting) >= surge_count(fleet.slot_count):
        return None
    for slot in range(fleet.slot_count):
        workers = fleet.on_slot(slot, State.STARTING, State.READY)
        is_outdated = bool(workers) and workers[-1].generation != fleet.generation
        if is_outdated and _may_start(fleet, slot, now_s):
            return Spawn(slot)
    return None


def surge_count(slot_count: int) -> int:
    """Count the replacements that may boot at once: a quarter, for they cost memory and cores."""
    return max(1, slot_count // 4)


def _may_start(fleet: Fleet, slot: int, now_s: float) -> bool:
    if not fleet.can_spawn:
        return False
    backoff = fleet.backoff.get(slot)
    return backoff is None or now_s >= backoff.not_before_s


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
