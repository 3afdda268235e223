"""
A server that behaves as a test says: it stalls, closes, refuses to answer, and counts what came.

It answers from one thread of the test's process, with no parser: clients of these tests send heads only.
"""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Behaviour:
    """What the server does instead of answering at once."""

    answer: bytes = OK
    closes: bool = False  # After each answer.
    stall_at: int | None = None  # The request with this number and all after it wait.
    stall_s: float = 0.0
    dies_at: int | None = None  # With this request everything is closed, and nobody listens.


class ScriptedServer:
    """Use as a context manager; `url` is where it listens."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.request_count = 0
        self.connection_count = 0
        self.targets: list[bytes] = []
        self._waiting: list[asyncio.Transport] = []
        self._is_stalled = False
        self._clients: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)
        self._is_listening = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        assert self._is_listening.wait(10)
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def _serve(self) -> None:
        loop = self._loop
        self._server = loop.run_until_complete(
            loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=512)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._is_listening.set()
        loop.run_forever()
        loop.run_until_complete(self._finish())

    async def _finish(self) -> None:
        """Close everything, also what was accepted a moment ago and is not known to us yet."""
        self._die()
        while self._clients or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
            self._die()

    def connected(self, transport: asyncio.Transport) -> None:
        self.connection_count += 1
        self._clients.add(transport)

    def disconnected(self, transport: asyncio.Transport) -> None:
        self._clients.discard(transport)

    def asked(self, transport: asyncio.Transport, target: bytes) -> None:
        self.request_count += 1
        self.targets.append(target)
        if self.request_count == self.behaviour.dies_at:
            self._die()
            return
        if self.request_count == self.behaviour.stall_at:
            self._is_stalled = True
            self._loop.call_later(self.behaviour.stall_s, self._go_on)
        if self._is_stalled:
            self._waiting.append(transport)
        else:
            self._answer(transport)

    def _go_on(self) -> None:
        self._is_stalled = False
        for transport in self._waiting:
            self._answer(transport)
        self._waiting.clear()

    def _answer(self, transport: asyncio.Transport) -> None:
        transport.write(self.behaviour.answer)
        if self.behaviour.closes:
            transport.close()

    def _die(self) -> None:
        self._server.close()
        for transport in list(self._clients):
            transport.abort()


class _Client(asyncio.Protocol):
    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connected(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.server.disconnected(self.transport)

    def data_received(self, data: bytes) -> None:
        *heads, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for head in heads:
            self.server.asked(self.transport, head.split(b" ", 2)[1])
