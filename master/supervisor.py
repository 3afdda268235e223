"""
The master: a thin shell over pure decisions.

Waits for signals, messages and deadlines, and passes on what came of it: to the
workforce what concerns workers, to the upgrade what concerns a hot restart. It
never waits for a child without a deadline, and parses no client byte.
"""

import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from penstock.master.admin.status import FleetStatus
from penstock.master.admin_keeper import AdminKeeper
from penstock.master.crew import Crew, Exit, reap
from penstock.master.exchange import RECYCLE, judge_recycle
from penstock.master.fleet import Fleet
from penstock.master.generation import Generation
from penstock.master.handover import Handover
from penstock.master.holdings import Holdings
from penstock.master.ledger import Ledger
from penstock.master.lender import Lender
from penstock.master.operations import STOPPING, Operation, judge_scale, new_id
from penstock.master.planner import PlanError, Planner
from penstock.master.recycler import Recycler
from penstock.master.rollout import next_deadline_s
from penstock.master.signals import SignalInbox, block_signals, unblock_signals
from penstock.master.succession import describe
from penstock.master.upgrade import Upgrade
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

# How long a hot restart waits for workers to read what was sent to them: what waits in this process
# would be lost with it.
UNREAD_S = 2.0

# How long the master waits at its end for the admin process that it has killed.
ADMIN_END_S = 2.0


