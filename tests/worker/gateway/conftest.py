"""
A real Site that passes requests on, a raw client before it and raw servers behind it.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.upstream import Gateway, Upstream
from penstock.worker.http.site import Site
from penstock.worker.spec import (
    LimitsSpec,
    ListenerSpec,
    MatchSpec,
    ProxyAction,
    RouteSpec,
)
from tests.worker.http.conftest import DEADLINE_S, LISTENER, ROUTE, UNMATCHED, Client, Response

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

    def reset(self) -> None:
        """Break the connection off."""
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

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until something is the case."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, "it did not come about"
            await asyncio.sleep(0.001)

    def pass_time(self, seconds: float) -> None:
        """Let site and gateway believe that time has passed."""
        until_s = self.site.now_s + seconds
        while self.site.now_s < until_s:
            now_s = min(self.site.now_s + 1.0, until_s)
            self.site.tick(now_s)
            self.gateway.tick(now_s)

    def is_clean(self) -> bool:
        """Tell whether nothing is lent or awaited, and whether the board is empty."""
        return all(pool.busy_count == 0 for pool in self.upstream.pools) and not self.site.exchanges()


async def connect(address: Any) -> Any:
    """Connect a socket."""
    import socket  # noqa: PLC0415

    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


Pass = Callable[..., contextlib.AbstractAsyncContextManager[Passing]]


@pytest.fixture
def passing() -> Pass:
    """Give `passing(backend, ...)`, an async context manager of a Passing."""
    return _passing


@contextlib.asynccontextmanager
async def _passing(
    *backends: Backend | str,
    limits: dict[str, Any] | None = None,
    routes: Iterable[RouteSpec] = (ROUTE_TO_BACKEND,),
    root_path: str = "",
    **spec: Any,
) -> AsyncIterator[Passing]:
    loop = asyncio.get_running_loop()
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
        name="backend", servers=tuple(ServerSpec(address=address) for address in addresses), **spec
    )
    gateway = Gateway((upstream,), loop)
    listener = ListenerSpec(
        name="test",
        address="test",
        limits=LimitsSpec(**(limits or {})),
        routes=tuple(routes),
        unmatched=UNMATCHED,
        cells=LISTENER,
    )
    cells = memoryview(bytearray(8 * (16 + 2 * WORD_COUNT))).cast("Q")
    site = Site(listener, apps={}, cells=cells, loop=loop, gateway=gateway, root_path=root_path)
    server = await loop.create_server(site.connect, "127.0.0.1", 0)
    passing = Passing(site, gateway, server.sockets[0].getsockname())
    try:
        yield passing
    finally:
        for client in passing.clients:
            client.sock.close()
        server.close()
        site.abort_all()
        await passing.until(lambda: not site.connection_count and not site.active_count)
        await passing.until(passing.is_clean)
        gateway.close()
        await passing.until(lambda: not any(pool.open_count for pool in passing.upstream.pools))
        for each in servers:
            each.close()
            await each.wait_closed()
        await server.wait_closed()
        assert not troubles
