"""A slot whose workers keep dying: what it costs, what can be seen of it, and that the others serve."""

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from penstock.master.backoff import CRASH_LOOP_FAILURES, FIRST_DELAY_S
from tests.process.harness import Server, run_penstock, wait_for, write_app
from tests.process.test_idle_connections import WHO, Talk, lasting, pids
from tests.process.test_recycling import pid_of

Start = Callable[..., Server]

# While there is a file `crash`, workers of slot 0 die: soon after they are ready, or when they are asked to.
CRASHES = """
import asyncio, os
from penstock.worker.identity import identity

def is_sick(mode):
    try:
        return identity().slot == 0 and open("crash").read() == mode
    except FileNotFoundError:
        return False

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        if is_sick("timer"):
            asyncio.get_running_loop().call_later(0.1, os._exit, 7)
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/crash" and is_sick("request"):
        os._exit(7)
    await who(scope, receive, send)
""" + WHO.replace("async def app", "async def who")


def spawns_on(server: Server, slot: int) -> int:
    """Count the workers of a slot that have got as far as to serve."""
    return server.output().count(f"(slot {slot}): ready")


def spawns_max(elapsed_s: float) -> int:
    """Count the workers that can have been started in this time, with pauses that double."""
    count, pauses_s = 2, FIRST_DELAY_S
    while pauses_s <= elapsed_s:
        count, pauses_s = count + 1, 2 * pauses_s + FIRST_DELAY_S
    return count


def test_crash_loop_of_one_slot_is_seen_and_costs_the_others_nothing(start: Start, tmp_path: Path) -> None:
    """
    It backs off, is told everywhere, and is over when a worker has lived long enough.
    """
    write_app(tmp_path, CRASHES)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    healthy = pid_of(server, 1)
    assert server.metric("penstock_worker_crash_loops") == 0
    began_s = time.monotonic()
    (tmp_path / "crash").write_text("timer")
    os.kill(pid_of(server, 0), signal.SIGKILL)

    status = server.wait_status(lambda status: status["crash_loops"], "the crash loop")

    (loop,) = status["crash_loops"]
    assert (loop["slot"], loop["failures"] >= CRASH_LOOP_FAILURES) == (0, True)
    assert loop["last_reason"] == "exited with status 7"
    assert server.metric("penstock_worker_crash_loops") == 1
    shown = re.search(r"crash loop: slot 0, (\d+) failures", show_status(server))
    assert shown is not None
    assert int(shown[1]) >= loop["failures"]
    wait_for(lambda: server.admin("/readyz")[0] == 503, "a moment without a worker on slot 0")
    server.wait_status(
        lambda status: status["crash_loops"][0]["failures"] >= CRASH_LOOP_FAILURES + 2, "two more"
    )
    detail = json.loads(server.admin("/readyz")[1])
    assert detail["crash_loops"][0]["slot"] == 0
    assert detail["crash_loops"][0]["failures"] >= CRASH_LOOP_FAILURES + 2
    assert spawns_on(server, 0) <= spawns_max(time.monotonic() - began_s)
    assert spawns_on(server, 1) == 1
    assert pid_of(server, 1) == healthy
    assert server.get("/")[0] == 200

    (tmp_path / "crash").unlink()
    server.wait_status(lambda status: not status["crash_loops"], "the end of the crash loop", 60.0)

    assert server.metric("penstock_worker_crash_loops") == 0
    assert server.admin("/readyz")[0] == 200
    assert pid_of(server, 1) == healthy
    assert "slot 0: the crash loop is over" in server.output()


def show_status(server: Server) -> str:
    return run_penstock("status", "--control", str(server.control), cwd=server.control.parent).stdout


def test_app_that_crashes_on_a_request_takes_only_its_own_worker(start: Start, tmp_path: Path) -> None:
    """
    Connections of the healthy worker go on through all of it.
    """
    write_app(tmp_path, CRASHES)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    healthy = pid_of(server, 1)
    began_s = time.monotonic()
    with lasting(("127.0.0.1", server.port), 20) as clients:
        mine = [client for client in clients if client.ask() == healthy]
        (tmp_path / "crash").write_text("request")
        with Talk(mine, threads=1) as talk:

            def crashes() -> bool:
                try:
                    server.get("/crash")
                except (OSError, http.client.HTTPException):
                    pass  # It has hit the sick one.
                return bool(server.status()["crash_loops"])

            wait_for(crashes, "a crash loop", 60.0)
            talk.wait_more(10)
            assert not talk.failures, talk.failures
        assert {client.ask() for client in mine} == {healthy}
    restarts = server.status()["worker_restarts"]
    assert restarts.keys() == {"crash"}
    assert CRASH_LOOP_FAILURES <= restarts["crash"] <= spawns_max(time.monotonic() - began_s)


def test_shards_of_a_killed_worker_are_served_before_its_replacement_is_ready(
    start: Start, tmp_path: Path
) -> None:
    """
    All of them, at once, by the sibling; and what the dead one had counted still counts.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    for _ in range(20):
        server.get()
    asked = server.metric("penstock_requests_total")
    assert asked == 20
    victim, sibling = pid_of(server, 0), pid_of(server, 1)
    write_app(tmp_path, "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n" + WHO)

    os.kill(victim, signal.SIGKILL)
    # Whoever connects at once waits for nobody's boot: the replacement does not even begin to.
    answered = {int(server.get()[1].split()[0]) for _ in range(60)}

    assert answered == {sibling}
    status = server.status()
    assert {shard["slot"] for shard in status["listeners"][0]["shards"]} == {1}
    assert [each["state"] for each in status["workers"] if each["slot"] == 0] in ([], ["starting"])
    assert server.metric("penstock_requests_total") == asked + 60
    (tmp_path / "go").touch()
    server.wait_status(
        lambda status: [each["state"] for each in status["workers"]] == ["ready", "ready"], "the replacement"
    )
    assert victim not in pids(server)
    assert server.metric("penstock_requests_total") == asked + 60


def test_first_generation_that_dies_before_it_is_ready_ends_the_server(start: Start, tmp_path: Path) -> None:
    """
    The only crash that does: nothing serves that could be kept.
    """
    write_app(tmp_path, "import os\nos._exit(7)\n")
    server = start("main:app", "--port", "0", "--workers", "2")

    assert server.wait_exit() == 3
    assert "exited with status 7 before it was ready" in server.output()
