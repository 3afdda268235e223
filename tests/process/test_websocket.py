"""WebSockets of a real server: served, and ended properly when workers are replaced or stopped."""

import asyncio
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.process.harness import DEADLINE_S, Server, run_penstock, wait_for, write_app
from tests.process.test_addresses import make_certificate
from tests.process.test_streams import pids

Start = Callable[..., Server]

APP = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

@asynccontextmanager
async def lifespan(app):
    yield
    with Path("ended").open("a") as file:
        file.write(f"shutdown {os.getpid()}\\n")

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def root():
    return os.getpid()

@app.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as error:
        with Path("ended").open("a") as file:
            file.write(f"disconnect {error.code}\\n")

@app.websocket("/deaf")
async def deaf(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    await __import__("asyncio").Event().wait()
"""


def ended(folder: Path) -> list[str]:
    """Read what the app wrote at ends."""
    path = folder / "ended"
    return path.read_text().splitlines() if path.exists() else []


class Crowd:
    """Clients with open WebSockets."""

    def __init__(self, port: int, count: int, path: str = "/echo") -> None:
        self._url = f"ws://127.0.0.1:{port}{path}"
        self._count = count
        self._stack = AsyncExitStack()
        self.clients: list[Any] = []

    async def __aenter__(self) -> "Crowd":
        """Open all, and have each say something."""
        for _ in range(self._count):
            client = await self._stack.enter_async_context(
                connect(self._url, proxy=None, open_timeout=DEADLINE_S)
            )
            await client.recv()
            await client.send("hello")
            assert await client.recv() == "hello"
            self.clients.append(client)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close what is left."""
        await self._stack.aclose()

    async def codes(self) -> list[int | None]:
        """Wait until each is closed, and say how."""
        async with asyncio.timeout(DEADLINE_S):
            for client in self.clients:
                try:
                    await client.recv()
                except ConnectionClosed:
                    pass
                await client.wait_closed()
        return [client.close_code for client in self.clients]


def test_websockets_are_told_to_come_again_in_a_roll(start: Start, tmp_path: Path) -> None:
    """
    200 of them, long before the drain's deadline, and each app hears of it before its shutdown runs.
    """
    write_app(tmp_path, APP)
    options = ("--timeout-stream-drain", "0.5", "--timeout-graceful-shutdown", "300")
    server = start("main:app", "--port", "0", "--workers", "2", *options).wait_serving()
    before = pids(server)

    async def talk() -> None:
        async with Crowd(server.port, 200) as crowd:
            assert server.metric("penstock_connections", state="active") >= 0
            server.signal(signal.SIGHUP)
            assert await crowd.codes() == [1012] * 200
        async with Crowd(server.port, 2):
            pass

    asyncio.run(talk())
    server.wait_generation(2, workers=2)
    assert not before & pids(server)
    lines = ended(tmp_path)
    assert lines.count("disconnect 1012") == 200
    assert {line for line in lines if line.startswith("shutdown")} == {f"shutdown {pid}" for pid in before}
    assert server.metric("penstock_requests_total", code="2xx", route="/") >= 202
    assert "cut off" not in server.output()
    assert "Traceback" not in server.output()
    assert server.stop() == 0


def test_a_stop_does_not_wait_for_them(start: Start, tmp_path: Path) -> None:
    """
    Neither for those that answer nor for an app that does not listen, once its client has closed.
    """
    write_app(tmp_path, APP)
    options = ("--timeout-stream-drain", "0", "--timeout-graceful-shutdown", "300")
    server = start("main:app", "--port", "0", "--workers", "1", *options).wait_serving()
    [pid] = pids(server)

    async def talk() -> None:
        async with Crowd(server.port, 20) as crowd:
            server.signal(signal.SIGTERM)
            assert await crowd.codes() == [1012] * 20

    began_s = time.monotonic()
    asyncio.run(talk())
    assert server.wait_exit() == 0
    assert time.monotonic() - began_s < 250.0
    assert ended(tmp_path)[-1] == f"shutdown {pid}"


def test_a_hot_restart_closes_them_properly(start: Start, tmp_path: Path) -> None:
    """
    The master stays the same process, and its new workers take the clients that come back.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "1", "--timeout-stream-drain", "0").wait_serving()

    async def talk() -> None:
        async with Crowd(server.port, 10) as crowd:
            server.signal(signal.SIGUSR2)
            assert await crowd.codes() == [1012] * 10

    asyncio.run(talk())
    server.wait_generation(2, workers=1)
    asyncio.run(talk_once(f"ws://127.0.0.1:{server.port}/echo"))
    assert server.stop() == 0


def test_client_and_app_that_do_not_listen_are_cut_off(start: Start, tmp_path: Path) -> None:
    """
    A client that does not answer has five seconds, an app that does not end the rest of the drain.
    """
    write_app(tmp_path, APP)
    options = ("--timeout-stream-drain", "0", "--timeout-graceful-shutdown", "8")
    server = start("main:app", "--port", "0", "--workers", "1", *options).wait_serving()

    async def talk() -> None:
        async with connect(f"ws://127.0.0.1:{server.port}/deaf", proxy=None) as client:
            await client.recv()
            client.transport.pause_reading()
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait_exit) == 0
            client.transport.abort()

    asyncio.run(talk())


async def talk_once(url: str, **options: Any) -> Any:
    """Open one, and exchange a word; return the handshake's response."""
    async with connect(url, proxy=None, **options) as client:
        await client.recv()
        await client.send("hello")
        assert await client.recv() == "hello"
        return client.response


def test_over_tls(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, APP)
    certificate, key = make_certificate(tmp_path, "localhost")
    config = tmp_path / "penstock.yaml"
    config.write_text(
        "workers: 1\nstream_drain_timeout: 0s\nlisteners:\n  - bind: 127.0.0.1:0\n"
        f"    tls: {{certificates: [{{cert: {certificate}, key: {key}}}]}}\n"
        "    routes: [{app: 'main:app'}]\n"
    )
    server = start("-c", str(config)).wait_serving()
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    url = f"wss://127.0.0.1:{server.port}/echo"

    async def talk() -> None:
        await talk_once(url, ssl=trust)
        async with connect(url, proxy=None, ssl=trust) as client:
            await client.recv()
            server.signal(signal.SIGHUP)
            with_code = None
            try:
                await asyncio.wait_for(client.recv(), DEADLINE_S)
            except ConnectionClosed:
                with_code = client.close_code
            assert with_code == 1012

    asyncio.run(talk())
    server.wait_generation(2, workers=1)
    assert server.stop() == 0


def test_over_a_unix_socket(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, APP)
    start("main:app", "--uds", str(tmp_path / "s"), "--workers", "1").wait_serving()

    async def talk() -> None:
        async with unix_connect(str(tmp_path / "s"), "ws://localhost/echo") as client:
            await client.recv()
            await client.send("hello")
            assert await client.recv() == "hello"

    asyncio.run(talk())


def test_a_route_without_an_app_answers_as_ever(start: Start, tmp_path: Path) -> None:
    """
    And so does an app whose listener has them switched off; another has a limit of its own.
    """
    write_app(tmp_path, APP)
    config = tmp_path / "penstock.yaml"
    config.write_text(
        "workers: 1\nadmin: none\nlisteners:\n"
        "  - bind: 127.0.0.1:0\n"
        "    websocket: {max_message: 1KiB, deflate: false}\n"
        "    routes: [{match: {path: /fixed}, respond: {status: 418}}, {app: 'main:app'}]\n"
    )
    server = start("-c", str(config), "--access-log").wait_serving()
    url = f"ws://127.0.0.1:{server.port}"

    async def status(path: str) -> int:
        try:
            async with connect(url + path, proxy=None):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    async def talk() -> None:
        assert await status("/fixed") == 418
        response = await talk_once(f"{url}/echo")
        assert "Sec-WebSocket-Extensions" not in response.headers
        async with connect(f"{url}/echo", proxy=None) as client:
            await client.recv()
            await client.send("x" * 1025)
            try:
                await client.recv()
            except ConnectionClosed:
                pass
            assert client.close_code == 1009

    asyncio.run(talk())
    wait_for(lambda: server.output().count('"GET /echo HTTP/1.1" 101 ') == 2, "the lines of both")
    assert server.stop() == 0

    off = start("main:app", "--port", "0", "--workers", "1", "--ws", "none").wait_serving()
    url = f"ws://127.0.0.1:{off.port}"
    assert asyncio.run(status("/echo")) == 404


def test_libraries_that_others_offer_are_taken_for_ours(tmp_path: Path) -> None:
    """
    The command line of another server works, and says what it does not do.
    """
    write_app(tmp_path, APP)
    options = ["--ws-max-size", "1048576", "--ws-max-queue", "8", "--ws-per-message-deflate", "false"]
    options += ["--ws-ping-interval", "10.5", "--ws-ping-timeout", "none"]
    for library in ("auto", "websockets", "websockets-sansio", "wsproto", "none"):
        result = run_penstock("check", "main:app", "--ws", library, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stderr.count("wsproto") == (library == "wsproto")
    result = run_penstock("check", "main:app", "--ws", "quick", cwd=tmp_path)
    assert result.returncode == 2
    assert "--ws" in result.stderr
    assert "'quick'" in result.stderr
