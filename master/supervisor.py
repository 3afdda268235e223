"""
The master: a thin shell over pure decisions.

It waits for signals, messages and deadlines, notes in the Fleet what happened,
asks `next_step` what to do, and does it. It never waits for a child without a
deadline, and parses no client byte.
"""

import random
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from penstock.master.admin.status import FleetStatus
from penstock.master.admin_keeper import AdminKeeper
from penstock.master.backoff import after_death
from penstock.master.crew import Crew, Exit, kill, reap
from penstock.master.fleet import Event, Fleet, State, Worker
from penstock.master.generation import Generation
from penstock.master.handover import Handover
from penstock.master.holdings import Holdings
from penstock.master.ledger import Ledger
from penstock.master.lender import Lender
from penstock.master.listeners import Listener
from penstock.master.nursery import Nursery
from penstock.master.obituary import NOT_REPLACED, Meaning, is_roll_hopeless, judge_death
from penstock.master.planner import PlanError, Planner
from penstock.master.rollout import (
    Drain,
    Kill,
    Spawn,
    Step,
    abandon_roll,
    is_roll_done,
    next_deadline_s,
    next_step,
)
from penstock.master.signals import SignalInbox, block_signals, unblock_signals
from penstock.master.succession import describe
from penstock.master.upgrade import Upgrade
from penstock.shm.row import State as RowState
from penstock.shm.segment import RowsFull
from penstock.worker import messages
from penstock.worker.logs import LOG, open_log_file, swap_log_file

EXIT_DONE = 0
EXIT_NOT_STARTED = 3

# How often the master shows that it is alive, and renews the snapshot that `status` is made of.
TICK_S = 1.0

ROW_STATES = {
    State.STARTING: RowState.STARTING,
    State.READY: RowState.READY,
    State.DRAINING: RowState.DRAINING,
}


@dataclass
class Parts:
    """What a supervisor is put together from, on a first start or after a hot restart."""

    planner: Planner
    holdings: Holdings
    fleet: Fleet
    generations: dict[int, Generation]
    crew: Crew
    selector: selectors.BaseSelector
    inbox: SignalInbox
    lender: Lender
    admin: AdminKeeper
    ledger: Ledger
    upgrade: Upgrade
    drain_reasons: Mapping[int, str]
    on_serving: Callable[[int], None]  # called once with the number of slots, when each of them serves


