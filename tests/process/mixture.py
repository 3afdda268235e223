"""
Clients of every kind at once, none of which looks for a FIN before it writes.

Whatever is not answered as it should be is counted by its kind: that is what
users of a server call a lost request.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType

import uvloop

TIMEOUT_S = 30.0

HEAD = b"%s / HTTP/1.1\r\nHost: test\r\n%s\r\n"
GET = HEAD % (b"GET", b"")

# Echoes how many bytes came.
COUNTING_APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


class Lost(Exception):
    """A request that was not answered; says how."""


class Mixture:
    """
    Keep-alive clients with GET and POST, pipelining ones, such as send bodies
    slowly, and such as come for one request, in a thread of their own.

    `answered` counts requests that were, by kind of client; `lost` those that
    were not, by kind and way.
    """

    def __init__(
        self, port: int, *, lasting: int = 60, pipelining: int = 6, slow: int = 10, fleeting: int = 12
    ) -> None:
        self._port = port
        self._counts: dict[Callable[[random.Random], Awaitable[None]], int] = {
            self._lasting: lasting,
            self._pipelining: pipelining,
            self._slow: slow,
            self._fleeting: fleeting,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))
        self.answered: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.reconnected = 0  # because a response said that its connection would close

    def __enter__(self) -> "Mixture":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def total(self) -> int:
        """How many requests were answered so far."""
        return self.answered.total()

    async def _run(self) -> None:
        clients = [(client, number) for client, count in self._counts.items() for number in range(count)]
        await asyncio.gather(*(self._go_on(client, random.Random(seed)) for client, seed in clients))

    async def _go_on(self, client: Callable[[random.Random], Awaitable[None]], chance: random.Random) -> None:
        name = client.__name__.strip("_")
        while not self._stop.is_set():
            try:
                await client(chance)
            except Lost as lost:
                self.lost[f"{name}: {lost}"] += 1
            except OSError as error:
                self.lost[f"{name}: {type(error).__name__}"] += 1

    # The kinds. Each lives until its connection ends.

    async def _lasting(self, chance: random.Random) -> None:
        line = await Line.open(self._port)
        try:
            while not self._stop.is_set():
                size = chance.choice([0, 0, 100, 8000])
                line.send(_post(size) if size else GET)
                await line.read(size)
                self.answered["lasting"] += 1
                if line.is_last:
                    self.reconnected += 1
                    return
                # Some are idle for long enough to be parked.
                is_idle = chance.random() < 0.02
                await asyncio.sleep(chance.uniform(1.0, 4.0) if is_idle else chance.uniform(0.0, 0.08))
        finally:
            line.close()

    async def _pipelining(self, chance: random.Random) -> None:
        line = await Line.open(self._port)
        try:
            while not self._stop.is_set():
                line.send(GET * 4)
                for _ in range(4):
                    if line.is_last:
                        raise Lost("closed before all were answered")
                    await line.read(0)
                    self.answered["pipelining"] += 1
                if line.is_last:
                    self.reconnected += 1
                    return
                await asyncio.sleep(chance.uniform(0.0, 0.2))
        finally:
            line.close()

    async def _slow(self, chance: random.Random) -> None:
        line = await Line.open(self._port)
        try:
            while not self._stop.is_set():
                whole = _post(3000)
                for start in range(0, len(whole), 1000):
                    line.send(whole[start : start + 1000])
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                await line.read(3000)
                self.answered["slow"] += 1
                if line.is_last:
                    self.reconnected += 1
                    return
        finally:
            line.close()

    async def _fleeting(self, chance: random.Random) -> None:
        line = await Line.open(self._port)
        try:
            line.send(HEAD % (b"GET", b"Connection: close\r\n"))
            await line.read(0)
            self.answered["fleeting"] += 1
        finally:
            line.close()
        await asyncio.sleep(chance.uniform(0.0, 0.1))


class Line:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_last = False  # the last response said so

    @classmethod
    async def open(cls, port: int) -> "Line":
        async with asyncio.timeout(TIMEOUT_S):
            return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        """Write, without a look at whether the connection still stands."""
        self._writer.write(data)

    async def read(self, size: int) -> None:
        """Read one answer, which is to tell the size of the request's body. Raises Lost."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await self._reader.readexactly(length)
        except TimeoutError:
            raise Lost("timeout") from None
        except asyncio.IncompleteReadError as error:
            raise Lost("cut off" if error.partial else "empty") from None
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Lost(head.partition(b"\r\n")[0].decode())
        if int(body) != size:
            raise Lost(f"answered for {body.decode()} bytes of {size}")
        self.is_last = b"\r\nconnection: close\r\n" in head.lower()

    def close(self) -> None:
        self._writer.transport.abort()


def _post(size: int) -> bytes:
    return HEAD % (b"POST", b"Content-Length: %d\r\n" % size) + b"x" * size
