"""
A real Site that passes requests on, a raw client before it and raw servers behind it.
"""

import asyncio
import contextlib
import inspect
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from penstock.shm.board import read_board
from penstock.shm.counting import BoardWriter
from penstock.shm.histogram import WORD_COUNT
from penstock.shm.names import CODE_CLASSES, UPSTREAM_FAILURE_REASONS
from penstock.shm.schema import BOARD_ENTRY_COUNT, BOARD_ENTRY_WORDS
from penstock.worker.gateway import upstream as upstreams
from penstock.worker.gateway.spec import ServerCells, ServerSpec, UpstreamSpec
from penstock.worker.gateway.upstream import Gateway, Upstream
from penstock.worker.http.site import Site
from penstock.worker.spec import (
    LimitsSpec,
    ListenerSpec,
    MatchSpec,
    ProxiesSpec,
    ProxyAction,
    RouteSpec,
)
from tests.worker.http.conftest import (  # noqa: F401  # a fixture
    DEADLINE_S,
    LISTENER,
    ROUTE,
    UNMATCHED,
    Client,
    Response,
    certificate,
    until,
)

# Beside a histogram or two, each part of the row has so many words.
FEW = 16
SITE_WORDS = SERVER_WORDS = FEW + 2 * WORD_COUNT
SERVERS_MAX = 4

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all

TO_BACKEND = ProxyAction(upstream="backend")
ROUTE_TO_BACKEND = RouteSpec(name="route", match=MatchSpec(), action=TO_BACKEND, cells=ROUTE)

Script = Callable[["Visit"], Awaitable[None]]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests on uvloop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    uvloop.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the turns of `round_robin` begin with the first server."""
    monkeypatch.setattr(upstreams, "random", SimpleNamespace(random=lambda: 0.0))


@dataclass
class Visit:
    """One connection that came to a server, as a script sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    requests: list[bytes] = field(default_factory=list)

    async def head(self) -> bytes:
        """Read the head of a request."""
        self.requests.append(await self.reader.readuntil(b"\r\n\r\n"))
        return self.requests[-1]

    async def say(self, data: bytes) -> None:
        """Write bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def reset(self) -> None:
        """Break the connection off, when all that was said is out."""
        while self.writer.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


@dataclass
class Backend:
    """A server whose every word is written in a script."""

    script: Script
    visits: list[Visit] = field(default_factory=list)
    port: int = 0

    async def visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Act the script to one connection."""
        visit = Visit(reader, writer, len(self.visits))
        self.visits.append(visit)
        try:
            await self.script(visit)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The gateway has closed it.
        except RuntimeError:
            assert writer.transport.is_closing()  # uvloop's word for the same
        finally:
            writer.close()

    @property
    def requests(self) -> list[bytes]:
        """All heads that came, on any connection."""
        return [request for visit in self.visits for request in visit.requests]


@dataclass
class Passing:
    """A gateway at work."""

    site: Site
    gateway: Gateway
    address: Any
    cells: memoryview
    board: memoryview
    clients: list[Client] = field(default_factory=list)

    @property
    def upstream(self) -> Upstream:
        """Its only upstream."""
        return self.gateway.upstreams["backend"]

    async def client(self) -> Client:
        """Connect."""
        client = Client(await connect(self.address))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Response:
        """Send a request on a new connection, and return the response."""
        client = await self.client()
        await client.send(data)
        return await client.response()

    until = staticmethod(until)

    def pass_time(self, seconds: float) -> None:
        """Let site and gateway believe that time has passed."""
        until_s = self.site.now_s + seconds
        while self.site.now_s < until_s:
            now_s = min(self.site.now_s + 1.0, until_s)
            self.site.tick(now_s)
            self.gateway.tick(now_s)

    def numbers(self, index: int = 0) -> dict[str, int]:
        """Tell what is counted of a server, without what is 0; `answers` and `connects` by histograms."""
        self.pass_time(0.1)
        cells, where = self.cells, server_cells(index)
        found = {
            "active": cells[where.connections],
            "idle": cells[where.connections + 1],
            "queued": cells[where.queued],
            "left_out": cells[where.left_out],
            "retries": cells[where.retries],
            "ejections": cells[where.ejections],
            "answers": sum(cells[where.duration + 1 : where.duration + WORD_COUNT]),
            "connects": sum(cells[where.connect_duration + 1 : where.connect_duration + WORD_COUNT]),
        }
        found |= {name: cells[where.requests + at] for at, name in enumerate(CODE_CLASSES)}
        found |= {name: cells[where.failures + at] for at, name in enumerate(UPSTREAM_FAILURE_REASONS)}
        return {name: number for name, number in found.items() if number}

    def is_clean(self) -> bool:
        """Tell whether nothing is lent or awaited, and whether the board is empty."""
        return (
            all(pool.busy_count == 0 for pool in self.upstream.pools)
            and not self.site.exchanges()
            and not self.site.active_count
            and not list(read_board(self.board))
        )

    def watched_count(self) -> int:
        """Count what lies in the wheels, of clients and of links."""
        wheels = (self.site._wheel, self.upstream.wheel)
        return sum(len(bucket) for wheel in wheels for bucket in wheel._buckets)


def server_cells(index: int) -> ServerCells:
    """Say where the numbers of a server are."""
    first = SITE_WORDS + index * SERVER_WORDS
    return ServerCells(
        requests=first,
        connections=first + 4,
        queued=first + 6,
        left_out=first + 7,
        failures=first + 8,
        retries=first + 14,
        ejections=first + 15,
        duration=first + FEW,
        connect_duration=first + FEW + WORD_COUNT,
    )


