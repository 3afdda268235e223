"""
A real Site on a real uvloop, and a client that writes bytes as they come.

Tests in this folder may be `async def`: each runs on a loop of its own. Server
and client share it, so a test can wait for the server by letting the loop turn.
"""

import asyncio
import contextlib
import gc
import inspect
import logging
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.parking import ParkingLot
from penstock.worker.proxy_protocol.shards import HeraldedShards
from penstock.worker.spec import (
    Action,
    AppAction,
    CompressionSpec,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    ProxiesSpec,
    ProxyProtocolSpec,
    RouteCells,
    RouteSpec,
    WebSocketSpec,
)

DEADLINE_S = 30.0
ACTION = AppAction(target="test:app")
ROUTE = RouteCells(requests=8, duration=16)
UNMATCHED = RouteCells(requests=12, duration=16 + WORD_COUNT)
PROXY_REJECTED = 16 + 2 * WORD_COUNT
CELL_COUNT = PROXY_REJECTED + 4
LISTENER = ListenerCells(
    connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests on uvloop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    uvloop.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@dataclass
class Response:
    """One response as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """A socket of a client, on the test's loop."""

    sock: socket.socket
    received: bytes = b""
    is_eof: bool = False

    async def send(self, data: bytes, *, piece: int | None = None) -> None:
        """Write bytes; with `piece` in pieces of that size, each read before the next."""
        loop = asyncio.get_running_loop()
        if piece is None:
            await loop.sock_sendall(self.sock, data)
            return
        for at in range(0, len(data), piece):
            try:
                await loop.sock_sendall(self.sock, data[at : at + piece])
            except ConnectionError:
                return  # The server has had enough.
            # A turn to notice the bytes, a turn to read them.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _more(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            try:
                data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
            except ConnectionResetError:
                data = b""
                self.received += b"<reset>"
        self.received += data
        self.is_eof = not data

    async def until(self, end: bytes) -> bytes:
        """Read until these bytes have come, and take all up to and with them."""
        while end not in self.received:
            assert not self.is_eof, f"the connection ended after {self.received!r}"
            await self._more()
        size = self.received.index(end) + len(end)
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    async def rest(self) -> bytes:
        """Read until the server closes."""
        while not self.is_eof:
            await self._more()
        taken, self.received = self.received, b""
        return taken

    async def response(self, *, to_head: bool = False) -> Response:
        """Read one response."""
        head = (await self.until(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")[:-2]
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name not in headers
            headers[name] = value
        return Response(int(status), headers, await self._body(int(status), headers, to_head=to_head))

    async def _body(self, status: int, headers: dict[str, str], *, to_head: bool) -> bytes:
        if to_head or status in (204, 304) or status < 200:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.until(b"\r\n"))[:-2], 16):
                while len(self.received) < size + 2:
                    await self._more()
                    assert not self.is_eof
                body += self.received[:size]
                assert self.received[size : size + 2] == b"\r\n"
                self.received = self.received[size + 2 :]
            assert await self.until(b"\r\n") == b"\r\n"
            return body
        if "content-length" in headers:
            size = int(headers["content-length"])
            while len(self.received) < size:
                assert not self.is_eof, "the response is shorter than its Content-Length"
                await self._more()
            body, self.received = self.received[:size], self.received[size:]
            return body
        return await self.rest()

    async def responses(self) -> list[Response]:
        """Read responses until the server closes."""
        found: list[Response] = []
        while True:
            while not self.received and not self.is_eof:
                await self._more()
            if self.is_eof and not self.received:
                return found
            found.append(await self.response())

    def finish(self) -> None:
        """Say that nothing more is sent."""
        self.sock.shutdown(socket.SHUT_WR)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is the case."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        await asyncio.sleep(0.001)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Read all, then answer."""
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more_body = message["more_body"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})


