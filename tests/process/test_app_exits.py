"""
An app that exits or forks does so for itself: others keep their answers, and the port comes free.
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, free_port, wait_for, write_app

Start = Callable[..., Server]

APP = """
import asyncio
import multiprocessing
import os
import sys
import time

tasks = set()
released = asyncio.Event()


async def leave():
    sys.exit(7)


def sleep():
    while True:
        time.sleep(3600)


async def app(scope, receive, send):
    path = scope["path"]
    body = b"done"
    if path == "/slow":
        await released.wait()
    elif path == "/release":
        released.set()
    elif path == "/exit":
        sys.exit("enough")
    elif path == "/interrupt":
        raise KeyboardInterrupt
    elif path == "/task":
        task = asyncio.create_task(leave())
        tasks.add(task)
    elif path == "/callback":
        asyncio.get_running_loop().call_soon(sys.exit)
    elif path == "/fork":
        pid = os.fork()
        if pid == 0:
            sleep()
        body = str(pid).encode()
    elif path == "/pool":
        child = multiprocessing.get_context("fork").Process(target=sleep)
        child.start()
        body = str(child.pid).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
    if path == "/background":
        sys.exit(3)
"""

WAYS = {"/exit": 500, "/interrupt": 500, "/task": 200, "/callback": 200, "/background": 200}


@pytest.mark.parametrize("path", WAYS)
def test_an_exit_in_a_request_ends_nobody_elses(start: Start, tmp_path: Path, path: str) -> None:
    """
    It is logged as the failure that it is, and another request of the same worker is answered.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "1", "--lifespan", "off").wait_serving()
    [before] = server.status()["workers"]
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        wait_for(lambda: server.metric("penstock_connections", state="active") == 1, "the slow request")

        status, body = server.get(path)

        assert status == WAYS[path]
        assert b"Traceback" not in body
        assert b"exit" not in body.lower()
        wait_for(lambda: "The app raised in" in server.output(), "the traceback")
        wait_for(lambda: re.search("^(SystemExit|KeyboardInterrupt)", server.output(), re.M), "its end")
        assert server.get("/release")[0] == 200
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    [after] = server.status()["workers"]
    assert after["pid"] == before["pid"]
    assert server.metric("penstock_worker_restarts_total") == 0
    assert server.stop() == 0


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_an_exit_at_startup_is_a_refusal_to_start(start: Start, tmp_path: Path, mode: str) -> None:
    """
    Also where apps without a lifespan are let pass.
    """
    write_app(tmp_path, "import sys\nasync def app(scope, receive, send):\n    sys.exit('no database')\n")
    server = start("main:app", "--port", "0", "--workers", "1", "--lifespan", mode)

    assert server.wait_exit() == 3
    assert "SystemExit: no database" in server.output()
    assert server.output().count("could not start") == 1


@pytest.mark.parametrize("path", ["/fork", "/pool"])
def test_a_child_that_outlives_the_server_leaves_its_port_free(
    start: Start, tmp_path: Path, path: str
) -> None:
    """
    Else clients would be accepted by nobody, and the next server refused its address.
    """
    write_app(tmp_path, APP)
    port = free_port()
    server = start("main:app", "--port", str(port), "--workers", "1", "--lifespan", "off").wait_serving()
    child = psutil.Process(int(server.get(path)[1]))
    try:
        wait_for(lambda: not listening(child), "the child to let go")
        # The parent of a pool would wait for it at its end.
        if path == "/fork":
            assert server.stop() == 0
            assert child.is_running()
            second = start("main:app", "--port", str(port), "--workers", "1", "--lifespan", "off")
            assert second.wait_serving().get("/") == (200, b"done")
            assert second.stop() == 0
    finally:
        child.kill()


def listening(process: psutil.Process) -> list[int]:
    """List the descriptors of a process on which somebody could connect."""
    return [each.fd for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
