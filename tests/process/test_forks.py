"""What an app forks does not count for its worker, and what it executes works as ever."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Server, write_app

Start = Callable[..., Server]

# The child finds the rows by way of the collector, and scribbles as an owner would.
APP = """
import gc
import json
import multiprocessing
import os
import subprocess


def scribble():
    from penstock.shm.row import Row

    gc.unfreeze()
    rows = [each for each in gc.get_objects() if isinstance(each, Row)]
    assert rows
    for row in rows:
        for cell in range(64):
            row.cells[cell] += 1_000_000
        row.beat(1)
        row.master[7] = 99


def by_fork():
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            scribble()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by_pool():
    child = multiprocessing.get_context("fork").Process(target=scribble)
    child.start()
    child.join()
    return child.exitcode


def by_command():
    return subprocess.run(["true"]).returncode


WAYS = {"/fork": by_fork, "/pool": by_pool, "/command": by_command}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    said = json.dumps({"status": WAYS[scope["path"]]()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})
"""


def test_children_of_the_app_change_no_number(start: Start, tmp_path: Path) -> None:
    """
    Six requests are six, the gauges are those of the worker, and no row is corrupt.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "1", "--lifespan", "off").wait_serving()
    before = server.status()["workers"]

    for path in ("/fork", "/pool", "/command") * 2:
        assert json.loads(server.get(path)[1]) == {"status": 0}, path

    assert server.metric("penstock_requests_total", code="2xx") == 6
    assert server.metric("penstock_requests_total", code="5xx") == 0
    assert server.metric("penstock_connections_total") == 6
    assert server.metric("penstock_corrupt_rows") == 0
    assert server.metric("penstock_workers", state="ready") == 1
    [worker] = server.status()["workers"]
    assert (worker["pid"], worker["state"], worker["requests"]) == (before[0]["pid"], "ready", 6)
    assert server.stop() == 0
