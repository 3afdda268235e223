"""
What the connections of one listener share in one process: routes, limits,
counters, the clock and the wheel of deadlines. Everything that can be looked up
once is looked up here, when the worker starts. How routes are made is in `routes`,
and how connections leave in `leaving`.

A site knows no shared memory: its cells are any memoryview of 8-byte words.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any

from penstock.shm.counting import BoardWriter, Meter
from penstock.worker.gateway.relay import introduce
from penstock.worker.gateway.upstream import Gateway
from penstock.worker.http.connection import Connection, TlsConnection
from penstock.worker.http.connection_types import connection_types
from penstock.worker.http.dispatch import Dispatch
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.extensions import ADVERTISED
from penstock.worker.http.gate import Gate
from penstock.worker.http.head import HeadParser
from penstock.worker.http.leaving import Leaving
from penstock.worker.http.notes import NEVER_US, Observer, Opening, Refusal
from penstock.worker.http.proxies import FAMILIES, Proxies
from penstock.worker.http.responses import TEXT_HEADERS, HeadStarts, error_text
from penstock.worker.http.route import HostedApp, Route
from penstock.worker.http.routes import Routes
from penstock.worker.http.routing import Miss
from penstock.worker.http.told import endpoints_from
from penstock.worker.http.wheel import Watched
from penstock.worker.limits import BODY_RATE_GRACE_S, LOCAL_NAMES_MAX, STALL_S
from penstock.worker.logs import LOG
from penstock.worker.parking import ParkingLot
from penstock.worker.proxy_protocol.header import Endpoints
from penstock.worker.proxy_protocol.prelude import Preludes
from penstock.worker.spec import UNMATCHED, AppAction, ListenerSpec, ProxyProtocolSpec
from penstock.worker.tls.complaints import Complaints
from penstock.worker.tls.facts import tell_of_tls

ASGI_VERSION = {"version": "3.0", "spec_version": "2.5"}

Address = tuple[str, int | None]


class Site(Leaving):
    """
    Serves one listener in one process. Pass `connect` to `loop.create_server`
    or `connect_accepted_socket`, and call `tick` about twice a second.
    """

    # Slots not for their size, but because they are read a dozen times a request, and
    # an instance with more than thirty attributes keeps them in a dict.
    __slots__ = (
        "_cells",
        "_complaints",
        "_names",
        "_not_found",
        "_raw_root_path",
        "_types",
        "_where",
        "board",
        "body_bytes_max",
        "body_look_s",
        "dispatch",
        "extensions",
        "gate",
        "head_parser",
        "head_starts",
        "header_bytes_max",
        "idle_deadline_s",
        "is_tls",
        "name",
        "noted_from_us",
        "observers",
        "only_route",
        "openings",
        "plain_starts",
        "proxies",
        "received_bytes",
        "refusals",
        "root_path",
        "router",
        "routes",
        "scope",
        "sent_bytes",
        "starts",
        "unmatched",
    )

    def __init__(
        self,
        listener: ListenerSpec,
        *,
        apps: Mapping[AppAction, HostedApp],
        cells: memoryview,
        loop: asyncio.AbstractEventLoop,
        root_path: str = "",
        is_tls: bool = False,
        board: BoardWriter | None = None,
        server_header: str | None = "penstock",
        gateway: Gateway | None = None,
    ) -> None:
        """
        Prepare to serve. `apps` has an entry for every AppAction of the
        listener's routes; `cells` is this process's row, as 8-byte words, and
        counting goes on from the values that are there. `is_tls` says whether
        connections come decrypted: whoever accepts them knows. On `board` stand the
        requests that apps are at work on; None if nobody is to see them.
        """
        super().__init__(listener.limits, loop)
        self.name = listener.name
        self.header_bytes_max = listener.limits.header_bytes
        self.body_bytes_max = listener.limits.body_bytes
        # When a body is looked at first.
        self.body_look_s = listener.limits.body_timeout_s
        if listener.limits.body_rate is not None:
            self.body_look_s = min(self.body_look_s, BODY_RATE_GRACE_S)
        self.is_tls = is_tls
        self.root_path = root_path.rstrip("/")
        self._raw_root_path = self.root_path.encode()
        # What each request starts from: it gets a copy, and puts in what is its own.
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": ASGI_VERSION,
            "http_version": "1.1",
            "server": None,
            "client": None,
            "scheme": "https" if is_tls else "http",
            "method": "",
            "root_path": self.root_path,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": [],
            "extensions": {},
        }
        self.extensions = dict(ADVERTISED)
        # Who is believed about the clients behind it; None: nobody, and their headers mean nothing.
        self.proxies = None if listener.proxies is None else Proxies(listener.proxies, listener.name)
        self.head_parser = HeadParser(
            listener.limits.header_count,
            (b"", b"") if listener.proxies is None else FAMILIES[listener.proxies.family],
        )
        self._complaints = Complaints()
        self.starts = HeadStarts(
            server_header.encode() if server_header is not None and listener.server_header else None,
            has_date=listener.date_header,
            others=[(name.lower().encode(), value.encode("latin-1")) for name, value in listener.headers],
        )
        self.head_starts = self.starts.every
        self.plain_starts = self.starts.plain

        self.board = board if board is not None else BoardWriter(memoryview(b"").cast("Q"))
        self._cells = cells
        self._where = listener.cells
        self.unmatched = Meter(cells, listener.unmatched.requests, listener.unmatched.duration, UNMATCHED)
        self.gate = self._gate(listener)
        routes = Routes(self, listener, apps=apps, cells=cells, gateway=gateway)
        self.router = routes.router
        self.routes = routes.leaves
        # That of the request which begins, if there is a dispatch.
        # Of every absolute path, if there is nothing to ask.
        self.only_route = self.router.usual
        self.dispatch = Dispatch(self, self.router) if Dispatch.is_needed(self.router) else None
        self._types = connection_types(
            is_tls=is_tls, is_dispatched=self.dispatch is not None, is_relayed=routes.has_errands
        )
        text = error_text(404, "no route takes this request")
        self._not_found = Route(self.unmatched).answers(404, TEXT_HEADERS, text)

        self.idle_deadline_s = self.now_s + self.limits.keep_alive_s
        # Written to the cells by `flush`; here they cost half as much.
        self.received_bytes = 0
        self.sent_bytes = 0

        self._names: dict[Any, Address] = {}

        self.openings: tuple[Opening, ...] = ()
        self.observers: tuple[Observer, ...] = ()
        self.refusals: tuple[Refusal, ...] = ()
        # Responses that took less are not shown to observers, unless they failed (5xx) or have notes.
        self.noted_from_us = NEVER_US
        if self.dispatch is not None:
            self.openings = (self.dispatch.open,)
        if is_tls:
            self.watch_requests(opening=tell_of_tls)

    # For the worker.

    @property
    def is_gateway(self) -> bool:
        """Tell whether there are requests that it passes on."""
        return any(route.upstream is not None for route in self.routes)

    def watch_requests(
        self,
        *,
        opening: Opening | None = None,
        observer: Observer | None = None,
        from_us: int = 0,
        refusal: Refusal | None = None,
    ) -> None:
        """
        Have requests looked at: all, or only those that took as long as `from_us`.

        An observer is shown in any case those that failed, and those of which there are notes.
        """
        if refusal is not None:
            self.refusals = (*self.refusals, refusal)
        if opening is not None and self.dispatch is not None:
            # Others see a request as it came.
            self.openings = (*self.openings[:-1], opening, self.openings[-1])
        elif opening is not None:
            self.openings = (*self.openings, opening)
        if observer is not None:
            self.observers = (*self.observers, observer)
            self.noted_from_us = min(self.noted_from_us, from_us)

    def connect(self) -> Connection:
        """Make the protocol for a new connection."""
        connection = self._types.plain(self)
        if isinstance(connection, TlsConnection):
            self._handshakes.add(connection)
        return connection

    def park_in(self, lot: ParkingLot) -> None:
        """Put connections away while they are idle. Not for TLS, whose state cannot be put away."""
        assert not self.is_tls
        self.lane = lot.lane(self._reconnect, self._judge_emptiness)

    def _reconnect(self, told: bytes = b"") -> Connection:
        if not told:
            return self._types.plain(self, is_resumed=True)
        endpoints = endpoints_from(told)
        assert endpoints is not None, "whoever parks it has written this, or judged it"
        return self._types.told(self, endpoints, is_resumed=True)

    def expect_headers(
        self, spec: ProxyProtocolSpec, tls: ssl.SSLContext | None, handshake_timeout_s: float
    ) -> Preludes:
        """Make room for connections that begin with a PROXY header, until it is read."""
        self.preludes = Preludes(
            spec,
            self,
            self._cells,
            on_fewer=self._judge_emptiness,
            tls=tls,
            handshake_timeout_s=handshake_timeout_s,
        )
        return self.preludes

    def connect_told(self, endpoints: Endpoints) -> Connection:
        """Make the protocol for a new connection between these."""
        connection = self._types.told(self, endpoints)
        if isinstance(connection, TlsConnection):
            self._handshakes.add(connection)
        return connection

    @property
    def active_count(self) -> int:
        """Count the requests being answered, and the apps that run on after their answer."""
        return len(self._detached) + sum(connection.is_active for connection in self._connections)

    def in_flight(self) -> list[str]:
        """Describe every request that an app is at work on: request line and age."""
        return [exchange.describe() for exchange in self.exchanges()]

    def exchanges(self) -> list[Exchange]:
        """List every request that an app is at work on."""
        exchanges = [connection.exchange for connection in self._connections]
        return [exchange for exchange in (*exchanges, *self._detached) if exchange is not None]

    def tick(self, now_s: float) -> None:
        """Follow the clock (`time.monotonic()`): deadlines, the Date header, the numbers."""
        late = now_s - self.now_s > STALL_S
        self.now_s = now_s
        self.idle_deadline_s = now_s + self.limits.keep_alive_s
        self.starts.refresh()
        self.head_parser.blocks.look_again()
        if not late:
            # Else the loop was blocked, and clients that seem idle have perhaps
            # written long ago: the next tick comes after their bytes were read.
            self._wheel.advance(now_s)
            if self.lane is not None and not self.is_draining:
                self._park_idle(now_s)
        if self.preludes is not None:
            self.preludes.tick(now_s)
        if self.is_draining:
            self._judge_handshakes()
        for exchange in self.exchanges():
            exchange.post_progress(self.board)
        self.flush()

    def flush(self) -> None:
        """Write to the cells what is gathered here. Call it last before the process ends."""
        cells = self._cells
        where = self._where
        cells[where.received_bytes] += self.received_bytes
        cells[where.sent_bytes] += self.sent_bytes
        self.received_bytes = self.sent_bytes = 0
        active = sum(connection.is_active for connection in self._connections)
        cells[where.connections_active] = active
        cells[where.connections_idle] = self.connection_count - active

    # For connections and exchanges.

    def opened(self, connection: Connection, *, is_resumed: bool) -> None:
        """Take in a connection: its first request has as long as any head. A resumed one was counted."""
        self._connections.add(connection)
        if isinstance(connection, TlsConnection):
            self._handshakes.discard(connection)
        if not is_resumed:
            self._cells[self._where.connections_total] += 1
        after_s = self.limits.header_timeout_s
        if self.is_draining and self.first_grace_s is not None:
            after_s = self.first_grace_s
        self._wheel.watch(connection, self.now_s + after_s)

    def note(self, exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        """Show a response to those who observe. It is about to be written, and nothing here may stop it."""
        for observer in self.observers:
            try:
                observer(exchange, elapsed_us, sent_bytes)
            except Exception:
                LOG.exception("cannot take note of %s", exchange.describe())

    def note_refusal(self, client: tuple[str, int] | None, head: bytes, status: int, sent_bytes: int) -> None:
        """Show what was refused before it was an exchange."""
        for refusal in self.refusals:
            try:
                refusal(client, head, status, sent_bytes)
            except Exception:
                LOG.exception("cannot take note of a refused request")

    def complain(self, of: str) -> None:
        """Log what clients do wrong: once, though they may do it again and again."""
        told = self._complaints.judge(of, time.monotonic())
        if told is not None:
            LOG.info("%s: %s", self.name, told)

    def watch(self, connection: Watched, after_s: float) -> None:
        """Have the connection's `expire` called after a time, unless it is put off."""
        self._wheel.watch(connection, self.now_s + after_s)

    def missed(self, miss: Miss) -> Route:
        """Return the answer to a request that no route takes."""
        if not miss.allow:
            return self._not_found
        allow = ", ".join(sorted(miss.allow)).encode()
        text = error_text(405, "this path takes " + allow.decode())
        return Route(self.unmatched).answers(405, (*TEXT_HEADERS, (b"allow", allow)), text)

    def names_of(self, transport: asyncio.Transport) -> tuple[tuple[str, int] | None, Address]:
        """
        Return the client's and the server's address as a scope has them.

        A client on a UNIX socket has no name, and gets None.
        """
        peer = transport.get_extra_info("peername")
        client = (peer[0], peer[1]) if isinstance(peer, tuple) else None
        local = transport.get_extra_info("sockname")
        server = self._names.get(local)
        if server is None:
            server = (local[0], local[1]) if isinstance(local, tuple) else (str(local or ""), None)
            if len(self._names) < LOCAL_NAMES_MAX:
                self._names[local] = server
        return client, server

    def under_root_path(self, path: str, raw_path: bytes) -> tuple[str, bytes]:
        """
        Return the paths with the root path in front, as ASGI has it: added when
        a proxy took it off, and not twice when it did not.
        """
        root = self.root_path
        if path == root or path.startswith(root + "/") or path == "*":
            return path, raw_path
        return root + path, self._raw_root_path + raw_path

    def _gate(self, listener: ListenerSpec) -> Gate | None:
        limits = listener.limits
        if limits.concurrency is None:
            return None
        return Gate(
            listener.name,
            limits.concurrency,
            limits.queue_timeout_s,
            self.loop,
            cells=self._cells,
            where=listener.gate,
        )


introduce(Site)