def open_fds() -> int:
    """Count the sockets and pipes of this process."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(each.readlink()).startswith(("socket:", "pipe:"))
    return count


async def connect(address: Any) -> socket.socket:
    """Connect a socket."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


@dataclass(frozen=True)
class Outcome:
    """What a client has of a response: its status, its body, and whether it can tell that it is whole."""

    status: int
    body: bytes
    is_whole: bool


async def outcome(client: Client) -> Outcome:
    """Read a response that may be cut off anywhere, after any interim ones."""
    while True:
        while b"\r\n\r\n" not in client.received:
            if client.is_eof:
                return Outcome(0, client.received, is_whole=False)
            await client._more()
        head = await client.until(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status >= 200:
            break
    fields = head.lower()
    if status in {204, 304}:
        return Outcome(status, b"", is_whole=True)
    if b"\r\ntransfer-encoding: chunked\r\n" in fields:
        return await _chunks(client, status)
    sizes = re.findall(rb"\r\ncontent-length: (\d+)\r\n", fields)
    assert len(sizes) < 2
    size = int(sizes[0]) if sizes else None
    gathered = bytearray(client.received)
    while not client.is_eof and (size is None or len(gathered) < size):
        client.received = b""
        await client._more()
        gathered += client.received
    body, client.received = bytes(gathered[:size]), bytes(gathered[len(gathered) if size is None else size :])
    is_broken = body.endswith(b"<reset>")
    return Outcome(status, body, is_whole=not is_broken and (size is None or len(body) == size))


async def _chunks(client: Client, status: int) -> Outcome:
    body = b""
    while True:
        while b"\r\n" not in client.received and not client.is_eof:
            await client._more()
        if b"\r\n" not in client.received:
            return Outcome(status, body, is_whole=False)
        size = int((await client.until(b"\r\n"))[:-2], 16)
        while len(client.received) < size + 2 and not client.is_eof:
            await client._more()
        piece, client.received = client.received[:size], client.received[size:]
        body += piece
        if client.received[:2] != b"\r\n":
            return Outcome(status, body, is_whole=False)
        client.received = client.received[2:]
        if not size:
            return Outcome(status, body, is_whole=True)


Pass = Callable[..., contextlib.AbstractAsyncContextManager[Passing]]


@pytest.fixture
def passing() -> Pass:
    """Give `passing(backend, ...)`, an async context manager of a Passing."""
    return _passing


@contextlib.asynccontextmanager
async def _passing(
    *backends: Backend | str,
    limits: dict[str, Any] | None = None,
    proxies: ProxiesSpec | None = None,
    tls: ssl.SSLContext | None = None,
    routes: Iterable[RouteSpec] = (ROUTE_TO_BACKEND,),
    root_path: str = "",
    **spec: Any,
) -> AsyncIterator[Passing]:
    loop = asyncio.get_running_loop()
    fds, tasks = open_fds(), len(asyncio.all_tasks())
    troubles: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: troubles.append(context))
    servers = []
    addresses = []
    for backend in backends:
        if isinstance(backend, str):
            addresses.append(backend)
            continue
        servers.append(await asyncio.start_server(backend.visited, "127.0.0.1", 0))
        backend.port = servers[-1].sockets[0].getsockname()[1]
        addresses.append(f"127.0.0.1:{backend.port}")
    upstream = UpstreamSpec(
        name="backend",
        servers=tuple(
            ServerSpec(address=address, cells=server_cells(index)) for index, address in enumerate(addresses)
        ),
        **spec,
    )
    cells = memoryview(bytearray(8 * (SITE_WORDS + SERVERS_MAX * SERVER_WORDS))).cast("Q")
    gateway = Gateway((upstream,), loop, cells)
    listener = ListenerSpec(
        name="test",
        address="test",
        limits=LimitsSpec(**(limits or {})),
        proxies=proxies,
        routes=tuple(routes),
        unmatched=UNMATCHED,
        cells=LISTENER,
    )
    board = memoryview(bytearray(8 * BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS)).cast("Q")
    site = Site(
        listener,
        apps={},
        cells=cells,
        loop=loop,
        gateway=gateway,
        board=BoardWriter(board),
        root_path=root_path,
        is_tls=tls is not None,
    )
    server = await loop.create_server(site.connect, "127.0.0.1", 0, ssl=tls)
    passing = Passing(site, gateway, server.sockets[0].getsockname(), cells, board)
    try:
        yield passing
    finally:
        for client in passing.clients:
            client.sock.close()
        server.close()
        site.abort_all()
        await passing.until(lambda: not site.connection_count and not site.active_count)
        await passing.until(passing.is_clean)
        left = [passing.numbers(index) for index in range(len(addresses))]
        assert not any(each.keys() & {"active", "queued"} for each in left), left
        gateway.close()
        await passing.until(lambda: not any(pool.open_count for pool in passing.upstream.pools))
        for each in servers:
            each.close()
            await each.wait_closed()
        await server.wait_closed()
        # Nothing is left of it all: no deadline, no task, no descriptor.
        await passing.until(lambda: not passing.watched_count())
        await passing.until(lambda: len(asyncio.all_tasks()) <= tasks)
        await passing.until(lambda: open_fds() <= fds)
        assert not troubles
