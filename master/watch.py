"""
Watches the hearts of the workers, and acts on what suspicion.py says of them.

A worker whose loop is blocked is noted in the fleet, so that its shards are
lent to its siblings; what it is doing is logged; after a longer silence it is
replaced. One that beats again is a worker as any other.
"""

import time
from collections.abc import Callable
from functools import partial

from penstock.master.config.model import Config
from penstock.master.fleet import State, Worker
from penstock.master.holdings import Holdings
from penstock.master.operations import TEXT_CHARS_MAX, Operation, Operations
from penstock.master.rollout import HUNG, late
from penstock.master.stacks import Stacks
from penstock.master.suspicion import Heart, Memory, Patience, look
from penstock.master.workforce import Workforce
from penstock.worker.logs import LOG

# A loop that blocks for two seconds with every request would fill the log with the same stacks.
STACKS_PAUSE_S = 60.0

# A worker stamps its row with the clock that we read: what lies further ahead is no time.
AHEAD_S = 1.0

# Of what is told of a slot, for the lines above the stacks of each worker.
HEADING_CHARS_MAX = 200


class Watch:
    """The master's eye on its workers' loops."""

    def __init__(
        self, force: Workforce, holdings: Holdings, operations: Operations, config: Callable[[], Config]
    ) -> None:
        self._force = force
        self._holdings = holdings
        self._operations = operations
        self._config = config
        self._stacks = Stacks(holdings.stack_fds)
        self._memory = Memory.fresh(time.monotonic())
        self._late: set[int] = set()  # pids that were told of because they do not get ready
        self._logged_s: dict[int, float] = {}  # by pid: when its stacks were logged last

    @property
    def deadline_s(self) -> float:
        """When `tick` has something to do."""
        return min(self._memory.next_s, self._stacks.deadline_s)

    def tick(self, now_s: float) -> None:
        """Look, if it is time, and note in the fleet what came of it."""
        self._stacks.tick(now_s)
        if now_s < self._memory.next_s:
            return
        workers = {
            worker.pid: worker
            for worker in self._force.fleet.workers
            if not worker.is_killed
            and (worker.state is State.READY or (worker.state is State.DRAINING and worker.is_silent))
        }
        hearts = [self._heart(worker, now_s) for worker in workers.values()]
        verdicts, self._memory = look(self._memory, hearts, patience_of(self._config()), now_s)
        for pid, since_s in verdicts.suspects.items():
            self._suspect(workers[pid], since_s, now_s)
        for pid, silent_s in verdicts.recovered.items():
            self._note(pid, None)
            LOG.warning(
                "worker %d (slot %d): its loop turns again; it was blocked for %.1f s",
                pid,
                workers[pid].slot,
                silent_s,
            )
        self._tell_late(now_s)
        for pid in verdicts.overdue:
            self._force.replace(pid, HUNG)

    def _tell_late(self, now_s: float) -> None:
        """Say of workers whose time to start is over what they are doing, before they are killed."""
        fleet = self._force.fleet
        starting = {worker.pid: worker for worker in fleet.in_state(State.STARTING)}
        self._late &= starting.keys()
        for pid in late(fleet, now_s) - self._late:
            worker = starting[pid]
            self._late.add(pid)
            LOG.error(
                "worker %d (slot %d): not ready after %g s (worker_startup_timeout)",
                pid,
                worker.slot,
                fleet.boot_timeout_s,
            )
            self._stacks.ask(pid, now_s, partial(_log_stacks, worker))

    def on_stacks(self, operation: Operation) -> None:
        """Find out what the workers of a slot are doing, which ends the operation within a second."""
        slot = operation.argument
        workers = [worker for worker in self._force.fleet.workers if worker.slot == slot]
        if not workers:
            last = self._force.fleet.slot_count - 1
            refusal = f"slot {slot} has no worker; there are slots 0 to {last}"
            self._operations.fail(operation.id, refusal, time.time())
            return
        answers: dict[int, str] = {}
        chars_max = TEXT_CHARS_MAX // len(workers) - HEADING_CHARS_MAX

        def answered(worker: Worker, text: str) -> None:
            heading = f"worker {worker.pid} (slot {slot}), generation {worker.generation}, {worker.word}:"
            answers[worker.pid] = f"{heading}\n{text[:chars_max]}"
            if len(answers) == len(workers):
                whole = "\n\n".join(answers[worker.pid] for worker in workers)
                self._operations.finish(operation.id, whole, time.time())
                self._force.is_changed = True

        for worker in workers:
            self._stacks.ask(worker.pid, time.monotonic(), partial(answered, worker))

    def _heart(self, worker: Worker, now_s: float) -> Heart:
        segment = self._holdings.segment
        reading = segment.row(worker.row).read()
        stamp_s = reading.heartbeat_ns / 1e9 if reading is not None and reading.is_current else 0.0
        if not segment.knows(worker.row):
            stamp_s = now_s  # Its row is in memory that could not be read, and it is to be replaced anyway.
        return Heart(
            pid=worker.pid,
            # A row that makes no sense is of a sick worker: it has not been heard.
            stamp_s=stamp_s if stamp_s <= now_s + AHEAD_S else 0.0,
            silent_since_s=worker.silent_since_s,
            is_ready=worker.state is State.READY,
        )

    def _suspect(self, worker: Worker, since_s: float, now_s: float) -> None:
        self._note(worker.pid, since_s)
        LOG.warning(
            "worker %d (slot %d): suspect: its loop has not turned for %.1f s",
            worker.pid,
            worker.slot,
            now_s - since_s,
        )
        self._logged_s = {pid: at_s for pid, at_s in self._logged_s.items() if now_s - at_s < STACKS_PAUSE_S}
        if worker.pid not in self._logged_s:
            self._logged_s[worker.pid] = now_s
            self._stacks.ask(worker.pid, now_s, lambda text: _log_stacks(worker, text))

    def _note(self, pid: int, silent_since_s: float | None) -> None:
        self._force.fleet = self._force.fleet.with_silence(pid, silent_since_s)
        self._force.is_changed = True


def patience_of(config: Config) -> Patience:
    """Take from the configuration what concerns silence."""
    return Patience(suspect_s=config.worker_suspect_timeout_s, replace_s=config.worker_timeout_s)


def _log_stacks(worker: Worker, text: str) -> None:
    LOG.warning("worker %d (slot %d): what it is doing:\n%s", worker.pid, worker.slot, text)
