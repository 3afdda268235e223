"""
The life of one worker process, from the fork to its exit.

Boots, tells the master that it is ready, accepts on the shards it is lent,
and drains when told. It decides nothing about the others.
"""

import asyncio
import gc
import os
import signal
import ssl
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvloop

from penstock.shm.counting import BoardWriter
from penstock.shm.fence import register_writer
from penstock.shm.private import keep_from_children
from penstock.shm.row import Row
from penstock.shm.segment import Segment
from penstock.worker.access.log import open_access
from penstock.worker.appmetrics.boot import share_app_metrics, tell_what_is_not_shared
from penstock.worker.apps import App, AppImportError
from penstock.worker.asgi.lifespan import LifespanFailed
from penstock.worker.channel import Channel
from penstock.worker.child import MasterGone, settle
from penstock.worker.gateway.verdicts import Verdicts
from penstock.worker.giving import Giver
from penstock.worker.hosting import Hosting
from penstock.worker.identity import Identity, set_identity
from penstock.worker.incidents import Incidents
from penstock.worker.link import MasterLink
from penstock.worker.logs import LOG, swap_log_file
from penstock.worker.messages import (
    Adopt,
    Drain,
    Failed,
    Members,
    Ready,
    Release,
    Released,
    ReopenAccess,
    ReopenLog,
    Take,
    TakeTold,
    ToChild,
)
from penstock.worker.offspring import keep_from_offspring, stand_guard
from penstock.worker.pulse import Pulse
from penstock.worker.spec import AppAction, WorkerSpec
from penstock.worker.stacks import Witness
from penstock.worker.streams import end_streams, end_tunnels
from penstock.worker.tracebacks import exc_info, formatted

# Exit status of a worker that could not start; the master knows why from its `Failed`.
EXIT_NOT_STARTED = 3

# Exit status of a worker whose master died.
EXIT_ORPHANED = 4

# How long an idle keep-alive connection may take for one more request when its worker is replaced.
IDLE_GRACE_S = 1.0

# Over how long connections that cannot move are closed, so that their clients do not all come back
# at once: a thousand TLS handshakes in five seconds are a tenth of a core.
DRAIN_SPREAD_S = 5.0

# How long a connection that never asked may still do so when the whole server stops. Browsers open
# some ahead of need, and a Ctrl-C is not to wait for what they may never be used for.
LAST_FIRST_GRACE_S = 1.0

# How long a draining worker goes on accepting what waits in queues that nobody else serves.
EMPTY_QUEUES_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What the master gives a worker at the fork, beside the memory it inherits."""

    spec: WorkerSpec
    identity: Identity
    master_pid: int
    segment: Segment
    row_index: int
    channel: Channel
    lifeline_fd: int
    stacks_fd: int
    groups: tuple[int, ...] = ()
    tls_contexts: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    apps: Mapping[AppAction, App] = field(default_factory=dict)  # imported by the master
    access_fd: int | None = None  # the file of the access log, if it is one


def run_worker(assignment: Assignment) -> int:
    """Live the worker's life in this process, and return its exit status."""
    spec, identity = assignment.spec, assignment.identity
    witness = Witness(assignment.stacks_fd)
    witness.stand_by()
    set_identity(identity)
    try:
        settle(
            title=f"penstock: worker {identity.slot} (generation {identity.generation}) [{spec.name}]",
            uid=spec.uid,
            gid=spec.gid,
            groups=assignment.groups,
            master_pid=assignment.master_pid,
        )
    except MasterGone:
        return 0
    register_writer()
    row = assignment.segment.adopt(assignment.row_index, pid=os.getpid(), now_ns=time.monotonic_ns())
    share_app_metrics(assignment.segment, row)
    keep_from_children(assignment.segment)
    stand_guard()
    keep_from_offspring(assignment.channel.fileno())
    keep_from_offspring(assignment.lifeline_fd)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return _run(runner.get_loop(), _live(assignment, row, witness))


