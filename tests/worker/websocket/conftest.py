"""
A real Site that takes WebSockets, and the clients of its tests.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from penstock.worker.spec import WebSocketSpec
from tests.worker.http.conftest import (
    Client,
    Serving,
    _serve,
    certificate,
    pytest_pyfunc_call,
    serve,
)

__all__ = ["certificate", "pytest_pyfunc_call", "serve"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n"


def handshake(*lines: str) -> bytes:
    """Write a good handshake, with more header lines."""
    return (HANDSHAKE + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def frame(first: int, payload: bytes = b"", *, mask: bytes | None = b"\x01\x02\x03\x04") -> bytes:
    """Write a frame as a client does; without a mask as a server does."""
    size = len(payload)
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


def close_frame(code: int, reason: str = "") -> bytes:
    """Write a client's close."""
    return frame(0x88, struct.pack("!H", code) + reason.encode())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes."""
    assert scope["type"] == "websocket"
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Told:
    """An app that accepts, echoes and remembers what it was told."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.messages: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be called."""
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] != "websocket.receive":
                return
            await send({**message, "type": "websocket.send"})


class Peer:
    """A client that writes and reads frames."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def send(self, data: bytes, *, piece: int | None = None) -> None:
        """Write bytes."""
        await self.client.send(data, piece=piece)

    async def _exactly(self, size: int) -> bytes:
        while len(self.client.received) < size:
            assert not self.client.is_eof, f"the connection ended after {self.client.received!r}"
            await self.client._more()
        taken, self.client.received = self.client.received[:size], self.client.received[size:]
        return taken

    async def frame(self) -> tuple[int, bytes]:
        """Read a frame: its first byte, its payload."""
        first, size = await self._exactly(2)
        if size > 125:
            size = int.from_bytes(await self._exactly(2 if size == 126 else 8), "big")
        return first, await self._exactly(size)

    async def close(self) -> tuple[int, str]:
        """Read a close frame and the end of the connection."""
        first, payload = await self.frame()
        assert first == 0x88, (first, payload)
        code, reason = (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) if payload else (1005, "")
        with contextlib.suppress(OSError):
            self.client.finish()
        assert await self.client.rest() == b""
        return code, reason


@contextlib.asynccontextmanager
async def _websocket(
    app: Any = echo, *, path: str | None = None, tls: Any = None, **spec: Any
) -> AsyncIterator[Serving]:
    limits = spec.pop("limits", {})
    async with _serve(app, websocket=WebSocketSpec(**spec), path=path, tls=tls, **limits) as server:
        yield server


async def open_peer(server: Serving, *lines: str, rest: bytes = b"") -> Peer:
    """Connect and shake hands; `rest` comes in the same packet."""
    client = await server.client()
    await client.send(handshake(*lines) + rest)
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(ACCEPTED), head
    return Peer(client)


def library(server: Serving, path: str = "/", **options: Any) -> Any:
    """Connect with the websockets library's own client."""
    host, port = server.address[:2]
    return connect(f"ws://{host}:{port}{path}", proxy=None, **options)


@pytest.fixture
def websocket() -> Any:
    """Give `websocket(app, ...)`, an async context manager of a site that takes WebSockets."""
    return _websocket


async def eventually(condition: Any) -> None:
    """Let the loop turn until something is the case."""
    async with asyncio.timeout(30.0):
        while not condition():
            await asyncio.sleep(0.001)
