"""WebSockets through a gateway in real processes: real servers, real clients, and a browser."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.process.browser import open_browser
from tests.process.harness import DEADLINE_S, Server, wait_for, write_app

Start = Callable[..., Server]

APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"app"})
        return
    await receive()
    if scope["path"] == "/denied":
        await send({"type": "websocket.close"})
        return
    wanted = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": wanted[0] if wanted else None})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4321, "reason": "as asked"})
            return
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
"""
PAGE = "<!doctype html><title>page</title>"


async def echo(talk: ServerConnection) -> None:
    """Send back what comes; close as asked."""
    async for message in talk:
        if message == "bye":
            await talk.close(4321, "as asked")
            return
        await talk.send(message)


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """Serve WebSockets by the websockets library; give the port."""
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        assert isinstance(server, WebSocketServer)
        [listening] = server.sockets
        yield listening.getsockname()[1]


def gateway(start: Start, folder: Path, address: str, *options: str, more: str = "") -> Server:
    """Start a gateway before one server, with a page of its own."""
    path = folder / "gateway.yaml"
    path.write_text(
        "workers: 1\n"
        "listeners:\n"
        "  - bind: 127.0.0.1:0\n"
        "    routes:\n"
        "      - match: {path: /page}\n"
        f"        respond: {{headers: {{content-type: text/html}}, body: '{PAGE}'}}\n"
        "      - {match: {path: /}, proxy: backend}\n"
        f"upstreams: {{backend: {{servers: ['{address}'] {more}}}}}\n"
    )
    return start("-c", str(path), *options).wait_serving()


async def converse(url: str) -> None:
    """Say all kinds of things, and hear them."""
    async with connect(url, proxy=None, max_size=None, open_timeout=DEADLINE_S) as client:
        for message in ("", "hello", "ä" * 1000, b"\0\xff" * 500, "x" * 300_000, os.urandom(5_000_000)):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "many ", "frames"])
        assert await client.recv() == "in many frames"
        pong = await client.ping()
        await pong
        await client.send("bye")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4321, "as asked")
    async with connect(url, proxy=None, compression=None, open_timeout=DEADLINE_S) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        await client.close(4999)


def test_a_conversation_through_the_gateway(start: Start, tmp_path: Path) -> None:
    """
    Texts and bytes, long and in fragments, compressed and not, pings and close codes; two kinds of server.
    """
    folder = tmp_path / "app"
    folder.mkdir()
    write_app(folder, APP)
    app = start("main:app", "--port", "0", "--workers", "1", "--control", str(folder / "c.sock"), cwd=folder)
    app.wait_serving()

    async def talk() -> None:
        async with echoing() as port:
            more = ", balance: round_robin"
            server = gateway(start, tmp_path, f"127.0.0.1:{port}', '127.0.0.1:{app.port}", more=more)
            url = f"ws://127.0.0.1:{server.port}/"
            for _ in range(2):
                await converse(url)
            async with connect(url, proxy=None, subprotocols=["chat"], open_timeout=DEADLINE_S):  # type: ignore[list-item]
                pass
            statuses = set()
            for _ in range(2):
                try:
                    async with connect(url + "denied", proxy=None, open_timeout=DEADLINE_S):
                        statuses.add(101)
                except InvalidStatus as error:
                    statuses.add(error.response.status_code)
            assert statuses == {101, 403}
            assert "Traceback" not in server.output()
            await asyncio.to_thread(server.stop)

    asyncio.run(talk())


def test_many_at_once(start: Start, tmp_path: Path) -> None:
    """
    None hears another, and afterwards nothing is left of them.
    """

    async def one(url: str, number: int) -> None:
        async with connect(url, proxy=None, open_timeout=DEADLINE_S) as client:
            for turn in range(20):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async def talk() -> None:
        async with echoing() as port:
            server = gateway(start, tmp_path, f"127.0.0.1:{port}")
            url = f"ws://127.0.0.1:{server.port}/"
            await asyncio.gather(*(one(url, number) for number in range(100)))
            await asyncio.to_thread(
                wait_for,
                lambda: (
                    server.metric("penstock_requests_total", code="2xx", route="/") == 100
                    and server.metric("penstock_connections", state="active") == 0
                ),
                "the numbers",
            )
            await asyncio.to_thread(server.stop)

    asyncio.run(talk())


