"""
The least that a Python server of our parts can cost, and our own `Site` beside it.

    python loadtest/floor.py bare 18100    uvloop, httptools, a canned reply
    python loadtest/floor.py task 18100    the same, with an ASGI scope, receive, send and a task per request
    python loadtest/floor.py site 18100    our HTTP path in one process, with metrics, limits and timeouts

The floors are no servers: they know no body, no error, no timeout and no
pipelining. What a real one adds to them is its price.
"""

import asyncio
import contextvars
import logging
import sys
import time
from typing import Any

import httptools
import uvloop
from apps.hello import app

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.http.site import HostedApp, Site
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


class Tasked(asyncio.Protocol):
    """Parse into a scope, call the app in a task, join what it sends and write it."""

    __slots__ = ("client", "feed", "head", "headers", "parser", "server", "transport", "url")

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

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

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
            app(scope, self.receive, self.send), loop=self.loop, context=self.context.copy(), **EAGER
        )

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

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


async def site() -> Site:
    """Make a site for the hello app, and tick it."""
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


async def main(kind: str, port: int) -> None:
    """Serve one of the three until killed."""
    loop = asyncio.get_running_loop()
    Tasked.loop = loop
    Tasked.context = contextvars.copy_context()
    factory = Bare if kind == "bare" else Tasked if kind == "task" else (await site()).connect
    server = await loop.create_server(factory, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
