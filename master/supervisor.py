"""
The master: a thin shell over pure decisions.

Waits for signals, messages and deadlines, and passes on what came of it: to the
workforce what concerns workers, to the upgrade what concerns a hot restart. It
never waits for a child without a deadline, and parses no client byte.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from penstock.master.access_file import reopen_access_files
from penstock.master.admin.status import FleetStatus
from penstock.master.config.activation import disclaim_sockets
from penstock.master.crew import Exit, reap
from penstock.master.exchange import RECYCLE, judge_recycle
from penstock.master.farewell import Farewell
from penstock.master.hot_restart import HotRestart
from penstock.master.operations import ROLLING, STOPPING, Operation, judge_scale, new_id
from penstock.master.parts import Parts
from penstock.master.phases import is_sound, phase
from penstock.master.planner import NeedsNewImage, PlanError
from penstock.master.recycler import Recycler
from penstock.master.rollout import END_AT_ONCE_S, next_deadline_s
from penstock.master.systemd import Situation
from penstock.master.verbs import VERBS
from penstock.master.watch import Watch
from penstock.master.workforce import Workforce
from penstock.shm.row import State as RowState
from penstock.worker import messages
from penstock.worker.logs import LOG, open_log_file, swap_log_file

EXIT_DONE = 0
EXIT_NOT_STARTED = 3

# How often the master shows that it is alive, and renews the snapshot that `status` is made of.
TICK_S = 1.0

# How long the master waits at its end for the admin process that it has killed.
ADMIN_END_S = 2.0


class Supervisor:
    """The running master."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._force = Workforce(
            parts.fleet,
            parts.generations,
            crew=parts.crew,
            holdings=parts.holdings,
            lender=parts.lender,
            ledger=parts.ledger,
            drain_reasons=parts.drain_reasons,
            members=parts.members,
        )
        self._force.forget_names()
        self._farewell = Farewell()
        self._is_hurried = False  # it was to stop, and then to stop at once
        self._recycler = Recycler(parts.holdings.segment)
        self._hot_restart = HotRestart(parts, self._force)
        self._operations = parts.ledger.operations
        self._watch = Watch(self._force, parts.holdings, self._operations, lambda: parts.planner.config)
        self._orders: dict[str, Callable[[Operation], None]] = {
            "reload": self._on_reload,
            "upgrade": self._hot_restart.on_order,
            "scale": self._on_scale,
            "recycle": self._on_recycle,
            "stacks": self._watch.on_stacks,
            "drain": self._on_drain,
        }
        assert self._orders.keys() == VERBS.keys()
        self._phase: RowState | None = None  # as it was last told
        self._next_tick_s = 0.0
        self._unheard: messages.Changed | None = None  # while the new code of a hot restart was checked
        parts.selector.register(parts.inbox.fileno(), selectors.EVENT_READ, None)

    def run(self) -> int:
        """Supervise until stopped, and return the exit status."""
        parts = self._parts
        parts.admin.start(self._let_go, self._status())
        parts.reloader.start(parts.planner.watch_plan(), self._let_go)
        while True:
            self._advance()
            if self._force.fleet.is_stopping and not self._force.fleet.workers:
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
        return EXIT_NOT_STARTED if self._force.has_failed_to_start else EXIT_DONE

    def _timeout_s(self) -> float:
        deadlines = [
            self._next_tick_s,
            next_deadline_s(self._force.fleet),
            self._parts.admin.deadline_s,
            self._parts.reloader.deadline_s,
            self._parts.upgrade.deadline_s,
            self._watch.deadline_s,
            self._parts.notifier.deadline_s,
            None if self._force.fleet.is_stopping else self._farewell.deadline_s,
        ]
        earliest_s = min(deadline_s for deadline_s in deadlines if deadline_s is not None)
        return max(0.0, earliest_s - time.monotonic())

    def _advance(self) -> None:
        """Do all that can be done now."""
        now_s = time.monotonic()
        self._parts.admin.tick(now_s)
        self._parts.reloader.tick(now_s)
        self._parts.upgrade.tick(now_s)
        self._parts.notifier.tick(now_s)
        if self._farewell.is_over(now_s):
            self._force.fleet = replace(self._force.fleet, is_stopping=True)
        self._do_what_is_due()
        if not self._is_leaving and not self._parts.upgrade.is_running:
            self._recycler.tick(self._force, self._parts.planner.config.recycle, now_s)
        self._watch.tick(now_s)
        self._force.advance(now_s, self._let_go)
        fleet = self._force.fleet
        if not fleet.has_served and fleet.all_slots_ready:
            self._force.fleet = replace(fleet, has_served=True)
            self._parts.on_serving(fleet.slot_count)
        if self._operations.settle(self._force.fleet, time.time()):
            self._force.is_changed = True
        if self._force.is_changed or now_s >= self._next_tick_s:
            self._publish()
            self._next_tick_s = now_s + TICK_S

    def _do_what_is_due(self) -> None:
        """Carry out the reload or the hot restart that was asked for, now or when it could not be."""
        if self._is_leaving or not self._can_reload:
            return
        if self._unheard is not None:
            change, self._unheard = self._unheard, None
            self._on_change(change)
        if self._operations.waiting("upgrade") and self._force.fleet.has_served:
            self._hot_restart.start()
        elif self._operations.waiting("reload"):
            self._reload()

    @property
    def _can_reload(self) -> bool:
        """Whether a reload can begin now. Whoever develops need not wait for code they have just changed."""
        fleet = self._force.fleet
        return (fleet.has_served or fleet.is_watched) and not self._parts.upgrade.is_running

    @property
    def _is_leaving(self) -> bool:
        """Whether the server stops, or is about to."""
        return self._farewell.has_begun or self._force.fleet.is_stopping

    # What the admin process and the service manager are told.

    def _publish(self) -> None:
        self._force.is_changed = False
        before, self._phase = self._phase, self._row_state()
        if not is_sound(before, self._phase):
            LOG.error("went from %s to %s, which makes no sense", before, self._phase)
        self._parts.ledger.beat(self._phase)
        self._parts.admin.publish(self._status())
        self._parts.notifier.tell(self._situation())

    def _situation(self) -> Situation:
        fleet = self._force.fleet
        return Situation(
            has_served=fleet.has_served,
            is_changing=self._operations.is_any_running(ROLLING),
            is_stopping=self._is_leaving,
            text=self._parts.ledger.summary(fleet, self._row_state()),
        )

    def _status(self) -> FleetStatus:
        parts = self._parts
        status = parts.ledger.status(self._force.fleet, self._row_state(), parts.holdings, parts.lender.lent)
        return msgspec.structs.replace(
            status, upstreams=self._force.watched(), segment=parts.holdings.segment.serial
        )

    def _row_state(self) -> RowState:
        return phase(
            is_leaving=self._is_leaving,
            is_checking=self._parts.upgrade.is_running,
            has_served=self._force.fleet.has_served,
            is_rolling=self._force.fleet.is_rolling,
        )

    # What children say, and how they end.

    def _on_message(self, pid: int, message: messages.ToMaster) -> None:
        if isinstance(message, messages.Changed):
            if pid == self._parts.reloader.pid:
                self._on_change(message)
        elif pid not in self._parts.admin.pids:
            self._force.on_message(pid, message)
        elif isinstance(message, messages.Ready):
            self._parts.admin.on_ready(pid)
            self._publish()
        elif isinstance(message, messages.Ask):
            self._order(message.verb, message.argument, origin="control", ticket=message.ticket)
        elif isinstance(message, messages.Resolved):
            self._force.on_resolved(message)

    def _on_exit(self, exit: Exit) -> None:
        # Its last words first: why it could not start, or that it had.
        for message in self._parts.crew.receive(exit.pid, selectors.EVENT_READ):
            self._on_message(exit.pid, message)
        self._parts.crew.forget(exit.pid)
        now_s = time.monotonic()
        worker = self._force.fleet.find(exit.pid)
        if worker is not None:
            self._force.on_exit(worker, exit, now_s)
        elif exit.pid in self._parts.admin.pids:
            self._parts.admin.on_exit(exit, now_s)
        elif exit.pid == self._parts.reloader.pid:
            self._parts.reloader.on_exit(exit, now_s)
        elif exit.pid == self._parts.upgrade.pid:
            self._hot_restart.on_preflight(exit, is_wanted=not self._is_leaving)

    # What the operator asks for.

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                for exit in reap():
                    self._on_exit(exit)
            case signal.SIGTERM | signal.SIGINT if not self._is_leaving:
                LOG.info("%s: draining; once more stops at once", number.name)
                self._order("drain", origin=number.name)
            case signal.SIGTERM | signal.SIGINT if not self._is_hurried:
                LOG.info("%s: stopping at once", number.name)
                self._is_hurried = True
                self._order("drain", origin=number.name)
                self._force.end_all(time.monotonic() + END_AT_ONCE_S)
            case signal.SIGTERM | signal.SIGINT | signal.SIGQUIT:
                LOG.info("%s: killing what is left", number.name)
                self._order("drain", origin=number.name)
                self._force.kill_all()
            case signal.SIGHUP:
                self._order("reload", origin=number.name)
            case signal.SIGUSR1:
                self._reopen_logs()
            case signal.SIGUSR2:
                self._order("upgrade", origin=number.name)
            case signal.SIGTTIN:
                self._order("scale", self._force.fleet.slot_count + 1, origin=number.name)
            case signal.SIGTTOU:
                self._order("scale", self._force.fleet.slot_count - 1, origin=number.name)

    def _order(
        self, verb: str, argument: int | None = None, *, origin: str, ticket: str | None = None
    ) -> None:
        """Begin what the operator wants, by a signal or through the control socket."""
        if verb not in self._orders or (VERBS[verb].argument is None) != (argument is None):
            LOG.warning("ignored an order that makes no sense: %s", verb)
            return
        operation = self._operations.begin(
            verb, argument, origin=origin, id=ticket or new_id(), now_s=time.time()
        )
        self._force.is_changed = True
        if verb in ROLLING:
            self._parts.notifier.order()
        if not operation.is_running:
            LOG.warning("%s: refused: %s", verb, operation.reason)
        elif self._is_leaving and verb not in ("drain", "stacks"):
            self._operations.fail(operation.id, STOPPING, time.time())
        else:
            self._orders[verb](operation)

    def _on_drain(self, operation: Operation) -> None:
        """Stop. No operation tells the end of it: that is the end of this process."""
        self._parts.reloader.stop()
        self._parts.upgrade.cancel()
        self._operations.stopping(time.time())
        # Nobody sends clients to what has never been ready, or is stopped from the keyboard.
        waits = self._force.fleet.has_served and operation.origin in ("SIGTERM", "control")
        delay_s = self._parts.planner.config.shutdown_delay_s if waits else 0.0
        if delay_s and not self._is_leaving:
            LOG.info("not ready any more; draining in %g s", delay_s)
        self._farewell.begin(time.monotonic(), delay_s)

    def _on_change(self, change: messages.Changed) -> None:
        """Have the code that has changed served."""
        if self._is_leaving:
            return
        if self._parts.upgrade.is_running:
            # The check may have read the code before that: its outcome says nothing of this change.
            self._unheard = change
            return
        more = f" and {change.count - len(change.paths)} more" if change.count > len(change.paths) else ""
        LOG.info("reload: changed: %s%s", ", ".join(change.paths), more)
        self._order("reload", origin="reloader")

    def _on_reload(self, _: Operation) -> None:
        if not self._can_reload:
            LOG.info("reload: as soon as what is on its way is done")

    def _reload(self) -> None:
        """Read the configuration again and roll the workers to it."""
        planner, holdings, fleet = self._parts.planner, self._parts.holdings, self._force.fleet
        before, since_ns = planner.config, time.time_ns()
        try:
            generation = planner.reload(holdings, self._force.last_generation + 1)
        except NeedsNewImage:
            LOG.info("reload: by a hot restart, because apps are imported in the master")
            self._hot_restart.start("reload")
            return
        except PlanError as error:
            self._parts.ledger.fail(f"reload: {error}")
            self._operations.refuse("reload", str(error), time.time())
            LOG.error("reload refused; nothing has changed: %s", error)
            self._force.is_changed = True
            return
        planner.apply_log_settings()
        self._parts.reloader.watch(planner.watch_plan(), since_ns)
        LOG.info("reload: rolling to generation %d", generation.number)
        self._force.last_generation = generation.number
        self._operations.aim(generation.number, "reload")
        self._force.generations[generation.number] = generation
        self._force.fleet = replace(
            planner.configured(fleet),
            generation=generation.number,
            is_rolling=True,
            is_held=False,
            can_spawn=True,
            backoff={},
            slot_count=min(planner.slot_count_after(before, fleet.slot_count), holdings.worker_count_max),
        )
        self._force.forget_names()
        self._force.is_changed = True

    def _on_scale(self, operation: Operation) -> None:
        """Set the number of workers, as far as there are shards for them."""
        wanted, fleet = operation.argument, self._force.fleet
        assert wanted is not None
        refusal = judge_scale(wanted, fleet, self._parts.holdings.worker_count_max)
        if refusal is not None:
            LOG.warning("scale: stays at %d workers: %s", fleet.slot_count, refusal)
            self._operations.fail(operation.id, refusal, time.time())
            return
        if wanted != fleet.slot_count:
            LOG.info("scale: from %d to %d workers", fleet.slot_count, wanted)
        self._force.fleet = replace(fleet, slot_count=wanted)

    def _on_recycle(self, operation: Operation) -> None:
        """Have the worker of a slot replaced."""
        assert operation.argument is not None
        found = judge_recycle(operation.argument, self._force.fleet)
        if isinstance(found, str):
            LOG.warning("recycle: %s", found)
            self._operations.fail(operation.id, found, time.time())
            return
        self._operations.concern(operation.id, found.pid)
        self._force.replace(found.pid, RECYCLE)

    def _reopen_logs(self) -> None:
        reopen_access_files(
            [(number, each.access_file) for number, each in self._force.generations.items()],
            self._force.fleet.workers,
            self._parts.crew,
        )
        path = self._parts.planner.config.log.path
        if path is None:
            return
        try:
            fd = open_log_file(path)
        except OSError as error:
            LOG.error("log %s: %s; going on with the old one", path, error.strerror)
            return
        for pid in (*self._parts.admin.pids, *(worker.pid for worker in self._force.fleet.workers)):
            self._parts.crew.send(pid, messages.ReopenLog(), [fd])
        swap_log_file(fd)
        LOG.info("log reopened")

    # Endings.

    def _let_go(self) -> None:
        """Close, in a forked child, what is the supervisor's."""
        self._parts.inbox.close()
        self._parts.notifier.close()
        self._parts.holdings.let_go()
        for generation in self._force.generations.values():
            if generation.access_file is not None:
                generation.access_file.close()
        disclaim_sockets(os.environ)

    def _finish(self) -> None:
        self._parts.admin.stop()
        until_s = time.monotonic() + ADMIN_END_S
        while (self._parts.admin.pids or self._parts.reloader.pid) and (
            left_s := until_s - time.monotonic()
        ) > 0:
            self._parts.selector.select(left_s)
            self._parts.inbox.take()
            for exit in reap():
                self._on_exit(exit)
        self._parts.holdings.close()
        self._parts.notifier.close()
        LOG.info("stopped")
