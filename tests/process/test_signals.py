"""What each signal to the master does."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, free_port, wait_for, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

BLOCKING = """
import time

async def app(scope, receive, send):
    assert scope["type"] == "http"
    time.sleep(600)
"""

# /slow waits for a file.
SLOW = """
import asyncio
import os

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""

ENDLESS = SLOW.replace('"go"', '"never"')


def test_hup_rolls_the_workers_to_new_code(start: Start, tmp_path: Path) -> None:
    """
    A deployment of the app is one signal.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    write_app(tmp_path, HELLO.replace("hello", "goodbye"))

    server.signal(signal.SIGHUP)

    server.wait_generation(2, workers=2)
    assert server.get("/")[1].startswith(b"goodbye")
    assert server.metric("penstock_worker_restarts_total", reason="roll") == 2


def test_hup_with_a_broken_file_changes_nothing(start: Start, tmp_path: Path) -> None:
    """
    A mistake in the file is told, and costs nothing.
    """
    file = tmp_path / "p.yaml"
    good = "workers: 1\nlisteners: [{bind: '127.0.0.1:0', routes: [{respond: {body: good}}]}]\n"
    file.write_text(good)
    server = start("-c", "p.yaml").wait_serving()

    file.write_text(good.replace("workers: 1", "workers: many"))
    server.signal(signal.SIGHUP)

    status = server.wait_status(lambda status: status["reload_failures"], "a failed reload")
    assert "p.yaml:1:10" in status["master"]["last_failure"]["message"]
    assert status["master"]["generation"] == 1
    assert server.get("/")[1] == b"good"

    file.write_text(good.replace("good", "better"))
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert server.get("/")[1] == b"better"


def test_hup_applies_listeners_that_come_and_go(start: Start, tmp_path: Path) -> None:
    """
    A new address is opened, and one that was removed is closed when nobody serves it any more.
    """
    file = tmp_path / "p.yaml"
    ports = [free_port(), free_port()]

    def write(*used: int) -> None:
        listeners = "".join(
            f"  - bind: 127.0.0.1:{port}\n    routes: [{{respond: {{body: '{port}'}}}}]\n" for port in used
        )
        file.write_text(f"workers: 1\nlisteners:\n{listeners}")

    write(ports[0])
    server = start("-c", "p.yaml").wait_serving()
    write(*ports)
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    server.port = ports[1]
    assert server.get("/")[1] == b"%d" % ports[1]

    write(ports[1])
    server.signal(signal.SIGHUP)
    status = server.wait_generation(3, workers=1)
    assert len(status["listeners"]) == 1
    server.port = ports[0]
    with pytest.raises(ConnectionRefusedError):
        server.get("/")


def test_hup_with_a_broken_app_leaves_the_old_one_serving(start: Start, tmp_path: Path) -> None:
    """
    The roll is given up at the first worker that cannot boot.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    write_app(tmp_path, "raise RuntimeError('oops')\n")
    server.signal(signal.SIGHUP)

    status = server.wait_status(
        lambda status: status["reload_failures"] and status["master"]["state"] == "running",
        "an abandoned roll",
    )
    assert "oops" in status["master"]["last_failure"]["message"]
    assert [worker["generation"] for worker in status["workers"]] == [1, 1]
    assert server.get("/")[1].startswith(b"hello")


def test_ttin_and_ttou_scale_by_one(start: Start) -> None:
    """
    One worker more, one less, and the shards follow.
    """
    server = start("--port", "0", "--workers", "1").wait_serving()

    server.signal(signal.SIGTTIN)
    status = server.wait_status(
        lambda status: (
            [worker["state"] for worker in status["workers"]] == ["ready"] * 2
            and {shard["slot"] for shard in status["listeners"][0]["shards"]} == {0, 1}
        ),
        "two workers that share the shards",
    )
    server.signal(signal.SIGTTOU)
    status = server.wait_status(lambda status: len(status["workers"]) == 1, "one worker")
    assert {shard["slot"] for shard in status["listeners"][0]["shards"]} == {0}

    server.signal(signal.SIGTTOU)  # The last one stays.
    assert server.get("/whoami")[0] == 200


