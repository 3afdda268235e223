"""Workers that are replaced for use, age and size, and by name, under clients that never look for a FIN."""

import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.process.harness import Server, run_penstock, wait_for, write_app
from tests.process.test_idle_connections import REQUEST, WHO, Talk, lasting, pids
from tests.process.traffic import OneShotClients

Start = Callable[..., Server]

# Each request of /grow adds what stays resident.
GROWS = """
kept = []

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/grow":
        kept.append(bytearray(b"x" * 2**24))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"grown"})
"""
WAITS_FOR_GO = """
import os, time
open("importing", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
"""


def order(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return run_penstock(words[0], "--control", str(server.control), *words[1:], cwd=server.control.parent)


def ready_count(status: dict[str, Any]) -> int:
    return len([worker for worker in status["workers"] if worker["state"] == "ready"])


def pid_of(server: Server, slot: int) -> int:
    (pid,) = [each["pid"] for each in server.status()["workers"] if each["slot"] == slot]
    return int(pid)


def test_workers_are_replaced_by_requests_and_no_request_is_lost(start: Start, tmp_path: Path) -> None:
    """
    The clients keep their connections; only who answers on them changes.
    """
    write_app(tmp_path, WHO)
    options = ("--limit-max-requests", "150", "--limit-max-requests-jitter", "30")
    server = start("main:app", "--port", "0", "--workers", "2", *options).wait_serving()
    first = pids(server)
    with lasting(("127.0.0.1", server.port), 12) as clients:
        with Talk(clients) as talk, OneShotClients(server.port, rate=50) as others:

            def replaced_often() -> bool:
                assert not talk.failures, f"{talk.failures}\n{server.output()}"
                status = server.status()
                assert ready_count(status) >= 2
                return bool(status["worker_restarts"].get("max_requests", 0) >= 5)

            wait_for(replaced_often, "five replacements", 60.0)
        assert not talk.failures, f"{talk.failures}\n{server.output()}"
        assert others.outcomes.keys() == {"200"}, others.outcomes
        assert not first & pids(server)
        assert {client.ask() for client in clients} <= pids(server)
        assert server.metric("penstock_connections_total") == 12 + others.outcomes["200"]
        assert server.metric("penstock_requests_total") == 12 + talk.count + 12 + others.outcomes["200"]
    assert server.status()["worker_restarts"].keys() == {"max_requests"}
    assert server.metric("penstock_worker_restarts_total", reason="max_requests") >= 5


def test_workers_are_replaced_by_age_one_at_a_time(start: Start, tmp_path: Path) -> None:
    """
    Never fewer than there are to be, never two successors at once; a limit that a reload brings holds too.
    """
    write_app(tmp_path, WHO)
    text = "workers: 2\n{}listeners: [{{bind: '127.0.0.1:0', routes: [{{app: 'main:app'}}]}}]\n"
    (tmp_path / "p.yaml").write_text(text.format(""))
    server = start("-c", "p.yaml").wait_serving()
    (tmp_path / "p.yaml").write_text(text.format("recycle: {lifetime: 1s}\n"))
    assert order(server, "reload").returncode == 0
    seen = pids(server)

    def replaced_often() -> bool:
        status = server.status()
        assert ready_count(status) >= 2
        assert len(status["workers"]) <= 3
        seen.update(worker["pid"] for worker in status["workers"])
        return bool(status["worker_restarts"].get("lifetime", 0) >= 4)

    wait_for(replaced_often, "four replacements")
    assert len(seen) >= 6
    assert server.status()["worker_restarts"] == {"roll": 2} | {
        "lifetime": server.status()["worker_restarts"]["lifetime"]
    }


def test_worker_that_grows_is_replaced(start: Start, tmp_path: Path) -> None:
    """
    Its memory goes back to the machine, and nothing else happens.
    """
    write_app(tmp_path, GROWS)
    server = start("main:app", "--port", "0", "--workers", "1", "--workers-max-rss", "160MiB").wait_serving()
    (before,) = pids(server)

    for _ in range(9):
        assert server.get("/grow")[0] == 200

    status = server.wait_status(
        lambda status: status["worker_restarts"] == {"max_rss": 1} and len(status["workers"]) == 1,
        "the replacement",
    )
    assert status["workers"][0]["pid"] != before
    assert status["workers"][0]["rss_bytes"] < 160 * 2**20
    assert server.get("/")[1] == b"grown"


def test_memory_limit_that_no_worker_keeps_does_not_spin(start: Start, tmp_path: Path) -> None:
    """
    Each is replaced once; then it is said, once, and they are kept for a minute.
    """
    server = start("--port", "0", "--workers", "2", "--workers-max-rss", "16MiB").wait_serving()

    server.wait_status(
        lambda status: status["worker_restarts"] == {"max_rss": 2} and len(status["workers"]) == 2,
        "one replacement on each slot",
    )
    wait_for(lambda: "recycle.max_rss 16MiB is less than" in server.output(), "the warning")

    assert server.status()["worker_restarts"] == {"max_rss": 2}
    assert server.output().count("recycle.max_rss") == 1
    assert server.output().count(": ready, generation 1") == 4
    assert server.get("/whoami")[0] == 200


def test_recycle_replaces_the_worker_of_one_slot(start: Start, tmp_path: Path) -> None:
    """
    And tells by whom; the other one stays, and connections go on.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    stays, leaves = pid_of(server, 0), pid_of(server, 1)
    with lasting(("127.0.0.1", server.port), 10) as clients, Talk(clients) as talk:
        talk.wait_more(20)
        result = order(server, "recycle", "1")
        talk.wait_more(20)
        assert not talk.failures, f"{talk.failures}\n{server.output()}"

    told = f"worker {leaves} of slot 1 was replaced by {pid_of(server, 1)}\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, told, "")
    assert pids(server) == {stays, pid_of(server, 1)}
    assert server.status()["worker_restarts"] == {"recycle": 1}


def test_connections_queued_on_stopped_workers_are_served_by_their_successors(
    start: Start, tmp_path: Path
) -> None:
    """
    They wait in the queues of shards that nobody closes, some with their request and some without.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    before = pids(server)
    stopped = [psutil.Process(pid) for pid in before]
    for worker in stopped:
        worker.suspend()
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(200)]
    for client in clients[::2]:
        client.sendall(REQUEST)
    with ThreadPoolExecutor() as pool:
        orders = [pool.submit(order, server, "recycle", slot) for slot in ("0", "1")]
        try:
            for client in clients[1::2]:
                client.sendall(REQUEST)
            for client in clients:
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
                client.close()
        finally:
            for worker in stopped:
                worker.resume()
        for each in orders:
            assert each.result().returncode == 0, each.result().stderr
    assert not before & pids(server)