@dataclass
class Parts:
    """What a supervisor is put together from, on a first start or after a hot restart."""

    planner: Planner
    holdings: Holdings
    fleet: Fleet
    generations: dict[int, Generation]
    drain_reasons: Mapping[int, str]
    crew: Crew
    selector: selectors.BaseSelector
    inbox: SignalInbox
    lender: Lender
    admin: AdminKeeper
    ledger: Ledger
    upgrade: Upgrade
    on_serving: Callable[[int], None]  # called once with the number of slots, when each of them serves


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
        )
        self._recycler = Recycler(parts.holdings.segment)
        self._last_generation = max(parts.generations)
        self._operations = parts.ledger.operations
        self._watch = Watch(self._force, parts.holdings, self._operations, lambda: parts.planner.config)
        self._orders: dict[str, Callable[[Operation], None]] = {
            "reload": self._on_reload,
            "upgrade": self._on_upgrade,
            "scale": self._on_scale,
            "recycle": self._on_recycle,
            "stacks": self._watch.on_stacks,
            "drain": self._on_drain,
        }
        assert self._orders.keys() == VERBS.keys()
        self._next_tick_s = 0.0
        parts.selector.register(parts.inbox.fileno(), selectors.EVENT_READ, None)

    def run(self) -> int:
        """Supervise until stopped, and return the exit status."""
        parts = self._parts
        parts.admin.start(self._let_go, self._status())
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
            self._parts.upgrade.deadline_s,
            self._watch.deadline_s,
        ]
        earliest_s = min(deadline_s for deadline_s in deadlines if deadline_s is not None)
        return max(0.0, earliest_s - time.monotonic())

    def _advance(self) -> None:
        """Do all that can be done now."""
        now_s = time.monotonic()
        self._parts.admin.tick(now_s)
        self._parts.upgrade.tick(now_s)
        self._do_what_is_due()
        if not self._parts.upgrade.is_running:
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
        fleet = self._force.fleet
        if fleet.is_stopping or not fleet.has_served or self._parts.upgrade.is_running:
            return
        if self._operations.waiting("upgrade"):
            self._start_upgrade()
        elif self._operations.waiting("reload"):
            self._reload()

    # What the admin process shows.

    def _publish(self) -> None:
        self._force.is_changed = False
        self._parts.ledger.beat(self._row_state())
        self._parts.admin.publish(self._status())

    def _status(self) -> FleetStatus:
        parts = self._parts
        return parts.ledger.status(self._force.fleet, self._row_state(), parts.holdings, parts.lender.lent)

    def _row_state(self) -> RowState:
        fleet = self._force.fleet
        if fleet.is_stopping:
            return RowState.DRAINING
        if self._parts.upgrade.is_running:
            return RowState.UPGRADING
        if not fleet.has_served:
            return RowState.STARTING
        return RowState.ROLLING if fleet.is_rolling else RowState.RUNNING

    # What children say, and how they end.

    def _on_message(self, pid: int, message: messages.ToMaster) -> None:
        if pid not in self._parts.admin.pids:
            self._force.on_message(pid, message)
        elif isinstance(message, messages.Ready):
            self._parts.admin.on_ready(pid)
            self._publish()
        elif isinstance(message, messages.Ask):
            self._order(message.verb, message.argument, origin="control", ticket=message.ticket)

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
        elif exit.pid == self._parts.upgrade.pid:
            self._on_preflight(exit)

    # What the operator asks for.

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                for exit in reap():
                    self._on_exit(exit)
            case signal.SIGTERM | signal.SIGINT if not self._force.fleet.is_stopping:
                LOG.info("%s: draining; once more stops at once", number.name)
                self._order("drain", origin=number.name)
            case signal.SIGTERM | signal.SIGINT | signal.SIGQUIT:
                LOG.info("%s: stopping at once", number.name)
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
        if not operation.is_running:
            LOG.warning("%s: refused: %s", verb, operation.reason)
        elif self._force.fleet.is_stopping and verb not in ("drain", "stacks"):
            self._operations.fail(operation.id, STOPPING, time.time())
        else:
            self._orders[verb](operation)

    def _on_drain(self, _: Operation) -> None:
        """Stop. No operation tells the end of it: that is the end of this process."""
        self._parts.upgrade.cancel()
        self._operations.stopping(time.time())
        self._force.fleet = replace(self._force.fleet, is_stopping=True)

    def _on_reload(self, _: Operation) -> None:
        if not self._force.fleet.has_served or self._parts.upgrade.is_running:
            LOG.info("reload: as soon as what is on its way is done")

    def _reload(self) -> None:
        """Read the configuration again and roll the workers to it."""
        planner, holdings, fleet = self._parts.planner, self._parts.holdings, self._force.fleet
        before = planner.config
        try:
            generation = planner.reload(holdings, self._last_generation + 1)
        except PlanError as error:
            self._parts.ledger.fail(f"reload: {error}")
            self._operations.refuse("reload", str(error), time.time())
            LOG.error("reload refused; nothing has changed: %s", error)
            self._force.is_changed = True
            return
        planner.apply_log_settings()
        LOG.info("reload: rolling to generation %d", generation.number)
        self._last_generation = generation.number
        self._operations.aim(generation.number, "reload")
        self._force.generations[generation.number] = generation
        self._force.fleet = replace(
            fleet,
            generation=generation.number,
            is_rolling=True,
            can_spawn=True,
            backoff={},
            slot_count=min(planner.slot_count_after(before, fleet.slot_count), holdings.worker_count_max),
        )
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

    # Hot restart.

    def _on_upgrade(self, _: Operation) -> None:
        if not self._force.fleet.has_served:
            LOG.info("hot restart: as soon as every worker is ready")
        elif self._parts.upgrade.is_running:
            LOG.info("hot restart: already on its way")

    def _start_upgrade(self) -> None:
        failure = self._parts.upgrade.start(self._parts.holdings.segment.fd)
        if failure is not None:
            self._fail_upgrade(failure)
        self._force.is_changed = True

    def _on_preflight(self, exit: Exit) -> None:
        """Become the new code if it has passed its check; only a failure comes back from that."""
        self._force.is_changed = True
        failure = self._parts.upgrade.judge(exit)
        if self._force.fleet.is_stopping:
            return
        if failure is None:
            failure = self._flush()
        if failure is None:
            # A signal that comes between the two images would kill the new one: its handlers do not
            # stand yet. Those that were taken and not acted on wait in the kernel for whoever runs next.
            block_signals()
            self._parts.inbox.put_back()
            failure = self._parts.upgrade.execute(self._describe())
            unblock_signals()
        self._fail_upgrade(failure)

    def _flush(self) -> str | None:
        """Leave no message to a worker behind in this image; say why if that cannot be."""
        unread = self._parts.crew.flush([worker.pid for worker in self._force.fleet.workers], UNREAD_S)
        return f"process {unread[0]} reads no messages" if unread else None

    def _fail_upgrade(self, failure: str) -> None:
        self._parts.ledger.fail(f"hot restart: {failure}")
        self._operations.refuse("upgrade", failure, time.time())
        serving = self._force.fleet.serving_generation
        LOG.error("hot restart failed; generation %d goes on: %s", serving, failure)

    def _describe(self) -> Handover:
        parts = self._parts
        return describe(
            name=parts.planner.name,
            directory=parts.upgrade.directory,
            ledger=parts.ledger,
            configured_workers=parts.planner.config.workers,
            last_generation=self._last_generation,
            holdings=parts.holdings,
            fleet=self._force.fleet,
            drain_reasons=self._force.drain_reasons,
            generations=self._force.generations,
            crew=parts.crew,
            lent=parts.lender.lent,
            admin_rows=parts.admin.rows,
            admin_account=parts.admin.account,
        )

    # Endings.

    def _let_go(self) -> None:
        """Close, in a forked child, what is the supervisor's."""
        self._parts.inbox.close()
        self._parts.holdings.let_go()

    def _finish(self) -> None:
        self._parts.admin.stop()
        until_s = time.monotonic() + ADMIN_END_S
        while self._parts.admin.pids and (left_s := until_s - time.monotonic()) > 0:
            self._parts.selector.select(left_s)
            self._parts.inbox.take()
            for exit in reap():
                self._on_exit(exit)
        self._parts.holdings.close()
        LOG.info("stopped")