def test_usr1_reopens_the_log(start: Start, tmp_path: Path) -> None:
    """
    Log rotation: the file is moved away, and a new one is written to by everybody.
    """
    log = tmp_path / "penstock.log"
    write_app(tmp_path, "async def app(scope, receive, send):\n    raise RuntimeError('boom')\n")
    server = start("main:app", "--port", "0", "--workers", "1", "--log-file", str(log)).wait_serving()
    moved = tmp_path / "penstock.log.1"
    log.rename(moved)

    server.signal(signal.SIGUSR1)

    wait_for(lambda: log.exists() and "log reopened" in log.read_text(), "the new file")
    assert server.get("/")[0] == 500
    wait_for(lambda: "boom" in log.read_text(), "the worker's traceback in the new file")
    assert "boom" not in moved.read_text()


def test_logs_are_reopened_after_a_hot_restart_too(start: Start, tmp_path: Path) -> None:
    """
    By the adopted master, and for workers that start later.
    """
    log, moved = tmp_path / "penstock.log", tmp_path / "penstock.log.1"
    write_app(tmp_path, "async def app(scope, receive, send):\n    raise RuntimeError('boom')\n")
    server = start("main:app", "--port", "0", "--workers", "1", "--log-file", str(log)).wait_serving()
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    log.rename(moved)

    server.signal(signal.SIGUSR1)

    wait_for(lambda: log.exists() and "log reopened" in log.read_text(), "the new file")
    before = moved.read_text()
    assert server.get("/")[0] == 500
    wait_for(
        lambda: log.read_text().count("RuntimeError: boom") == 1, "the worker's traceback in the new file"
    )
    server.signal(signal.SIGTTIN)
    server.wait_generation(2, workers=2)
    server.signal(signal.SIGHUP)
    server.wait_generation(3, workers=2)
    assert server.get("/")[0] == 500
    wait_for(lambda: log.read_text().count("RuntimeError: boom") == 2, "that of a later worker")
    assert moved.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_finish_what_is_in_flight(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """
    A request that was accepted is answered, then everybody leaves.
    """
    write_app(tmp_path, SLOW)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    answers: list[bytes] = []
    client = threading.Thread(target=lambda: answers.append(server.get("/slow")[1]))
    client.start()
    server.wait_status(
        lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
    )

    server.signal(number)

    server.wait_status(lambda status: status["master"]["state"] == "draining", "the drain")
    (tmp_path / "go").touch()
    client.join()
    assert answers == [b"done"]
    assert server.wait_exit() == 0


def test_second_term_stops_at_once(start: Start, tmp_path: Path) -> None:
    """
    Whoever presses Ctrl-C twice does not want to wait for the drain.
    """
    write_app(tmp_path, ENDLESS)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()

    def ask() -> None:
        with pytest.raises(OSError, match=r"."):
            server.get("/slow")

    client = threading.Thread(target=ask)
    client.start()
    server.wait_status(
        lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
    )
    server.signal(signal.SIGTERM)
    server.wait_status(lambda status: status["master"]["state"] == "draining", "the drain")
    server.signal(signal.SIGTERM)

    assert server.wait_exit(5.0) == 0
    client.join()


def test_quit_stops_at_once(start: Start, tmp_path: Path) -> None:
    """
    Nothing is waited for, and still nothing is left behind.
    """
    server = start("--port", "0", "--pidfile", str(tmp_path / "p.pid")).wait_serving()
    children = server.children()

    server.signal(signal.SIGQUIT)

    assert server.wait_exit(5.0) == 0
    assert not any(child.is_running() for child in children)
    assert not server.control.exists()
    assert not (tmp_path / "p.pid").exists()


def test_drain_deadline_cuts_off_what_does_not_end(start: Start, tmp_path: Path) -> None:
    """
    A stuck request delays the stop by the drain timeout and no longer.
    """
    write_app(tmp_path, ENDLESS)
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--timeout-graceful-shutdown", "1"
    ).wait_serving()

    def ask() -> None:
        with pytest.raises(OSError, match=r"."):
            server.get("/slow")

    client = threading.Thread(target=ask)
    client.start()
    server.wait_status(
        lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
    )

    assert server.stop() == 0
    client.join()
    assert "cut off 1 connection" in server.output()


