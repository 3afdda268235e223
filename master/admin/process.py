"""
The admin process: the control plane's only door.

Serves the admin app on the admin address and the control socket through the
same HTTP stack as the workers, with counters of its own, so that asking for the
numbers does not change them. It also does, once for the machine, what all
workers need to know of upstreams: health checks, and looking up names. It forks
nothing and decides nothing about workers.
"""

import asyncio
import atexit
import os
import signal
import time
from dataclasses import dataclass

import msgspec
import uvloop

from penstock.master.admin.app import AdminApp
from penstock.master.admin.control import ControlApp
from penstock.master.admin.latency import WINDOW_S
from penstock.master.admin.status import Failure, FleetStatus
from penstock.master.admin.upstreams import UpstreamCare
from penstock.master.operations import STOOD_IN
from penstock.shm.fence import register_writer
from penstock.shm.histogram import WORD_COUNT
from penstock.shm.owner import read_believed
from penstock.shm.row import Row
from penstock.shm.segment import Segment
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.asgi.types import ASGIApp
from penstock.worker.channel import Channel, ChannelFull
from penstock.worker.child import MasterGone, settle
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.link import MasterLink
from penstock.worker.logs import LOG, swap_log_file
from penstock.worker.messages import Adopt, Ask, Drain, Ready, ReopenLog, Resolved, Snapshot, StandIn, ToChild
from penstock.worker.shards import LentShards, told_of_accepted
from penstock.worker.spec import (
    AppAction,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    RouteCells,
    RouteSpec,
)

BEAT_S = 0.5
BACKLOG = 128

# The admin's own requests are counted where nobody looks: they are not the service's.
_CELLS = ListenerCells(
    connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
)
_ROUTE_CELLS = RouteCells(requests=5, duration=9)
_CELL_COUNT = 9 + WORD_COUNT

_ACTION = AppAction(target="penstock admin")


@dataclass(frozen=True, kw_only=True)
class AdminAssignment:
    """What the master gives the admin process at the fork."""

    name: str
    master_pid: int
    segment: Segment
    row_index: int
    channel: Channel
    lifeline_fd: int
    status: FleetStatus
    uid: int | None
    gid: int | None
    groups: tuple[int, ...] = ()


def run_admin(assignment: AdminAssignment) -> int:
    """Live the admin process's life, and return its exit status."""
    atexit._clear()  # What a preloaded app has registered is for the processes that host it.
    # A TERM to the whole group is the master's to answer; the numbers are of use until the end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        settle(
            title=f"penstock: admin [{assignment.name}]",
            uid=assignment.uid,
            gid=assignment.gid,
            groups=assignment.groups,
            master_pid=assignment.master_pid,
        )
    except MasterGone:
        return 0
    register_writer()
    row = assignment.segment.adopt(assignment.row_index, pid=os.getpid(), now_ns=time.monotonic_ns())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live(assignment, row))


async def _live(assignment: AdminAssignment, row: Row) -> int:
    return await AdminProcess(assignment, row).live()


class AdminProcess:
    """The admin process inside its running loop. It is what the admin app reads its facts from."""

    def __init__(self, assignment: AdminAssignment, row: Row) -> None:
        self.segment = assignment.segment
        self._status = assignment.status
        self._is_master_stood_in = False  # by the boot shim, which reads no messages
        self._row = row
        self._loop = asyncio.get_running_loop()
        self._cells = memoryview(bytearray(_CELL_COUNT * 8)).cast("Q")
        self._care = UpstreamCare(self.segment, row.cells, self._tell)
        self._app = AdminApp(self, read_believed, care=self._care)
        self._sites: list[Site] = []
        self._shards: dict[str, LentShards] = {}
        self._drain_order: asyncio.Future[Drain] = self._loop.create_future()
        self._link = MasterLink(
            assignment.channel,
            assignment.lifeline_fd,
            on_message=self._obey,
            on_master_gone=lambda: os._exit(0),
        )

    def fleet(self) -> FleetStatus:
        """Tell what the master knew when it last said so."""
        return self._status

    async def live(self) -> int:
        """Serve until told to drain."""
        lifespan = Lifespan(self._app, "off", LOG)
        # Orders are taken on the control socket alone, which only its owner can connect to.
        apps: dict[str, ASGIApp] = {"control": ControlApp(self._app, self._pass_on), "admin": self._app}
        for name, app in apps.items():
            site = Site(
                _listener_spec(name),
                apps={_ACTION: HostedApp(app, lifespan)},
                cells=self._cells,
                loop=self._loop,
            )
            self._sites.append(site)
            self._shards[name] = LentShards(site.connect, backlog=BACKLOG, tls=None)
        self._beat()
        self._end_window()
        self._link.send(Ready())
        self._care.follow(self._status)
        order = await self._drain_order
        self._care.close()
        for shards in self._shards.values():
            shards.release_all()
        await told_of_accepted()
        for site in self._sites:
            site.begin_drain(0.0)
        try:
            async with asyncio.timeout(order.timeout_s):
                for site in self._sites:
                    await site.wait_empty()
        except TimeoutError:
            pass  # Whoever still asks asks again.
        return 0

    def _obey(self, message: ToChild, fds: list[int]) -> None:
        match message:
            case Snapshot(status):
                self._status = msgspec.json.decode(status, type=FleetStatus)
                self._is_master_stood_in = False
                if not self._drain_order.done():
                    self._care.follow(self._status)
            case StandIn(reason):
                self._fail_operations(f"{STOOD_IN}: {reason}")
            case Adopt(listener, shards):
                self._shards[listener].take(shards, fds)
            case Drain():
                if not self._drain_order.done():
                    self._drain_order.set_result(message)
            case ReopenLog():
                swap_log_file(fds[0])
            case _:
                LOG.warning("ignored a message that is not for the admin process: %r", message)

    def _tell(self, resolved: Resolved) -> None:
        self._link.send(resolved)

    def _pass_on(self, ask: Ask) -> str | None:
        """Tell the master what the operator wants; or say why that is in vain."""
        if self._is_master_stood_in:
            pid = self._status.master.pid
            return f"The new code of a hot restart did not start. USR2 to {pid} tries again, TERM stops."
        try:
            self._link.send(ask)
        except ChannelFull:
            return "The master does not listen."
        return None

    def _fail_operations(self, reason: str) -> None:
        """Say what nobody else can say now: the master is a stand-in that only waits for a signal."""
        now_s = time.time()
        self._is_master_stood_in = True
        self._status = msgspec.structs.replace(
            self._status,
            failure=Failure(message=reason, at=now_s),
            operations=tuple(
                each.failed(reason, now_s) if each.is_running else each for each in self._status.operations
            ),
        )

    def _beat(self) -> None:
        self._row.beat(time.monotonic_ns())
        for site in self._sites:
            site.tick(time.monotonic())
        self._loop.call_later(BEAT_S, self._beat)

    def _end_window(self) -> None:
        self._app.end_window()
        self._loop.call_later(WINDOW_S, self._end_window)


def _listener_spec(name: str) -> ListenerSpec:
    route = RouteSpec(name=name, match=MatchSpec(), action=_ACTION, cells=_ROUTE_CELLS)
    return ListenerSpec(
        name=name,
        address=name,
        limits=LimitsSpec(body_bytes=64 * 1024),
        routes=(route,),
        unmatched=_ROUTE_CELLS,
        cells=_CELLS,
    )
