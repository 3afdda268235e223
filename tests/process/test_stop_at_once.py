"""A second TERM: what is in flight is cut off, and the apps are shut down all the same."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app

OPTIONS = ("main:app", "--port", "0", "--workers", "2", "--timeout-graceful-shutdown", "600")

# A request that never ends, and a shutdown that leaves a file; or one that never ends either.
APP = """
import asyncio, os, pathlib

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        pathlib.Path(f"stopping-{os.getpid()}").touch()
        if os.path.exists("hang"):
            await asyncio.sleep(3600)
        pathlib.Path(f"stopped-{os.getpid()}").touch()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass  # an app that does not let itself be cancelled
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    write_app(tmp_path, APP)
    started = Server(*OPTIONS, cwd=tmp_path)
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


@pytest.fixture
def client(server: Server) -> Iterator[socket.socket]:
    """A client whose response never ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"begun" not in received:
            received += sock.recv(65536)
        yield sock


def order_twice(server: Server) -> None:
    server.signal(signal.SIGTERM)
    wait_for(lambda: "draining; once more" in server.output(), "the drain")
    server.signal(signal.SIGTERM)


def test_the_apps_shutdown_runs_also_when_it_is_to_stop_at_once(
    server: Server, client: socket.socket, tmp_path: Path
) -> None:
    """
    Pools are closed and files written, though a request is cut off.
    """
    order_twice(server)

    assert server.wait_exit() == 0
    assert len(list(tmp_path.glob("stopped-*"))) == 2
    assert client.recv(65536) == b""


def test_a_shutdown_that_hangs_holds_it_up_for_five_seconds(server: Server, tmp_path: Path) -> None:
    """
    Not for the eight that it has otherwise, and the log says whose it was.
    """
    (tmp_path / "hang").touch()
    order_twice(server)

    assert server.wait_exit() == 0
    assert not list(tmp_path.glob("stopped-*"))
    assert "killed: it did not stop at once" in server.output()


def test_a_third_one_kills(server: Server, tmp_path: Path) -> None:
    """
    For those who do not want to wait for that either.
    """
    (tmp_path / "hang").touch()
    order_twice(server)
    wait_for(lambda: len(list(tmp_path.glob("stopping-*"))) == 2, "both to be shutting down")
    # Else the kernel may make one signal of the two.
    wait_for(lambda: "stopping at once" in server.output(), "the second order to be heard")
    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert "killing what is left" in server.output()
    assert "did not stop at once" not in server.output()
