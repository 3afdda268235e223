"""
The least that a Python server of our parts can cost, and our own `Site` beside it.

    python loadtest/floor.py bare 18100    uvloop, httptools, a canned reply
    python loadtest/floor.py task 18100    the same, with an ASGI scope, receive, send and a task per request
    python loadtest/floor.py site 18100    our HTTP path in one process, with metrics, limits and timeouts

A third argument names the app, apps.hello:app by default. `bare-closing` and
`task-closing` close the connection when the client asks for it; `task-chunked`
frames what an app streams.

The floors are no servers: they know no error, no limit, no timeout and no
pipelining. What a real one adds to them is its price.
"""

import asyncio
import contextvars
import importlib
import logging
import sys
import time
from typing import Any

import httptools
import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.spec import (
    AppAction,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    RouteCells,
    RouteSpec,
)

CANNED = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!"
)
CANNED_LAST = CANNED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
TICK_S = 0.5

# A task of Python 3.12 can begin at once, without a turn of the loop.
EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Bare(asyncio.Protocol):
    """Parse, and write the same bytes for every request."""

    __slots__ = ("feed", "transport")

    def __init__(self) -> None:
        self.feed = httptools.HttpRequestParser(self).feed_data

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def on_message_complete(self) -> None:
        self.transport.write(CANNED)


class BareClosing(Bare):
    """The same, and close after a request that says so."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.feed = self.parser.feed_data

    def on_message_complete(self) -> None:
        if self.parser.should_keep_alive():
            self.transport.write(CANNED)
        else:
            self.transport.write(CANNED_LAST)
            self.transport.close()


class Tasked(asyncio.Protocol):
    """Parse into a scope, call the app in a task, join what it sends and write it."""

    __slots__ = ("body", "client", "feed", "head", "headers", "parser", "server", "transport", "url")

    app: Any
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.feed = self.parser.feed_data
        self.headers: list[tuple[bytes, bytes]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.client = transport.get_extra_info("peername")
        self.server = transport.get_extra_info("sockname")

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def on_url(self, url: bytes) -> None:
        self.url = url
        self.headers = []
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        url = self.url
        raw_path, _, query = url.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": "http",
            "method": self.parser.get_method().decode(),
            "root_path": "",
            "path": raw_path.decode(),
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }
        asyncio.Task(
            self.app(scope, self.receive, self.send), loop=self.loop, context=self.context.copy(), **EAGER
        )

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            parts = [b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"]
            for name, value in message["headers"]:
                parts += (name, b": ", value, b"\r\n")
            parts.append(b"\r\n")
            self.head = parts
        else:
            self.head.append(message["body"])
            self.transport.write(b"".join(self.head))


class TaskedClosing(Tasked):
    """The same, and close after a request that says so."""

    def on_message_complete(self) -> None:
        self.is_last = not self.parser.should_keep_alive()  # It knows only until it is fed again.
        super().on_message_complete()

    async def send(self, message: dict[str, Any]) -> None:
        is_last = self.is_last
        if is_last and message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await super().send(message)
        if is_last and message["type"] == "http.response.body":
            self.transport.close()


class TaskedChunked(Tasked):
    """The same, with chunks for an app that sends in pieces, and a wait for slow clients."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.writable = asyncio.Event()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await super().send(message)
            self.head[-1] = b"transfer-encoding: chunked\r\n\r\n"
            self.transport.writelines(self.head)
            return
        await self.writable.wait()
        body = message["body"]
        pieces = (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
        self.transport.writelines(pieces if message.get("more_body") else (*pieces, b"0\r\n\r\n"))


KINDS = {
    "bare": Bare,
    "bare-closing": BareClosing,
    "task": Tasked,
    "task-closing": TaskedClosing,
    "task-chunked": TaskedChunked,
}


def listener() -> ListenerSpec:
    """Describe a listener with one route to the hello app."""
    return ListenerSpec(
        name="bench",
        address="127.0.0.1",
        limits=LimitsSpec(),
        routes=(
            RouteSpec(
                name="hello",
                match=MatchSpec(),
                action=AppAction(target="hello:app"),
                cells=RouteCells(requests=16, duration=32),
            ),
        ),
        unmatched=RouteCells(requests=24, duration=32 + WORD_COUNT),
        cells=ListenerCells(
            connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
        ),
    )


async def site(app: Any) -> Site:
    """Make a site for an app, and tick it."""
    loop = asyncio.get_running_loop()
    lifespan = Lifespan(app, "off", logging.getLogger("bench"))
    await lifespan.startup()
    cells = memoryview(bytearray(8 * (32 + 2 * WORD_COUNT))).cast("Q")
    made = Site(
        listener(), apps={AppAction(target="hello:app"): HostedApp(app, lifespan)}, cells=cells, loop=loop
    )

    def tick() -> None:
        made.tick(time.monotonic())
        loop.call_later(TICK_S, tick)

    tick()
    return made


async def main(kind: str, port: int, target: str) -> None:
    """Serve one of the kinds until killed."""
    loop = asyncio.get_running_loop()
    module, _, name = target.partition(":")
    app = getattr(importlib.import_module(module), name)
    Tasked.app = staticmethod(app)
    Tasked.loop = loop
    Tasked.context = contextvars.copy_context()
    factory: Any = (await site(app)).connect if kind == "site" else KINDS[kind]
    server = await loop.create_server(factory, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), [*sys.argv, "apps.hello:app"][3]))