class Supervisor:
    """The running master."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._fleet = parts.fleet
        self._nursery = Nursery(parts.crew, parts.holdings)
        self._generations = parts.generations
        self._last_generation = max(parts.generations)
        self._released: set[int] = set()  # workers that accept nothing any more
        self._drain_reasons = dict(parts.drain_reasons)  # by pid, counted when the worker is gone
        self._is_reload_due = False  # asked for when it could not be; remembered once
        self._is_upgrade_due = False
        self._boot_failures: dict[int, messages.Failed] = {}
        self._exit_status = EXIT_DONE
        self._next_tick_s = 0.0
        self._is_changed = True
        parts.selector.register(parts.inbox.fileno(), selectors.EVENT_READ, None)

    def run(self) -> int:
        """Supervise until stopped, and return the exit status."""
        parts = self._parts
        parts.admin.start(self._let_go, self._status())
        while True:
            self._advance()
            if self._fleet.is_stopping and not self._fleet.workers:
                break
            for key, events in parts.selector.select(self._timeout_s()):
                if key.data is None:
                    # Deaths last: that of a hot restart's check ends this code, and what else came with it.
                    for number in sorted(parts.inbox.take(), key=lambda each: each == signal.SIGCHLD):
                        self._on_signal(number)
                else:
                    for message in parts.crew.receive(key.data, events):
                        self._on_message(key.data, message)
        self._finish()
        return self._exit_status

    # Time.

    def _timeout_s(self) -> float:
        deadlines = [
            self._next_tick_s,
            next_deadline_s(self._fleet),
            self._parts.admin.deadline_s,
            self._parts.upgrade.deadline_s,
        ]
        earliest_s = min(deadline_s for deadline_s in deadlines if deadline_s is not None)
        return max(0.0, earliest_s - time.monotonic())

    def _advance(self) -> None:
        """Do all that can be done now."""
        now_s = time.monotonic()
        while (step := next_step(self._fleet, now_s)) is not None:
            self._take(step, now_s)
        self._parts.admin.tick(now_s)
        self._parts.upgrade.tick(now_s)
        self._lend()
        if not self._fleet.has_served and self._fleet.all_slots_ready:
            self._fleet = replace(self._fleet, has_served=True)
            self._parts.on_serving(self._fleet.slot_count)
            self._is_changed = True
        self._do_what_is_due()
        if is_roll_done(self._fleet):
            self._fleet = replace(self._fleet, is_rolling=False)
            self._parts.ledger.succeed()
            LOG.info("generation %d serves on %d workers", self._fleet.generation, self._fleet.slot_count)
            self._is_changed = True
        if not self._fleet.is_rolling:
            self._forget_the_past()
        if self._is_changed or now_s >= self._next_tick_s:
            self._publish()
            self._is_changed = False
            self._next_tick_s = now_s + TICK_S

    def _do_what_is_due(self) -> None:
        """Carry out what a signal asked for when it could not be done."""
        if not self._fleet.has_served or self._parts.upgrade.is_running:
            return
        if self._is_upgrade_due:
            self._is_upgrade_due = False
            self._start_upgrade()
        elif self._is_reload_due:
            self._is_reload_due = False
            self.reload()

    def _publish(self) -> None:
        parts = self._parts
        parts.ledger.beat(self._row_state())
        parts.admin.publish(self._status())

    def _status(self) -> FleetStatus:
        parts = self._parts
        return parts.ledger.status(self._fleet, self._row_state(), parts.holdings, parts.lender.lent)

    def _row_state(self) -> RowState:
        if self._fleet.is_stopping:
            return RowState.DRAINING
        if self._parts.upgrade.is_running:
            return RowState.UPGRADING
        if not self._fleet.has_served:
            return RowState.STARTING
        return RowState.ROLLING if self._fleet.is_rolling else RowState.RUNNING

    # Steps.

    def _take(self, step: Step, now_s: float) -> None:
        self._is_changed = True
        match step:
            case Spawn(slot):
                self._spawn(slot, now_s)
            case Drain(pid, reason):
                self._drain(pid, reason, now_s)
            case Kill(pid, reason):
                worker = self._fleet.find(pid)
                assert worker is not None
                log = LOG.debug if reason in ("stop", "roll", "scale") else LOG.error
                log("worker %d (slot %d): killed: %s", pid, worker.slot, reason)
                if self._drain_reasons.get(pid) not in NOT_REPLACED:
                    self._drain_reasons[pid] = reason
                self._fleet = self._fleet.with_kill(pid)
                kill(pid, signal.SIGKILL)

    def _spawn(self, slot: int, now_s: float) -> None:
        try:
            worker = self._nursery.spawn(
                self._generations[self._fleet.generation],
                slot,
                worker_count=self._fleet.slot_count,
                now_s=now_s,
                let_go=self._let_go,
            )
        except (RowsFull, OSError) as error:
            LOG.error("slot %d: cannot start a worker now: %s", slot, error)
            self._back_off(slot, 0.0, now_s)
            return
        self._fleet = replace(self._fleet, workers=(*self._fleet.workers, worker))
        LOG.debug("worker %d (slot %d): started, generation %d", worker.pid, slot, worker.generation)

    def _drain(self, pid: int, reason: str, now_s: float) -> None:
        self._drain_reasons[pid] = reason
        self._note(pid, Event.DRAIN, now_s)
        self._parts.lender.forget(pid)
        # Siblings adopt its shards before it is told to let them go.
        self._lend()
        served = {address for (address, _), holders in self._parts.lender.lent.items() if holders}
        worker = self._fleet.find(pid)
        assert worker is not None
        generation = self._generations[worker.generation]
        self._parts.crew.send(
            pid,
            messages.Drain(
                timeout_s=generation.drain_timeout_s,
                is_last=self._fleet.is_stopping,
                orphaned=tuple(sorted(generation.addresses - served)),
            ),
        )

    def _lend(self) -> None:
        self._parts.lender.lend(self._parts.holdings.listeners.values(), self._accepting)

    def _accepting(self, listener: Listener) -> list[int]:
        """List the workers that serve this address."""
        return [
            worker.pid
            for worker in self._fleet.in_state(State.READY)
            if listener.key in self._generations[worker.generation].addresses
        ]

    def _note(self, pid: int, event: Event, now_s: float) -> None:
        self._fleet = self._fleet.with_state(pid, event, now_s)
        worker = self._fleet.find(pid)
        assert worker is not None
        if worker.state in ROW_STATES:
            self._parts.holdings.segment.row(worker.row).set_state(ROW_STATES[worker.state])
        self._is_changed = True

    # What children say, and how they end.

    def _on_message(self, pid: int, message: messages.ToMaster) -> None:
        if pid in self._parts.admin.pids:
            if isinstance(message, messages.Ready):
                self._parts.admin.on_ready(pid)
            self._publish()
        elif isinstance(message, messages.Ready):
            self._on_ready(pid)
        elif isinstance(message, messages.Failed):
            self._boot_failures[pid] = message
        elif isinstance(message, messages.Released):
            self._on_released(pid)

    def _on_ready(self, pid: int) -> None:
        worker = self._fleet.find(pid)
        if worker is None or worker.state is State.READY:
            LOG.warning("ignored a second or late word of process %d that it is ready", pid)
            return
        self._note(pid, Event.BOOTED, time.monotonic())
        LOG.info("worker %d (slot %d): ready, generation %d", pid, worker.slot, worker.generation)

    def _on_released(self, pid: int) -> None:
        """Note that a worker accepts nothing any more: told by us, or by a TERM of its own."""
        self._released.add(pid)
        worker = self._fleet.find(pid)
        if worker is not None and worker.state is State.READY:
            self._drain_reasons[pid] = "term"
            self._note(pid, Event.DRAIN, time.monotonic())
            self._parts.lender.forget(pid)
        if self._fleet.is_stopping and all(each.pid in self._released for each in self._fleet.workers):
            # Their queues are empty. From now on a client had better be refused than wait for nobody.
            self._parts.holdings.close_listeners()

    def _on_exit(self, exit: Exit) -> None:
        now_s = time.monotonic()
        # Its last words first: why it could not start, or that it had.
        for message in self._parts.crew.receive(exit.pid, selectors.EVENT_READ):
            self._on_message(exit.pid, message)
        self._parts.crew.forget(exit.pid)
        if exit.pid in self._parts.admin.pids:
            self._parts.admin.on_exit(exit, now_s)
        elif exit.pid == self._parts.upgrade.pid:
            self._on_preflight(exit)
        elif (worker := self._fleet.find(exit.pid)) is not None:
            self._on_worker_exit(worker, exit, now_s)

    def _on_worker_exit(self, worker: Worker, exit: Exit, now_s: float) -> None:
        self._is_changed = True
        reason = self._drain_reasons.pop(worker.pid, None)
        obituary = judge_death(self._fleet, worker, reason=reason, status=exit.status)
        self._fleet = self._fleet.without(worker.pid)
        self._parts.lender.forget(worker.pid)
        self._parts.holdings.segment.row(worker.row).release()
        failed = self._boot_failures.pop(worker.pid, None)
        self._released.discard(worker.pid)
        if obituary.restart_reason is not None and self._fleet.has_served:
            self._parts.ledger.count_restart(obituary.restart_reason)
        match obituary.meaning:
            case Meaning.BOOT_FAILURE:
                self._on_boot_failure(worker, exit, failed, now_s)
            case Meaning.CRASH:
                LOG.error("worker %d (slot %d): %s", worker.pid, worker.slot, exit)
                self._back_off(worker.slot, now_s - worker.since_s, now_s)
            case Meaning.REPLACED:
                LOG.info("worker %d (slot %d): %s (%s)", worker.pid, worker.slot, exit, reason)
            case Meaning.WANTED | Meaning.SUPERSEDED:
                LOG.debug("worker %d (slot %d): %s (%s)", worker.pid, worker.slot, exit, reason)

    def _on_boot_failure(
        self, worker: Worker, exit: Exit, failed: messages.Failed | None, now_s: float
    ) -> None:
        """Give up if nothing ever served; else keep what serves, and try again later."""
        what = failed.reason if failed else f"the worker {exit} before it was ready"
        LOG.error("worker %d (slot %d) could not start: %s", worker.pid, worker.slot, what)
        if failed and failed.detail:
            LOG.error("%s", failed.detail.rstrip())
        if not self._fleet.has_served:
            self._exit_status = EXIT_NOT_STARTED
            self._fleet = replace(self._fleet, is_stopping=True)
            return
        self._back_off(worker.slot, 0.0, now_s)
        if is_roll_hopeless(self._fleet):
            self._fail_roll(f"generation {self._fleet.generation} could not start: {what}")

    def _fail_roll(self, why: str) -> None:
        spawnable = frozenset(number for number, each in self._generations.items() if each.spec is not None)
        self._fleet = abandon_roll(self._fleet, spawnable)
        self._parts.ledger.fail(why)
        LOG.error("roll abandoned; generation %d goes on serving", self._fleet.serving_generation)

    def _back_off(self, slot: int, lived_s: float, now_s: float) -> None:
        backoff = after_death(
            self._fleet.backoff.get(slot), lived_s=lived_s, now_s=now_s, jitter=random.random()
        )
        slots = {other: each for other, each in self._fleet.backoff.items() if other != slot}
        self._fleet = replace(self._fleet, backoff=slots | ({slot: backoff} if backoff else {}))

    # Signals.

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                for exit in reap():
                    self._on_exit(exit)
            case signal.SIGTERM | signal.SIGINT if not self._fleet.is_stopping:
                self._stop(number)
            case signal.SIGTERM | signal.SIGINT | signal.SIGQUIT:
                self._stop_at_once(number)
            case signal.SIGHUP:
                self.reload()
            case signal.SIGUSR1:
                self._reopen_logs()
            case signal.SIGUSR2:
                self._start_upgrade()
            case signal.SIGTTIN:
                self.scale(self._fleet.slot_count + 1)
            case signal.SIGTTOU:
                self.scale(self._fleet.slot_count - 1)

    def _stop(self, number: signal.Signals) -> None:
        LOG.info("%s: draining; once more stops at once", number.name)
        self._parts.upgrade.cancel()
        self._fleet = replace(self._fleet, is_stopping=True)

    def _stop_at_once(self, number: signal.Signals) -> None:
        LOG.info("%s: stopping at once", number.name)
        self._parts.upgrade.cancel()
        self._fleet = replace(self._fleet, is_stopping=True)
        for worker in self._fleet.workers:
            kill(worker.pid, signal.SIGKILL)

    def reload(self) -> None:
        """Read the configuration again and roll the workers to it."""
        if self._fleet.is_stopping:
            return
        if not self._fleet.has_served or self._parts.upgrade.is_running:
            LOG.info("reload: as soon as what is on its way is done")
            self._is_reload_due = True
            return
        before = self._parts.planner.config
        try:
            generation = self._parts.planner.reload(self._parts.holdings, self._last_generation + 1)
        except PlanError as error:
            self._parts.ledger.fail(f"reload: {error}")
            LOG.error("reload refused; nothing has changed: %s", error)
            return
        self._is_changed = True
        self._parts.planner.apply_log_settings()
        self._last_generation = generation.number
        self._generations[generation.number] = generation
        LOG.info("reload: rolling to generation %d", generation.number)
        self._fleet = replace(
            self._fleet,
            generation=generation.number,
            is_rolling=True,
            can_spawn=True,
            backoff={},
            slot_count=min(
                self._parts.planner.slot_count_after(before, self._fleet.slot_count),
                self._parts.holdings.worker_count_max,
            ),
        )

    def scale(self, slot_count: int) -> None:
        """Set the number of workers, as far as there are shards for them."""
        most = self._parts.holdings.worker_count_max
        wanted = max(1, min(slot_count, most))
        if wanted == self._fleet.slot_count or self._fleet.is_stopping:
            LOG.warning("scale: stays at %d workers (1 to %d)", self._fleet.slot_count, most)
            return
        LOG.info("scale: from %d to %d workers", self._fleet.slot_count, wanted)
        self._fleet = replace(self._fleet, slot_count=wanted)
        self._is_changed = True

    def _reopen_logs(self) -> None:
        path = self._parts.planner.config.log.path
        if path is None:
            return
        try:
            fd = open_log_file(path)
        except OSError as error:
            LOG.error("log %s: %s; going on with the old one", path, error.strerror)
            return
        for pid in (*self._parts.admin.pids, *(worker.pid for worker in self._fleet.workers)):
            self._parts.crew.send(pid, messages.ReopenLog(), [fd])
        swap_log_file(fd)
        LOG.info("log reopened")

    # Hot restart.

    def _start_upgrade(self) -> None:
        if self._fleet.is_stopping:
            return
        if not self._fleet.has_served:
            LOG.info("hot restart: as soon as every worker is ready")
            self._is_upgrade_due = True
            return
        failure = self._parts.upgrade.start(self._parts.holdings.segment.fd)
        if failure is not None:
            self._parts.ledger.fail(f"hot restart: {failure}")
            LOG.error("hot restart failed: %s", failure)
        self._is_changed = True

    def _on_preflight(self, exit: Exit) -> None:
        """Become the new code if it has passed its check; only a failure comes back from that."""
        self._is_changed = True
        failure = self._parts.upgrade.judge(exit)
        if self._fleet.is_stopping:
            return
        if failure is None:
            # A signal that comes between the two images would kill the new one: its handlers do not
            # stand yet. Those that were taken and not acted on wait in the kernel for whoever runs next.
            block_signals()
            self._parts.inbox.put_back()
            failure = self._parts.upgrade.execute(self._describe())
            unblock_signals()
        self._parts.ledger.fail(f"hot restart: {failure}")
        LOG.error("hot restart failed; generation %d goes on: %s", self._fleet.serving_generation, failure)

    def _describe(self) -> Handover:
        parts = self._parts
        return describe(
            name=parts.planner.name,
            directory=parts.upgrade.directory,
            ledger=parts.ledger,
            configured_workers=parts.planner.config.workers,
            last_generation=self._last_generation,
            holdings=parts.holdings,
            fleet=self._fleet,
            drain_reasons=self._drain_reasons,
            generations=self._generations,
            crew=parts.crew,
            lent=parts.lender.lent,
            admin_rows=parts.admin.rows,
            admin_account=parts.admin.account,
        )

    # Endings.

    def _forget_the_past(self) -> None:
        """Drop generations that nobody runs, and the addresses that only they served."""
        used = {worker.generation for worker in self._fleet.workers}
        used |= {self._fleet.generation, self._fleet.serving_generation}
        for number in [number for number in self._generations if number not in used]:
            del self._generations[number]
        served = frozenset[str]().union(*(each.addresses for each in self._generations.values()))
        listeners = self._parts.holdings.listeners
        for key in [key for key in listeners if key not in served]:
            LOG.info("closed %s", listeners[key].shown_address)
            listeners.pop(key).close()

    def _let_go(self) -> None:
        """Close, in a forked child, what is the supervisor's."""
        self._parts.inbox.close()
        self._parts.holdings.let_go()

    def _finish(self) -> None:
        self._parts.admin.stop()
        deadline_s = time.monotonic() + 2.0
        while self._parts.admin.pids and time.monotonic() < deadline_s:
            self._parts.selector.select(deadline_s - time.monotonic())
            self._parts.inbox.take()
            for exit in reap():
                self._on_exit(exit)
        self._parts.holdings.close()
        LOG.info("stopped")
