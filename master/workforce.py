"""
The workers, kept as the Fleet says they should be.

Asks `next_step` what to do and does it: forks, drains, kills, lends shards.
Notes in the Fleet what workers say and how they end. What the operator asks
for comes from the supervisor, as a changed Fleet.
"""

import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from penstock.master.backoff import CRASH_LOOP_FAILURES, after_death, after_recovery, crash_loops
from penstock.master.crew import Crew, Exit, kill
from penstock.master.exchange import RECYCLE
from penstock.master.fleet import Event, Fleet, State, Worker
from penstock.master.generation import Generation
from penstock.master.holdings import Holdings
from penstock.master.ledger import Ledger
from penstock.master.lender import Lender
from penstock.master.listeners import Listener
from penstock.master.members import Members, uncounted
from penstock.master.nursery import Nursery
from penstock.master.obituary import (
    NOT_REPLACED,
    Meaning,
    Setback,
    is_roll_hopeless,
    judge_boot_failure,
    judge_death,
)
from penstock.master.relay import Relay
from penstock.master.rollout import Drain, Kill, Spawn, Step, abandon_roll, is_roll_done, next_step
from penstock.master.watched import WatchedUpstream
from penstock.shm.row import State as RowState
from penstock.shm.segment import RowsFull
from penstock.worker import messages
from penstock.worker.gateway.spec import UpstreamSpec
from penstock.worker.logs import LOG

ROW_STATES = {
    State.STARTING: RowState.STARTING,
    State.READY: RowState.READY,
    State.DRAINING: RowState.DRAINING,
}