@dataclass
class Serving:
    """A site, and how to reach it."""

    site: Site
    cells: memoryview
    lifespan: Lifespan
    address: Any
    tls: ssl.SSLContext | None = None
    lot: ParkingLot | None = None
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        """Connect."""
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family)
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        client = Client(sock)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, *, piece: int | None = None) -> list[Response]:
        """Send bytes, then FIN, and return every response until the server closes."""
        client = await self.client()
        await client.send(data, piece=piece)
        with contextlib.suppress(OSError):
            client.finish()
        return await client.responses()

    until = staticmethod(until)

    def pass_time(self, seconds: float) -> None:
        """Let the site believe that time has passed, in steps as a worker makes them."""
        until_s = self.site.now_s + seconds
        while self.site.now_s < until_s:
            self.site.tick(min(self.site.now_s + 1.0, until_s))
            if self.lot is not None:
                self.lot.tick(self.site.now_s)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


class Heralded:
    """A listener of connections that begin with a PROXY header."""

    def __init__(
        self, site: Site, spec: ProxyProtocolSpec, path: str | None, tls: ssl.SSLContext | None
    ) -> None:
        preludes = site.expect_headers(spec, tls, site.limits.header_timeout_s)
        self._shards = HeraldedShards(preludes.take, backlog=64)
        self._sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._sock.bind(("127.0.0.1", 0) if path is None else path)
        self.address = self._sock.getsockname()

    async def listen(self) -> None:
        """Accept from now on."""
        self._shards.expect([0])
        await self._shards.adopt({0: self._sock.detach()})

    def close(self) -> None:
        """Accept nobody any more."""
        self._shards.release_all()

    async def wait_closed(self) -> None:
        """Like a server of the loop."""


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Serving]]


@pytest.fixture
def serve() -> Serve:
    """Give `serve(app, ...)`, an async context manager of a Serving."""
    return _serve


@contextlib.asynccontextmanager
async def _serve(
    app: Any = None,
    *,
    routes: Iterable[tuple[MatchSpec, Action] | RouteSpec] = ((MatchSpec(), ACTION),),
    lifespan: str = "off",
    path: str | None = None,
    tls: ssl.SSLContext | None = None,
    root_path: str = "",
    parks: bool = False,
    compression: CompressionSpec | None = None,
    proxies: ProxiesSpec | None = None,
    proxy_protocol: ProxyProtocolSpec | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    websocket: WebSocketSpec | None = None,
    **limits: Any,
) -> AsyncIterator[Serving]:
    loop = asyncio.get_running_loop()
    # An exception in a callback of ours would otherwise only be logged.
    troubles: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: troubles.append(context))
    cells = memoryview(bytearray(8 * CELL_COUNT)).cast("Q")
    life = Lifespan(app, lifespan, logging.getLogger("penstock"))  # type: ignore[arg-type]
    await life.startup()
    spec = ListenerSpec(
        name="test",
        address="test",
        limits=LimitsSpec(**limits),
        proxies=proxies,
        headers=headers,
        websocket=websocket,
        routes=tuple(
            each
            if isinstance(each, RouteSpec)
            else RouteSpec(name="route", match=each[0], action=each[1], cells=ROUTE, compression=compression)
            for each in routes
        ),
        unmatched=UNMATCHED,
        cells=LISTENER,
    )
    site = Site(
        spec,
        apps={ACTION: app if isinstance(app, HostedApp) else HostedApp(app, life)},
        cells=cells,
        loop=loop,
        root_path=root_path,
        is_tls=tls is not None,
    )
    server: Any
    if proxy_protocol is not None:
        server = Heralded(site, proxy_protocol, path, tls)
        await server.listen()
        address = server.address
    elif path is None:
        server = await loop.create_server(site.connect, "127.0.0.1", 0, ssl=tls)
        address = server.sockets[0].getsockname()
    else:
        server = await loop.create_unix_server(site.connect, path)
        address = path
    lot = ParkingLot(loop) if parks else None
    if lot is not None:
        site.park_in(lot)
    serving = Serving(site, cells, life, address, tls, lot)
    try:
        yield serving
    finally:
        for client in serving.clients:
            client.sock.close()
        server.close()
        site.abort_all()
        await serving.until(lambda: not site.connection_count and not site.active_count)
        if lot is not None:
            lot.close()
        await server.wait_closed()
        await life.shutdown()
        gc.collect(1)  # A task whose exception nobody saw complains when it is collected.
        assert not troubles