def drains(server: Server) -> bool:
    """Tell whether a worker of it drains."""
    return any(worker["state"] == "draining" for worker in server.status()["workers"])


@pytest.mark.parametrize("order", [signal.SIGHUP, signal.SIGTERM])
def test_tunnels_have_all_of_a_drain(start: Start, tmp_path: Path, order: signal.Signals) -> None:
    """
    They are at work until shortly before its end, and then closed; who comes back finds the next worker.
    """

    async def talk() -> None:
        async with echoing() as port:
            server = gateway(
                start, tmp_path, f"127.0.0.1:{port}", "--timeout-graceful-shutdown", "6", "--access-log"
            )
            url = f"ws://127.0.0.1:{server.port}/tunnel"
            clients = [await connect(url, proxy=None, open_timeout=DEADLINE_S) for _ in range(10)]
            server.signal(order)
            await asyncio.to_thread(wait_for, lambda: drains(server), "the drain")
            for client in clients:
                await client.send("still here")
                assert await client.recv() == "still here"
            for client in clients:
                async with asyncio.timeout(DEADLINE_S):
                    with pytest.raises(ConnectionClosedError):
                        await client.recv()
                assert client.close_code == 1006
            if order == signal.SIGHUP:
                async with connect(url, proxy=None, open_timeout=DEADLINE_S):
                    pass
                await asyncio.to_thread(server.stop)
            else:
                assert await asyncio.to_thread(server.wait_exit) == 0
            assert server.output().count('"GET /tunnel HTTP/1.1" 101') >= 10
            assert "cutting 10 tunnels" in server.output()
            assert "Traceback" not in server.output()

    asyncio.run(talk())


def test_any_protocol_that_is_listed(start: Start, tmp_path: Path) -> None:
    """
    Plain bytes, a half-close, and a server of few words.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = gateway(
            start, tmp_path, f"127.0.0.1:{listening.getsockname()[1]}", more=", upgrades: [line/1]"
        )
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: Line/1\r\n\r\nearly\n"
            )
            backend, _ = listening.accept()
            with backend:
                backend.settimeout(DEADLINE_S)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += backend.recv(4096)
                assert b"early" not in head
                backend.sendall(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: line/1\r\n\r\nfirst\n")
                client.shutdown(socket.SHUT_WR)
                assert read_all(backend) == b"early\n"
                backend.sendall(b"last\n")
                backend.shutdown(socket.SHUT_WR)
                assert read_all(client).endswith(b"\r\n\r\nfirst\nlast\n")


def read_all(sock: socket.socket) -> bytes:
    """Read to the end."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.xdist_group("chromium")
def test_a_page_in_a_browser(start: Start, tmp_path: Path) -> None:
    """
    Chromium is the client that most WebSockets have.
    """

    async def talk() -> None:
        async with echoing() as port:
            server = gateway(start, tmp_path, f"127.0.0.1:{port}")
            found = await asyncio.to_thread(visit, f"http://127.0.0.1:{server.port}/page")
            assert found == ["hello", "x" * 100_000, "3 bytes", "4321 as asked true"]
            await asyncio.to_thread(server.stop)

    asyncio.run(talk())


def visit(url: str) -> Any:
    """Open a page, have it talk, and return what it heard."""
    with open_browser() as browser:
        tab = browser.open_tab(url)
        return tab.value(
            """new Promise((done, fail) => {
              const heard = [];
              const talk = new WebSocket(`ws://${location.host}/talk`);
              talk.binaryType = "arraybuffer";
              talk.onopen = () => {
                talk.send("hello");
                talk.send("x".repeat(100000));
                talk.send(new Uint8Array([1, 2, 3]));
                talk.send("bye");
              };
              talk.onmessage = (event) => heard.push(
                typeof event.data === "string" ? event.data : `${event.data.byteLength} bytes`);
              talk.onerror = () => fail(new Error("it broke"));
              talk.onclose = (event) => {
                heard.push(`${event.code} ${event.reason} ${event.wasClean}`);
                done(heard);
              };
            })"""
        )