def test_recycle_of_a_slot_that_is_not_there_says_which_are(start: Start) -> None:
    server = start("--port", "0", "--workers", "2").wait_serving()

    result = order(server, "recycle", "2")

    assert (result.returncode, result.stdout) == (1, "")
    assert "there is no slot 2: there is slot 0 to 1" in result.stderr


def test_recycle_with_code_that_does_not_start_fails_and_the_worker_stays(
    start: Start, tmp_path: Path
) -> None:
    """
    Nothing goes on behind the back of whoever was told that it failed.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    (before,) = pids(server)
    write_app(tmp_path, "raise RuntimeError('oops')")

    result = order(server, "recycle", "0")

    assert (result.returncode, result.stdout) == (1, "")
    assert "the next worker of slot 0 does not start" in result.stderr
    assert "oops" in result.stderr
    write_app(tmp_path, WHO)
    assert order(server, "scale", "2").returncode == 0
    assert pid_of(server, 0) == before
    assert order(server, "recycle", "0").returncode == 0
    assert pid_of(server, 0) != before


def test_recycle_that_a_roll_overtakes_is_done_with_it(start: Start, tmp_path: Path) -> None:
    """
    The worker is gone either way.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    leaves = pid_of(server, 1)
    write_app(tmp_path, WAITS_FOR_GO + WHO)
    with ThreadPoolExecutor() as pool:
        recycle = pool.submit(order, server, "recycle", "1")
        wait_for((tmp_path / "importing").exists, "the successor")
        reload = pool.submit(order, server, "reload")
        server.wait_status(lambda status: status["master"]["state"] == "rolling", "the roll")
        (tmp_path / "go").touch()

        assert reload.result().returncode == 0, reload.result().stderr
        assert recycle.result().returncode == 0, recycle.result().stderr
        assert f"worker {leaves} of slot 1 was replaced by {pid_of(server, 1)}" in recycle.result().stdout


def test_recycle_over_a_hot_restart_is_done_too(start: Start, tmp_path: Path) -> None:
    """
    The new code ends what the old one has begun.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    (leaves,) = pids(server)
    write_app(
        tmp_path,
        "import os, time\nwhile not os.path.exists('go') and os.getppid() == "
        f"{server.pid} and open('importing', 'w'):\n    time.sleep(0.01)\n" + WHO,
    )
    with ThreadPoolExecutor() as pool:
        recycle = pool.submit(order, server, "recycle", "0")
        wait_for((tmp_path / "importing").exists, "the successor")
        write_app(tmp_path, WHO)
        upgrade = pool.submit(order, server, "upgrade")

        assert upgrade.result().returncode == 0, upgrade.result().stderr
        assert recycle.result().returncode == 0, recycle.result().stderr
        assert recycle.result().stdout.startswith(f"worker {leaves} of slot 0 was replaced by ")


def test_stop_fails_a_recycle_that_is_under_way(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    write_app(tmp_path, WAITS_FOR_GO + WHO)
    with ThreadPoolExecutor() as pool:
        recycle = pool.submit(order, server, "recycle", "0")
        wait_for((tmp_path / "importing").exists, "the successor")
        assert server.stop() == 0

        assert recycle.result().returncode == 1
        assert "stop" in recycle.result().stderr
