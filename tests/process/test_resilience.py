"""Workers that die, hang or cannot be replaced, and what everybody else notices of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Server, free_port, wait_for, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

BLOCKS = """
import os
import time

async def app(scope, receive, send):
    if scope["path"] == "/block":
        while not os.path.exists("go"):
            time.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


def test_killed_worker_is_replaced_and_its_shards_are_never_without_service(start: Start) -> None:
    """
    The master holds every accept queue, so only the killed worker's own connections are lost.
    """
    server = start("--port", "0", "--workers", "2").wait_serving()
    asked = server.metric("penstock_requests_total")
    victim = server.status()["workers"][0]["pid"]

    os.kill(victim, signal.SIGKILL)
    answers = [server.whoami()["pid"] for _ in range(20)]

    assert victim not in answers
    status = server.wait_status(
        lambda status: (
            [worker["state"] for worker in status["workers"]] == ["ready", "ready"]
            and victim not in [worker["pid"] for worker in status["workers"]]
        ),
        "a replacement",
    )
    assert {shard["slot"] for shard in status["listeners"][0]["shards"]} == {0, 1}
    assert status["worker_restarts"] == {"crash": 1}
    assert server.metric("penstock_requests_total") - asked == 20


def test_counts_of_a_killed_worker_stay(start: Start) -> None:
    """
    Its row is counted on by whoever gets it next, so no total ever falls.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    for _ in range(10):
        server.get("/whoami")
    before = server.metric("penstock_requests_total")

    os.kill(server.status()["workers"][0]["pid"], signal.SIGKILL)

    server.wait_status(lambda status: status["worker_restarts"], "the death")
    assert server.metric("penstock_requests_total") == before
    assert server.get("/whoami")[0] == 200
    assert server.metric("penstock_requests_total") == before + 1


def test_connections_queued_on_a_stopped_worker_are_served_after_its_death(start: Start) -> None:
    """
    Deterministic: they wait in accept queues that no process but the dead one polled.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    pid = server.status()["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for client in clients:
        client.sendall(b"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    server.wait_status(
        lambda status: sum(shard["queued"] for shard in status["listeners"][0]["shards"]) == 50,
        "fifty queued connections",
    )

    os.kill(pid, signal.SIGKILL)

    for client in clients:
        client.settimeout(20)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.close()


def test_queued_connections_survive_a_roll_and_a_hot_restart(start: Start) -> None:
    """
    A stopped worker accepts nothing; its replacement serves what waited.
    """
    for number in (signal.SIGHUP, signal.SIGUSR2):
        server = start("--port", "0", "--workers", "1", "--timeout-graceful-shutdown", "1").wait_serving()
        pid = server.status()["workers"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for client in clients:
            client.sendall(b"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")

        server.signal(number)

        for client in clients:
            client.settimeout(20)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 "), number
            client.close()
        os.kill(pid, signal.SIGCONT)
        assert server.stop() == 0


def test_crash_loop_backs_off_and_healthy_workers_go_on(start: Start, tmp_path: Path) -> None:
    """
    A worker that cannot boot any more is tried again ever more rarely.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, "raise RuntimeError('oops')\n")
    victim, survivor = (worker["pid"] for worker in server.status()["workers"])

    os.kill(victim, signal.SIGKILL)

    server.wait_status(
        lambda status: status["worker_restarts"].get("boot_failure", 0) >= 2, "two failed attempts"
    )
    assert server.get("/")[1] == b"hello from %d" % survivor
    write_app(tmp_path, HELLO)
    server.wait_status(
        lambda status: [worker["state"] for worker in status["workers"]] == ["ready", "ready"], "recovery"
    )


def test_admin_answers_while_every_worker_is_blocked(start: Start, tmp_path: Path) -> None:
    """
    A probe that shares the app's loop fails exactly when it is needed.
    """
    write_app(tmp_path, BLOCKS)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    blocked = threading.Thread(target=lambda: server.get("/block"))
    blocked.start()
    server.wait_status(
        lambda status: status["workers"][0]["loop_lag_s"] > 0.5, "a loop that is seen to be late"
    )

    assert server.admin("/metrics")[0] == 200
    assert server.admin("/livez")[0] == 200
    assert json.loads(server.admin("/status")[1])["workers"][0]["state"] in ("ready", "suspect")
    assert blocked.is_alive(), "the worker was to be blocked all along"
    (tmp_path / "go").touch()
    blocked.join()


def test_admin_process_is_started_again(start: Start) -> None:
    """
    Losing it costs no request, and the numbers are still there.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()
    server.get("/whoami")
    asked = server.metric("penstock_requests_total")
    workers = {worker["pid"] for worker in server.status()["workers"]}
    (admin,) = (child.pid for child in server.children() if child.pid not in workers)

    os.kill(admin, signal.SIGKILL)

    wait_for(lambda: {child.pid for child in server.children()} - workers - {admin}, "another admin process")
    assert server.metric("penstock_requests_total") == asked


def test_closed_standard_streams_are_not_taken_by_our_own_descriptors(start: Start) -> None:
    """
    A stray write to standard output would otherwise land in the shared segment.
    """
    server = start("--port", str(free_port()), "--workers", "1").wait_serving()
    assert server.stop() == 0
    code = (
        "import os, sys; [os.close(fd) for fd in (0, 1, 2)]; "
        f"os.execv(sys.executable, [sys.executable, '-m', 'penstock', '--port', '{server.port}', "
        f"'--workers', '1', '--admin-bind', 'none', '--control', '{server.control}'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_for(server.control.exists, "the control socket")
        folder = Path(f"/proc/{process.pid}/fd")
        assert {(folder / fd).readlink() for fd in "012"} == {Path("/dev/null")}
        server.process = process
        server.wait_generation(1, workers=1)
        os.kill(process.pid, signal.SIGUSR2)
        server.wait_generation(2, workers=1)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_cancellation_out_of_the_app_is_its_failure(start: Start, tmp_path: Path) -> None:
    """
    One that nobody asked for is answered and logged as any other exception.
    """
    source = "import asyncio\nasync def app(scope, receive, send):\n    raise asyncio.CancelledError\n"
    write_app(tmp_path, source)
    server = start("main:app", "--port", "0", "--workers", "1", "--lifespan", "off").wait_serving()

    assert server.get("/")[0] == 500
    assert server.metric("penstock_requests_total", code="5xx") == 1
    assert "The app raised" in server.output()