def _run(loop: asyncio.AbstractEventLoop, life: Coroutine[Any, Any, int]) -> int:
    """
    Run a life to its end, whatever the app's own tasks and callbacks do.

    A `sys.exit()` in one of them stops the loop, and would end the requests of
    everybody; it goes on where it was.
    """
    task = loop.create_task(life)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            LOG.error("The app raised in a task of its own", exc_info=exc_info(error))


async def _live(assignment: Assignment, row: Row, witness: Witness) -> int:
    worker = WorkerProcess(assignment, row, witness)
    try:
        return await worker.live()
    finally:
        worker.count_expense()


class WorkerProcess:
    """The worker inside its running loop."""

    def __init__(self, assignment: Assignment, row: Row, witness: Witness) -> None:
        self._assignment = assignment
        self._row = row
        self._loop = asyncio.get_running_loop()
        self._access = open_access(assignment.spec, assignment.access_fd, row.cells, assignment.identity.slot)
        self._hosting = Hosting(
            assignment.spec,
            row.cells,
            assignment.tls_contexts,
            assignment.apps,
            board=BoardWriter(row.board),
            incidents=Incidents(row, slow_s=assignment.spec.slow_request_s),
            access=self._access,
            segment=assignment.segment,
            verdicts=Verdicts(assignment.segment) if assignment.spec.upstreams else None,
        )
        self._pulse = Pulse(row, assignment.spec, self._hosting)
        witness.exchanges = self._hosting.exchanges
        self._drain_order: asyncio.Future[Drain] = self._loop.create_future()
        self._hurry: asyncio.Future[None] = self._loop.create_future()  # nothing more is to be waited for
        self._giver: Giver | None = None  # while it drains
        self._is_idling_out = False  # it drains, and idle connections end here
        self._link = MasterLink(
            assignment.channel,
            assignment.lifeline_fd,
            on_message=self._obey,
            on_master_gone=self._leave_at_once,
        )

    async def live(self) -> int:
        """Boot, serve until told to drain, drain, and return the exit status."""
        try:
            await self._hosting.start()
        except (AppImportError, LifespanFailed) as error:
            self._report_failure(error)
            return EXIT_NOT_STARTED
        tell_what_is_not_shared(self._assignment.identity.slot)
        # What an app has made by now stays: a full collection that need not look at it takes 1 ms with
        # FastAPI instead of 10 to 25, in which no request is answered. It changes nothing for a hello.
        gc.collect()
        gc.freeze()
        self._loop.add_signal_handler(signal.SIGTERM, self._drain_by_itself)
        self._pulse.start()
        # Pinned only now: a booting worker would fight the one that it replaces for the core.
        if self._assignment.identity.core is not None:
            os.sched_setaffinity(0, {self._assignment.identity.core})
        self._link.send(Ready())
        order = await self._drain_order
        await self._drain(order)
        if self._access is not None:
            await self._access.close()
        self._link.close()
        return 0

    def count_expense(self) -> None:
        """Add to the row what was spent since the last beat."""
        self._pulse.expense.count()

    def _report_failure(self, error: Exception) -> None:
        cause = error.__cause__
        detail = formatted(cause) if cause is not None else ""
        self._link.send(Failed(str(error), detail))

    async def _drain(self, order: Drain) -> None:
        started_s = time.monotonic()
        emptying = self._loop.create_task(self._empty(order, started_s))
        first: list[asyncio.Future[Any]] = [emptying, self._hurry]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if emptying.done():
            left = emptying.result()
            if left:
                LOG.warning("drain: cut off %d connections after %g s", left, order.timeout_s)
        else:
            emptying.cancel()
            self._hosting.cut()
            await asyncio.wait([emptying])
        await self._hosting.stop(started_s + order.timeout_s - time.monotonic())

    async def _empty(self, order: Drain, started_s: float) -> int:
        """Let what is in flight end, and count what had to be cut off."""
        await self._empty_queues(order.orphaned)
        await self._hosting.stop_accepting()
        self._link.send(Released())
        timeout_s = order.timeout_s - (time.monotonic() - started_s)
        ending = self._loop.create_task(self._end_streams(started_s, started_s + order.timeout_s))
        try:
            if order.is_last:
                self._is_idling_out = True
                return await self._hosting.drain(timeout_s, 0.0, LAST_FIRST_GRACE_S)
            return await self._drain_to_siblings(timeout_s, can_give=order.can_give)
        finally:
            ending.cancel()

    async def _end_streams(self, started_s: float, until_s: float) -> None:
        after_s = started_s + self._assignment.spec.stream_drain_timeout_s
        try:
            await asyncio.gather(
                end_streams(self._hosting.exchanges, after_s=after_s, until_s=until_s),
                end_tunnels(self._hosting.exchanges, until_s=until_s),
            )
        except Exception:
            LOG.exception("drain: cannot end the responses that would go on")

    async def _drain_to_siblings(self, timeout_s: float, *, can_give: bool) -> int:
        """Drain, and give away what can be given."""
        until_s = time.monotonic() + timeout_s
        spread_s = min(DRAIN_SPREAD_S, timeout_s / 2)
        idle_grace_s = min(IDLE_GRACE_S, timeout_s / 2)
        giving: asyncio.Task[None] | None = None
        if can_give:
            self._giver = Giver(self._link, self._hosting.givable)
            self._hosting.begin_giving(self._giver.notice)
            giving = self._loop.create_task(self._give(self._giver))
        left = await self._hosting.drain(timeout_s, idle_grace_s, spread_s=spread_s)
        if giving is not None:
            giving.cancel()
            try:
                async with asyncio.timeout_at(self._loop.time() + until_s - time.monotonic()):
                    await self._link.flushed()
            except TimeoutError:
                LOG.warning("drain: the master did not read which connections were given away")
        return left

    async def _give(self, giver: Giver) -> None:
        try:
            await giver.run()
        except Exception:
            LOG.exception("drain: cannot give connections away")
        self._giver = None
        self._is_idling_out = True
        self._hosting.stop_giving(IDLE_GRACE_S)

    def _take(self, message: Take, fds: list[int]) -> None:
        if len(fds) < len(message.left_ms):
            LOG.error("out of descriptors: lost %d connections", len(message.left_ms) - len(fds))
        told = message.told if isinstance(message, TakeTold) else ()
        self._hosting.take_over(message.listener, message.left_ms, fds, told)
        if self._giver is not None:
            if message.is_returned:
                self._giver.refused()
            else:
                self._giver.notice()
        elif self._is_idling_out:
            self._hosting.stop_giving(IDLE_GRACE_S)

    async def _empty_queues(self, orphaned: tuple[str, ...]) -> None:
        """Accept what has queued up where nobody else will."""
        until_s = time.monotonic() + EMPTY_QUEUES_S
        shards = [self._hosting.shards[listener] for listener in orphaned]
        while any(lent.queued() for lent in shards) and time.monotonic() < until_s:
            await asyncio.sleep(0.005)

    def _obey(self, message: ToChild, fds: list[int]) -> None:
        match message:
            case Adopt(listener, shards):
                if listener in self._hosting.shards and not self._drain_order.done():
                    self._hosting.shards[listener].take(shards, fds)
                else:
                    for fd in fds:
                        os.close(fd)
            case Release(listener, shards):
                for shard in shards:
                    self._hosting.shards[listener].release(shard)
            case Drain():
                if not self._drain_order.done():
                    self._drain_order.set_result(message)
                elif message.timeout_s <= 0 and not self._hurry.done():
                    self._hurry.set_result(None)
            case Take():
                self._take(message, fds)
            case Members():
                self._hosting.set_members(message)
            case ReopenLog():
                swap_log_file(fds[0])
            case ReopenAccess():
                if self._access is None:
                    os.close(fds[0])
                else:
                    self._access.reopen(fds[0])
            case _:
                LOG.warning("ignored a message that is not for a worker: %r", message)

    def _drain_by_itself(self) -> None:
        """Obey a TERM that was sent to this very process; the master sees the exit and starts another."""
        if not self._drain_order.done():
            self._drain_order.set_result(
                Drain(timeout_s=self._assignment.spec.drain_timeout_s, can_give=True)
            )

    def _leave_at_once(self) -> None:
        LOG.error("the master is gone; leaving")
        os._exit(EXIT_ORPHANED)
