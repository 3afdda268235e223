"""
What a worker hosts: the apps of its spec, their lifespans, and a site for each listener.

Apps are imported here, after the fork, so that a roll runs new code; unless the
master has done it before (preload). One app that serves several routes is
imported once and has one lifespan.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.shm.counting import BoardWriter
from penstock.shm.segment import Segment
from penstock.worker.access.log import AccessLog
from penstock.worker.apps import App, AppImportError, load_app
from penstock.worker.asgi.lifespan import Lifespan, no_lifespan
from penstock.worker.gateway.own_headers import let_own_headers
from penstock.worker.gateway.upstream import Gateway
from penstock.worker.gateway.verdicts import Verdicts
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.request_ids import RequestIds
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.http.told import endpoints_from
from penstock.worker.identity import identity
from penstock.worker.incidents import Incidents
from penstock.worker.limits import TRACE_FLUSH_LATE_S, WSGI_END_S
from penstock.worker.logs import LOG
from penstock.worker.messages import Members
from penstock.worker.parking import Parked, ParkingLot
from penstock.worker.proxy_protocol.shards import HeraldedShards
from penstock.worker.shards import LentShards, told_of_accepted
from penstock.worker.spec import AppAction, ListenerSpec, WorkerSpec
from penstock.worker.wsgi.application import WsgiApp
from penstock.worker.wsgi.bridge import Bridge
from penstock.worker.wsgi.threads import Threads, share_fairly

if TYPE_CHECKING:
    from penstock.worker.tracing.tracing import Tracing

# What an app may take to say goodbye. The master waits a little longer before it kills.
LIFESPAN_SHUTDOWN_S = 8.0


class Hosting:
    """Sites and apps of one worker."""

    def __init__(
        self,
        spec: WorkerSpec,
        cells: memoryview,
        tls_contexts: Mapping[str, ssl.SSLContext],
        imported: Mapping[AppAction, App] | None = None,
        *,
        board: BoardWriter | None = None,
        incidents: Incidents | None = None,
        access: AccessLog | None = None,
        segment: Segment | None = None,
        verdicts: Verdicts | None = None,
    ) -> None:
        self._spec = spec
        self._access = access
        self._request_ids = None if spec.request_id is None else RequestIds(spec.request_id)
        self._cells = cells
        self._board = board
        self._incidents = incidents
        self._tls_contexts = tls_contexts
        self._imported = imported or {}
        self._on_leaving: Callable[[], None] | None = None
        self._apps: dict[AppAction, HostedApp] = {}
        self._sites: dict[str, Site] = {}
        self._tracing: Tracing | None = None
        self._lot = ParkingLot(asyncio.get_running_loop())
        self._threads: Threads | None = None  # once there is a WSGI app
        self._gateway = Gateway(spec.upstreams, asyncio.get_running_loop(), cells, segment)
        self._verdicts = verdicts
        self.shards: dict[str, LentShards] = {}  # by the listener's address
        self.givable: dict[str, Site] = {}  # by the listener's address: those whose idle connections can move

    async def start(self) -> None:
        """Import the apps, run their startup, build the sites. Raises AppImportError, LifespanFailed."""
        for listener in self._spec.listeners:
            for route in listener.leaves:
                if isinstance(route.action, AppAction) and route.action not in self._apps:
                    self._apps[route.action] = await self._host(route.action)
        for listener in self._spec.listeners:
            self._open_site(listener)
        self._start_tracing()

    def _start_tracing(self) -> None:
        """Trace requests, if configured. After the apps' startup, since it matters what they have set up."""
        spec = self._spec.tracing
        if spec is None:
            return
        try:
            from penstock.worker.tracing.tracing import Tracing  # noqa: PLC0415
        except ImportError as error:
            raise AppImportError(f"tracing: {error}") from error
        self._tracing = Tracing(spec, self._cells, self._sites.values(), identity())

    async def _host(self, action: AppAction) -> HostedApp:
        app = self._imported.get(action)
        if app is None:
            app = load_app(
                action.target,
                factory=action.factory,
                interface=action.interface,
                app_dir=self._spec.app_dir,
            )
        if isinstance(app, WsgiApp):
            if self._threads is None:
                self._threads = Threads(self._spec.threads, asyncio.get_running_loop())
                share_fairly()
            return HostedApp(None, no_lifespan(LOG), Bridge(app, self._threads))
        lifespan = Lifespan(app, self._spec.lifespan, LOG)
        await lifespan.startup()
        if self._spec.reset_contextvars:
            lifespan.reset_context()
        return HostedApp(app, lifespan)

    def _open_site(self, listener: ListenerSpec) -> None:
        tls = self._tls_contexts.get(listener.name)
        site = Site(
            listener,
            apps=self._apps,
            cells=self._cells,
            loop=asyncio.get_running_loop(),
            root_path=self._spec.root_path,
            is_tls=tls is not None,
            board=self._board,
            gateway=self._gateway,
        )
        if self._incidents is not None:
            site.watch_requests(observer=self._incidents.note, from_us=self._incidents.from_us)
        self._sites[listener.name] = site
        if self._request_ids is not None:
            site.watch_requests(opening=self._request_ids.open)
            let_own_headers(site.routes, self._request_ids.header)
        if self._access is not None:
            self._access.watch(site)
        if tls is None:
            site.park_in(self._lot)
            self.givable[listener.address] = site
        if listener.proxy_protocol is not None:
            preludes = site.expect_headers(listener.proxy_protocol, tls, listener.limits.header_timeout_s)
            self.shards[listener.address] = HeraldedShards(preludes.take, backlog=listener.backlog)
            return
        self.shards[listener.address] = LentShards(
            site.connect,
            backlog=listener.backlog,
            tls=tls,
            handshake_timeout_s=listener.limits.header_timeout_s,
        )

    @property
    def connection_count(self) -> int:
        """Count the open connections of all listeners."""
        return sum(site.connection_count for site in self._sites.values())

    def exchanges(self) -> list[Exchange]:
        """List every request that an app is at work on."""
        return [exchange for site in self._sites.values() for exchange in site.exchanges()]

    def tick(self, now_s: float) -> None:
        """Let time pass: deadlines, the Date header, gauges."""
        for site in self._sites.values():
            site.tick(now_s)
        if self._verdicts is not None:
            self._verdicts.apply(self._gateway, now_s)
        self._gateway.tick(now_s)
        self._lot.tick(now_s)
        if self._tracing is not None:
            self._tracing.tick(now_s)
        if self._access is not None:
            self._access.tick()
        if self._threads is not None:
            self._threads.tick(now_s)

    def set_members(self, members: Members) -> None:
        """Have an upstream have the servers that it has now."""
        self._gateway.set_servers(members.upstream, members.servers)
        if self._verdicts is not None:
            self._verdicts.apply(self._gateway, time.monotonic())

    def take_over(
        self, address: str, left_ms: Sequence[int], fds: Sequence[int], told: Sequence[bytes] = ()
    ) -> None:
        """
        Park connections that another worker had. Takes the descriptors over; strangers are closed.

        `told` has the PROXY header of each, b"" for none; or it is empty.
        """
        site = self.givable.get(address)
        if site is None or site.lane is None:
            LOG.warning("closed %d connections of %s, which is not served here", len(fds), address)
            for fd in fds:
                os.close(fd)
            return
        now_s = time.monotonic()
        parked = []
        for fd, ms, header in zip(fds, left_ms, told or (b"",) * len(fds), strict=False):
            if header and endpoints_from(header) is None:
                LOG.error("closed a connection of %s: what was told of it makes no sense", address)
                os.close(fd)
            else:
                parked.append(Parked(fd, now_s + ms / 1000, header))
        site.lane.take_over(parked)

    async def stop_accepting(self) -> None:
        """Accept nothing new. Whoever was accepted is known to its site when this returns."""
        for lent in self.shards.values():
            lent.release_all()
        await told_of_accepted()

    def begin_giving(self, on_leaving: Callable[[], None]) -> None:
        """Have idle connections put where they can be given away from, instead of being closed by `drain`."""
        self._lot.sleep()
        self._on_leaving = on_leaving

    def stop_giving(self, idle_grace_s: float) -> None:
        """Let those that nobody takes come to their end here."""
        for site in self.givable.values():
            site.stop_giving(idle_grace_s)
        self._lot.wake_up()

    async def drain(
        self,
        timeout_s: float,
        idle_grace_s: float,
        first_grace_s: float | None = None,
        *,
        spread_s: float = 0.0,
    ) -> int:
        """Finish what is in flight, cut off what is left at the deadline, and count the latter."""
        until_s = time.monotonic() + timeout_s
        for site in self._sites.values():
            on_leaving = None if site.is_tls else self._on_leaving
            site.begin_drain(
                idle_grace_s,
                first_grace_s,
                spread_s=spread_s if site.is_tls else 0.0,
                on_leaving=on_leaving,
            )
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                for site in self._sites.values():
                    await site.wait_empty()
        except TimeoutError:
            left = self.connection_count
            for site in self._sites.values():
                site.abort_all()
            return left
        return 0

    def cut(self) -> None:
        """Cut off all that is in flight."""
        for site in self._sites.values():
            site.abort_all()

    async def stop(self, flush_s: float) -> None:
        """Run the shutdown of every app, and send the spans that are left, which may take so long."""
        for app in self._apps.values():
            try:
                await asyncio.wait_for(app.lifespan.shutdown(), LIFESPAN_SHUTDOWN_S)
            except TimeoutError:
                LOG.error("the app's lifespan shutdown took longer than %g s", LIFESPAN_SHUTDOWN_S)
        self._gateway.close()
        if self._threads is not None:
            await self._threads.stop(WSGI_END_S)
        if self._tracing is not None:
            await self._tracing.stop(max(flush_s, TRACE_FLUSH_LATE_S))
