"""The thin slice through everything: start, answer, look, hot-restart, stop."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import Server, get, wait_for, write_app

Start = Callable[..., Server]

HELLO = """
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello from %d" % os.getpid()})
"""


def test_welcome_service_runs_without_any_argument(start: Start) -> None:
    """
    The first command that a newcomer types shows something that works.
    """
    server = start("--port", "0").wait_serving()

    status, page = server.get("/")
    assert status == 200
    assert b"<html" in page.lower()
    who = server.whoami()
    assert who["pid"] in {child.pid for child in server.children()}
    assert {"pid", "slot", "core", "generation"} <= who.keys()
    assert json.loads(server.get("/echo?a=1")[1])["method"] == "GET"


def test_every_worker_answers_and_the_numbers_are_one(start: Start) -> None:
    """
    Connections spread over the workers, and the metrics are one set over all of them.
    """
    server = start("--port", "0", "--workers", "2").wait_serving()
    before = server.metric("penstock_requests_total")

    pids = {server.whoami()["pid"] for _ in range(60)}

    assert len(pids) == 2
    assert server.metric("penstock_requests_total") - before == 60
    assert server.metric("penstock_requests_total", code="2xx") - before == 60
    assert server.metric("penstock_request_duration_seconds_count") >= 60
    assert server.metric("penstock_workers", state="ready") == 2


def test_admin_endpoint_answers(start: Start) -> None:
    """
    Probes, metrics and status are where the documentation says.
    """
    server = start("--port", "0", "--workers", "2").wait_serving()

    for path in ("/livez", "/readyz", "/startupz", "/metrics", "/status", "/"):
        assert server.admin(path)[0] == 200, path
    assert server.admin("/nothing")[0] == 404
    status = json.loads(server.admin("/status")[1])
    assert status["master"]["pid"] == server.pid
    assert status["master"]["state"] == "running"
    assert [worker["slot"] for worker in status["workers"]] == [0, 1]
    assert {shard["slot"] for shard in status["listeners"][0]["shards"]} == {0, 1}
    assert len(status["listeners"][0]["shards"]) == 8


def test_app_is_served_hot_restarted_and_stopped(start: Start, tmp_path: Path) -> None:
    """
    The main job, end to end: the same PID serves new code, and nothing is left behind at the end.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    assert server.get("/")[1].startswith(b"hello from")
    requests = server.metric("penstock_requests_total")

    write_app(tmp_path, HELLO.replace("hello", "goodbye"))
    server.signal(signal.SIGUSR2)

    status = server.wait_generation(2, workers=2)
    assert status["master"]["pid"] == server.pid
    assert server.get("/")[1].startswith(b"goodbye from")
    assert server.metric("penstock_requests_total") == requests + 1
    assert server.metric("penstock_generation") == 2

    children = server.children()
    assert server.stop() == 0
    wait_for(lambda: not any(child.is_running() for child in children), "the children's end")
    assert not server.control.exists()
    with pytest.raises(ConnectionRefusedError):
        get(server.port)