class Workforce:
    """
    All workers of this master.

    `fleet` may be replaced by the owner; `advance` then makes it true.
    """

    def __init__(
        self,
        fleet: Fleet,
        generations: dict[int, Generation],
        *,
        crew: Crew,
        holdings: Holdings,
        lender: Lender,
        ledger: Ledger,
        drain_reasons: Mapping[int, str],
        members: Members,
    ) -> None:
        self.fleet = fleet
        self.generations = generations
        self.drain_reasons = dict(drain_reasons)  # by pid; judged when the worker is gone
        self.is_changed = True  # since whoever shows the status last looked
        self.has_failed_to_start = False
        self.last_generation = max(generations)  # the highest number that was given out
        self._crew = crew
        self._holdings = holdings
        self._lender = lender
        self._members = members
        self._ledger = ledger
        self._nursery = Nursery(crew, holdings)
        crew.on_give = Relay(crew, self._takers).give
        self._watched: tuple[WatchedUpstream, ...] = ()
        self._upstreams: tuple[UpstreamSpec, ...] = ()
        self._released: set[int] = set()  # workers that accept nothing any more
        self._boot_failures: dict[int, messages.Failed] = {}

    def advance(self, now_s: float, let_go: Callable[[], None]) -> None:
        """Do all that can be done now. `let_go` closes in a forked child what is the master's."""
        self._forgive(now_s)
        while (step := next_step(self.fleet, now_s)) is not None:
            self._take(step, now_s, let_go)
        self._lend()
        if is_roll_done(self.fleet):
            self.fleet = replace(self.fleet, is_rolling=False)
            self._ledger.succeed()
            self._ledger.operations.rolled(self.fleet.generation, time.time())
            LOG.info("generation %d serves on %d workers", self.fleet.generation, self.fleet.slot_count)
            self.is_changed = True
            self.advance(now_s, let_go)  # Who is to leave had to wait for the roll.
        elif not self.fleet.is_rolling:
            self._forget_the_past()

    # Steps.

    def _take(self, step: Step, now_s: float, let_go: Callable[[], None]) -> None:
        self.is_changed = True
        match step:
            case Spawn(slot):
                self._spawn(slot, now_s, let_go)
            case Drain(pid, reason):
                self._drain(pid, reason, now_s)
            case Kill(pid, reason):
                self._kill(pid, reason)

    def _spawn(self, slot: int, now_s: float, let_go: Callable[[], None]) -> None:
        generation = self.generations[self.fleet.generation]
        assert generation.spec is not None, "an adopted generation cannot be started"
        generation = replace(generation, spec=self._members.applied(generation.spec))
        try:
            worker = self._nursery.spawn(
                generation, slot, worker_count=self.fleet.slot_count, now_s=now_s, let_go=let_go
            )
        except (RowsFull, OSError) as error:
            LOG.error("slot %d: cannot start a worker now: %s", slot, error)
            self._not_started(slot, str(error), now_s)
            return
        self.fleet = replace(self.fleet, workers=(*self.fleet.workers, worker))
        LOG.debug("worker %d (slot %d): started, generation %d", worker.pid, slot, worker.generation)

    def _drain(self, pid: int, reason: str, now_s: float) -> None:
        self.drain_reasons[pid] = reason
        worker = self._note(pid, Event.DRAIN, now_s)
        self._lender.forget(pid)
        # Siblings adopt its shards before it is told to let them go.
        self._lend()
        served = {address for (address, _), holders in self._lender.lent.items() if holders}
        orphaned = self.generations[worker.generation].addresses - served
        order = messages.Drain(
            timeout_s=worker.drain_timeout_s,
            is_last=self.fleet.is_stopping,
            orphaned=tuple(sorted(orphaned)),
            can_give=not self.fleet.is_stopping,
        )
        self._crew.send(pid, order)

    def _kill(self, pid: int, reason: str) -> None:
        worker = self.fleet.find(pid)
        assert worker is not None
        log = LOG.debug if reason in ("stop", "roll", "scale") else LOG.error
        log("worker %d (slot %d): killed: %s", pid, worker.slot, reason)
        if self.drain_reasons.get(pid) not in NOT_REPLACED:
            self.drain_reasons[pid] = reason
        self.fleet = self.fleet.with_kill(pid)
        kill(pid, signal.SIGKILL)

    def replace(self, pid: int, reason: str) -> None:
        """Have a worker replaced, successor first. `reason` is the label that it is counted under."""
        worker = self.fleet.find(pid)
        if worker is None or worker.leave_reason is not None:
            return
        self.fleet = self.fleet.with_leave(pid, reason)
        LOG.info("worker %d (slot %d): to be replaced: %s", pid, worker.slot, reason)
        self.is_changed = True

    def end_all(self, by_s: float) -> None:
        """Have every worker cut off what is in flight, run its apps' shutdown and exit, or be killed then."""
        for worker in self.fleet.workers:
            if worker.state is State.STARTING:
                kill(worker.pid, signal.SIGKILL)
            else:
                self._crew.send(worker.pid, messages.Drain(timeout_s=0.0, is_last=True))
        self.fleet = self.fleet.with_end(by_s)

    def kill_all(self) -> None:
        """End every worker at once."""
        for worker in self.fleet.workers:
            kill(worker.pid, signal.SIGKILL)

    # Upstreams.

    def watched(self) -> tuple[WatchedUpstream, ...]:
        """Give the upstreams of the generation that is wanted, with the servers that they have now."""
        generation = self.generations.get(self.fleet.generation)
        if generation is not None and generation.spec is not None:
            # Else a hot restart was given up: what runs has most likely the same ones.
            self._watched, self._upstreams = generation.watched, generation.spec.upstreams
        return self._members.watched(self._watched, self._upstreams)

    def on_resolved(self, told: messages.Resolved) -> None:
        """Let all workers know which servers an upstream has now."""
        upstream = next((each for each in self._upstreams if each.name == told.upstream), None)
        watched = next((each for each in self._watched if each.name == told.upstream), None)
        if upstream is None or watched is None or told.server not in watched.names:
            return
        if self._members.learn(told):
            servers = self._members.servers(upstream)
            for worker in self.fleet.workers:
                # The words are those of this segment; who lives in the one before counts nothing of them.
                is_at_home = self._holdings.segment.is_own(worker.row)
                known = servers if is_at_home else tuple(map(uncounted, servers))
                self._crew.send(worker.pid, messages.Members(told.upstream, known))
            self.is_changed = True

    def forget_names(self) -> None:
        """Forget what the names stand for that are used no more."""
        self.watched()
        self._members.keep(self._watched)

    def _lend(self) -> None:
        self._lender.lend(self._holdings.listeners.values(), self._accepting)

    def _accepting(self, listener: Listener) -> list[int]:
        """List the workers that serve this address: those whose loop turns, while there are any."""
        able = [
            worker
            for worker in self.fleet.in_state(State.READY)
            if not worker.is_killed and listener.key in self.generations[worker.generation].addresses
        ]
        if heard := [worker.pid for worker in able if not worker.is_silent]:
            return heard
        # Nobody answers: to move shards between the deaf would help no client.
        holders = self._lender.holders(listener)
        return [worker.pid for worker in able if worker.pid in holders] or [worker.pid for worker in able]

    def _takers(self, address: str) -> list[int]:
        """List the workers that idle connections of this address are best given to: the youngest."""
        listener = self._holdings.listeners.get(address)
        accepting = set(self._accepting(listener)) if listener is not None else ()
        able = [worker for worker in self.fleet.workers if worker.pid in accepting and worker.can_take]
        youngest = max((worker.generation for worker in able), default=0)
        return [worker.pid for worker in able if worker.generation == youngest]

    def _note(self, pid: int, event: Event, now_s: float) -> Worker:
        self.fleet = self.fleet.with_state(pid, event, now_s)
        worker = self.fleet.find(pid)
        assert worker is not None
        self._holdings.segment.row(worker.row).set_state(ROW_STATES[worker.state])
        self.is_changed = True
        return worker

    # What workers say.

    def on_message(self, pid: int, message: messages.ToMaster) -> None:
        """Note what a worker said. One that lies harms only itself."""
        worker = self.fleet.find(pid)
        if worker is None:
            return
        match message:
            case messages.Ready() if worker.is_killed:
                pass  # It said so with our SIGKILL already on its way.
            case messages.Ready() if worker.state is State.READY:
                LOG.warning("worker %d says twice that it is ready", pid)
            case messages.Ready():
                self._note(pid, Event.BOOTED, time.monotonic())
                LOG.info("worker %d (slot %d): ready, generation %d", pid, worker.slot, worker.generation)
            case messages.Failed():
                self._boot_failures[pid] = message
            case messages.Released():
                self._on_released(worker)

    def _on_released(self, worker: Worker) -> None:
        """Note that a worker accepts nothing any more: told by us, or by a TERM of its own."""
        self._released.add(worker.pid)
        if worker.state is State.READY:
            self.drain_reasons[worker.pid] = "term"
            self._note(worker.pid, Event.DRAIN, time.monotonic())
            self._lender.forget(worker.pid)
        if self.fleet.is_stopping and all(each.pid in self._released for each in self.fleet.workers):
            # Their queues are empty. From now on a client had better be refused than wait for nobody.
            self._holdings.close_listeners()

    # How workers end.

    def on_exit(self, worker: Worker, exit: Exit, now_s: float) -> None:
        """Note that a worker was reaped."""
        self.is_changed = True
        reason = self.drain_reasons.pop(worker.pid, None)
        obituary = judge_death(self.fleet, worker, reason=reason, status=exit.status)
        self.fleet = self.fleet.without(worker.pid)
        self._lender.forget(worker.pid)
        self._holdings.retire(worker.row)
        self._holdings.drop_stack_file(worker.pid)
        failed = self._boot_failures.pop(worker.pid, None)
        self._released.discard(worker.pid)
        if obituary.restart_reason is not None and self.fleet.has_served:
            self._ledger.count_restart(obituary.restart_reason)
        match obituary.meaning:
            case Meaning.BOOT_FAILURE:
                self._on_boot_failure(worker, exit, failed, reason, now_s)
            case Meaning.CRASH:
                LOG.error("worker %d (slot %d): %s", worker.pid, worker.slot, exit)
                self._back_off(worker.slot, str(exit), now_s - worker.since_s, now_s)
            case Meaning.REPLACED:
                LOG.info("worker %d (slot %d): %s (%s)", worker.pid, worker.slot, exit, reason)
            case Meaning.WANTED | Meaning.SUPERSEDED:
                LOG.debug("worker %d (slot %d): %s (%s)", worker.pid, worker.slot, exit, reason)

    def _on_boot_failure(
        self,
        worker: Worker,
        exit: Exit,
        failed: messages.Failed | None,
        reason: str | None,
        now_s: float,
    ) -> None:
        """Give up or wait for mending if nothing ever served; else keep what serves, and try again later."""
        if self.fleet.is_held:
            return  # A sibling has told why.
        what = failed.reason if failed else f"the worker {exit} before it was ready"
        if reason is not None and reason.startswith(State.STARTING.value):
            what = f"it was not ready within {self.fleet.boot_timeout_s:g} s (worker_startup_timeout)"
        LOG.error("worker %d (slot %d) could not start: %s", worker.pid, worker.slot, what)
        if failed and failed.detail:
            LOG.error("%s", failed.detail.rstrip())
        match judge_boot_failure(self.fleet):
            case Setback.END:
                self.has_failed_to_start = True
                self.fleet = replace(self.fleet, is_stopping=True)
                return
            case Setback.HOLD:
                self._hold(what)
                return
            case Setback.RETRY:
                pass
        self._not_started(worker.slot, what, now_s)
        if is_roll_hopeless(self.fleet):
            self._abandon_roll(f"generation {self.fleet.generation} could not start: {what}")

    def _hold(self, why: str) -> None:
        """Start nobody before something changes."""
        self.fleet = replace(self.fleet, is_held=True, is_rolling=False)
        self._ledger.fail(why)
        self._ledger.operations.abandoned(why, time.time())
        LOG.warning("waiting for a change of the code; clients wait meanwhile")

    def _abandon_roll(self, why: str) -> None:
        spawnable = frozenset(number for number, each in self.generations.items() if each.spec is not None)
        self.fleet = abandon_roll(self.fleet, spawnable)
        self._ledger.fail(why)
        self._ledger.operations.abandoned(why, time.time())
        LOG.error("roll abandoned; generation %d goes on serving", self.fleet.serving_generation)

    def _not_started(self, slot: int, why: str, now_s: float) -> None:
        """Try again later; whoever has ordered a successor is told, and its predecessor stays."""
        self._back_off(slot, why, 0.0, now_s)
        self.fleet = self.fleet.without_leave(slot, RECYCLE)
        self._ledger.operations.not_started(slot, why, time.time())

    def _back_off(self, slot: int, why: str, lived_s: float, now_s: float) -> None:
        backoff = after_death(
            self.fleet.backoff.get(slot), lived_s=lived_s, now_s=now_s, jitter=random.random()
        )
        slots = {other: each for other, each in self.fleet.backoff.items() if other != slot}
        if backoff is not None:
            slots[slot] = replace(backoff, reason=why)
            if backoff.failures == CRASH_LOOP_FAILURES:
                LOG.error("slot %d: a crash loop: %d workers died young; pauses grow", slot, backoff.failures)
        self.fleet = replace(self.fleet, backoff=slots)

    def _forgive(self, now_s: float) -> None:
        before = self.fleet
        self.fleet = after_recovery(before, now_s)
        for slot in crash_loops(before).keys() - self.fleet.backoff.keys():
            LOG.info("slot %d: the crash loop is over", slot)
        self.is_changed = self.is_changed or self.fleet is not before

    # Generations.

    def _forget_the_past(self) -> None:
        """Drop generations that nobody runs, and the addresses that only they served."""
        used = {worker.generation for worker in self.fleet.workers}
        used |= {self.fleet.generation, self.fleet.serving_generation}
        for number in self.generations.keys() - used:
            forgotten = self.generations.pop(number)
            if forgotten.access_file is not None:
                forgotten.access_file.close()
        for key in self._holdings.listeners.keys() - _addresses(self.generations.values()):
            LOG.info("closed %s", self._holdings.listeners[key].shown_address)
            self._holdings.listeners.pop(key).close()


def _addresses(generations: Iterable[Generation]) -> frozenset[str]:
    return frozenset[str]().union(*(generation.addresses for generation in generations))