def test_master_killed_takes_its_children_along(start: Start) -> None:
    """
    Orphans would hold the address, and answer with old code for ever.
    """
    server = start("--port", "0", "--workers", "2").wait_serving()
    children = server.children()
    assert len(children) == 3

    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()

    wait_for(lambda: not [child for child in children if alive(child)], "the children's end", 5.0)


def test_master_killed_takes_a_worker_along_that_still_starts(start: Start, tmp_path: Path) -> None:
    """
    Its loop does not turn yet.
    """
    write_app(tmp_path, "import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(600)\n")
    server = start("main:app", "--port", "0", "--workers", "1")
    wait_for((tmp_path / "importing").exists, "the app to be imported")
    children = server.children()
    assert len(children) == 2

    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()

    wait_for(lambda: not [child for child in children if alive(child)], "the children's end", 5.0)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_master_killed_takes_a_blocked_worker_along(start: Start, tmp_path: Path, is_restarted: bool) -> None:
    """
    It reads nothing any more, so the kernel has to end it, whichever image has forked it.
    """
    write_app(tmp_path, BLOCKING)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    if is_restarted:
        server.signal(signal.SIGUSR2)
        server.wait_generation(2, workers=1)
    children = server.children()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_status(
            lambda status: status["workers"][0]["state"] == "suspect", "the loop to be blocked"
        )

        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()

        wait_for(lambda: not [child for child in children if alive(child)], "the children's end", 5.0)


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_clients_are_refused_once_a_stop_has_emptied_the_queues(start: Start, tmp_path: Path) -> None:
    """
    A balancer in front learns at once that it must go elsewhere, while the last answers are still made.
    """
    write_app(tmp_path, SLOW)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    answers: list[bytes] = []
    client = threading.Thread(target=lambda: answers.append(server.get("/slow")[1]))
    client.start()
    server.wait_status(
        lambda status: sum(worker["connections"] for worker in status["workers"]) == 1, "the connection"
    )

    server.signal(signal.SIGTERM)

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_for(refused, "a refusal")
    assert not answers, "the slow request was to be still in flight"
    (tmp_path / "go").touch()
    client.join()
    assert answers == [b"done"]
    assert server.wait_exit() == 0


def test_connection_that_never_asks_does_not_hold_up_a_stop(start: Start) -> None:
    """
    Browsers open connections ahead of need; the header timeout is too long to wait for those.
    """
    server = start("--port", "0", "--workers", "1", "--timeout-request-header", "60").wait_serving()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        server.wait_status(lambda status: status["workers"][0]["connections"] == 1, "the connection")

        server.signal(signal.SIGTERM)

        assert server.wait_exit(10.0) == 0
        client.settimeout(5.0)
        assert client.recv(1) == b""


def test_term_to_one_worker_drains_and_replaces_it(start: Start, tmp_path: Path) -> None:
    """
    An operator may send a single worker away; its shards go to its sibling at once.
    """
    write_app(tmp_path, SLOW)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    victim = server.status()["workers"][0]["pid"]

    os.kill(victim, signal.SIGTERM)

    status = server.wait_status(
        lambda status: (
            victim not in {worker["pid"] for worker in status["workers"]}
            and [worker["state"] for worker in status["workers"]] == ["ready"] * 2
        ),
        "a replacement",
    )
    assert status["worker_restarts"] == {"term": 1}
    assert server.get("/")[0] == 200
