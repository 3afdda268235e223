"""
What is half done when the next thing happens: a roll, a hot restart, and whoever gets in their way.

The new code waits where the test wants it to, so that what comes next comes in the middle.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.harness import Server, wait_for, write_app
from tests.process.mixture import COUNTING_APP, Mixture
from tests.process.test_endurance import belongings
from tests.process.test_idle_connections import pids
from tests.process.test_orders import order
from tests.process.test_serving import HELLO
from tests.process.traffic import OneShotClients

Start = Callable[..., Server]

# Waits at some of its imports for a file. The first import of a hot restart is that of its check.
WAITS = """
import os, time

def is_to_wait():
    turn = 0
    while True:
        try:
            open(f"import-{turn}", "x").close()
            return %s
        except FileExistsError:
            turn += 1

def wait():
    open("arrived", "w").close()
    until_s = time.monotonic() + 60
    while not os.path.exists("go") and time.monotonic() < until_s:
        time.sleep(0.01)

if is_to_wait():
    wait()
"""

# Waits in its startup, as an app does whose database does not answer.
HANGS = """
import asyncio, os

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    open("arrived", "w").close()
    await asyncio.sleep(3600)
"""

# Where a roll or a hot restart is interrupted: by what it was begun, where it waits, the state then.
STAGES = {
    "reload": (signal.SIGHUP, "True", "rolling"),
    "check": (signal.SIGUSR2, "turn == 0", "upgrading"),
    "hot restart": (signal.SIGUSR2, "turn > 0", "rolling"),
}


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Server:
    """Serve with two workers of the first generation."""
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    server.wait_generation(1, workers=2)
    return server


def wait_arrived(server: Server, folder: Path) -> None:
    wait_for((folder / "arrived").exists, "the new code to be where it waits")
    (folder / "arrived").unlink()


@contextmanager
def halfway(server: Server, folder: Path, stage: str) -> Iterator[None]:
    """Be in the middle, under clients that come all along; let the new code go on at the end of the block."""
    number, where, state = STAGES[stage]
    write_app(folder, WAITS % where + HELLO.replace("hello", "new"))
    with OneShotClients(server.port, rate=100) as clients:
        server.signal(number)
        wait_arrived(server, folder)
        server.wait_status(lambda status: status["master"]["state"] == state, state)
        yield
        (folder / "go").touch()
        settle(server)
    assert clients.outcomes.keys() == {"200"}, f"{clients.outcomes}\n{server.output()}"


def settle(server: Server) -> dict[str, Any]:
    """Wait until nothing is under way."""
    return server.wait_status(
        lambda status: (
            status["master"]["state"] == "running"
            and [worker["state"] for worker in status["workers"]] == ["ready"] * 2
            and not any(each["state"] == "running" for each in status["operations"])
        ),
        "an end",
    )


def generations(status: dict[str, Any]) -> set[int]:
    return {worker["generation"] for worker in status["workers"]}


def wait_nothing_left(server: Server, before: dict[str, object]) -> None:
    """Wait until the master holds what it held before, and no more."""
    wait_for(lambda: belongings(server) == before, f"{before}, and not {belongings(server)}")


def candidate(server: Server, before: set[int]) -> int:
    """Find the process that the new code runs in: a worker that boots, or the check."""
    admin = server.status()["admin"]["pid"]
    found = {child.pid for child in server.children()} - before - {admin}
    assert len(found) == 1, found
    return found.pop()


@pytest.mark.parametrize(
    ("stage", "number", "generation"),
    [
        ("reload", signal.SIGHUP, 3),
        ("reload", signal.SIGUSR2, 3),
        ("check", signal.SIGHUP, 2),
        ("check", signal.SIGUSR2, 2),
        ("hot restart", signal.SIGHUP, 3),
        ("hot restart", signal.SIGUSR2, 3),
    ],
)
def test_what_comes_in_the_middle_is_done_and_leaves_nothing_behind(
    server: Server, tmp_path: Path, stage: str, number: signal.Signals, generation: int
) -> None:
    """
    A later order overtakes a roll, and is one with a check that has not read anything yet.
    """
    before = belongings(server)
    with halfway(server, tmp_path, stage):
        count = len(server.status()["operations"])
        server.signal(number)
        server.wait_status(
            lambda status: (
                # A signal that asks for what a signal has asked for already is one with it.
                len(status["operations"]) > count or "already on its way" in server.output()
            ),
            "the second order",
        )

    status = settle(server)
    assert generations(status) == {generation}
    assert {each["state"] for each in status["operations"]} == {"done"}
    assert server.get("/")[1].startswith(b"new")
    wait_nothing_left(server, before)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_candidate_is_a_failure_and_nothing_else(server: Server, tmp_path: Path, stage: str) -> None:
    """
    The kernel may kill whoever takes too much memory: the new code, as it starts. The old one serves on.
    """
    before, old = belongings(server), pids(server)
    with halfway(server, tmp_path, stage):
        os.kill(candidate(server, old), signal.SIGKILL)
        status = server.wait_status(lambda status: status["reload_failures"], "the failure")
        assert "SIGKILL" in status["master"]["last_failure"]["message"]

    assert pids(server) == old
    assert [each["state"] for each in server.status()["operations"]] == ["failed"]
    assert server.get("/")[1].startswith(b"hello")
    wait_nothing_left(server, before)
    # And the next attempt is one as any other.
    number, _, _ = STAGES[stage]
    server.signal(number)
    server.wait_status(lambda status: not pids(server) & old, "the new generation")
    settle(server)
    assert server.get("/")[1].startswith(b"new")
    wait_nothing_left(server, before)


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_in_the_middle_is_made_up_for(server: Server, tmp_path: Path, stage: str) -> None:
    """
    One of the old generation: by the roll that is to replace it anyway, or beside the check.
    """
    before = belongings(server)
    with OneShotClients(server.port, rate=50):  # Those that it had accepted are lost, so nobody counts.
        number, where, state = STAGES[stage]
        write_app(tmp_path, WAITS % where + HELLO.replace("hello", "new"))
        server.signal(number)
        wait_arrived(server, tmp_path)
        status = server.wait_status(lambda status: status["master"]["state"] == state, state)
        # The other slot's, so that the killed one is not the one that is being replaced.
        survivor, victim = (each["pid"] for each in status["workers"] if each["state"] == "ready")
        os.kill(victim, signal.SIGKILL)
        server.wait_status(
            lambda status: victim not in {worker["pid"] for worker in status["workers"]}, "its end"
        )
        assert server.get("/")[0] == 200
        assert survivor in pids(server)
        (tmp_path / "go").touch()
        status = settle(server)
    assert generations(status) == {2}
    assert [each["state"] for each in status["operations"]] == ["done"]
    wait_nothing_left(server, before)


@pytest.mark.parametrize("stage", [*STAGES, "hung startup"])
def test_term_in_the_middle_stops(server: Server, tmp_path: Path, stage: str) -> None:
    """
    At once: what boots has nothing to finish, and what is checked will not be needed.
    """
    if stage == "hung startup":
        write_app(tmp_path, HANGS)
        server.signal(signal.SIGHUP)
    else:
        number, where, _ = STAGES[stage]
        write_app(tmp_path, WAITS % where + HELLO)
        server.signal(number)
    wait_arrived(server, tmp_path)
    children = server.children()

    server.signal(signal.SIGTERM)

    assert server.wait_exit(10.0) == 0
    wait_for(lambda: not any(child.is_running() for child in children), "the children's end")
    assert not server.control.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_startup_that_hangs_is_overtaken_by_one_that_does_not(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    """
    Whoever sees that the new code does not come up need not wait for the deadline.
    """
    before, old = belongings(server), pids(server)
    write_app(tmp_path, HANGS)
    with OneShotClients(server.port, rate=100) as clients:
        server.signal(number)
        wait_arrived(server, tmp_path)
        assert {worker["pid"] for worker in server.status()["workers"] if worker["state"] == "ready"} == old
        write_app(tmp_path, HELLO.replace("hello", "new"))
        server.signal(signal.SIGHUP)
        server.wait_generation(3, workers=2)
    assert clients.outcomes.keys() == {"200"}, f"{clients.outcomes}\n{server.output()}"
    assert server.get("/")[1].startswith(b"new")
    wait_nothing_left(server, before)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_startup_that_hangs_is_given_up_at_its_deadline(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    """
    Two minutes, in which the old code serves, and after which it goes on to.
    """
    before, old = belongings(server), pids(server)
    write_app(tmp_path, HANGS)
    with OneShotClients(server.port, rate=50) as clients:
        server.signal(number)
        wait_arrived(server, tmp_path)
        server.wait_status(lambda status: status["reload_failures"], "the roll to be given up", 200.0)
        assert pids(server) == old
    assert clients.outcomes.keys() == {"200"}, f"{clients.outcomes}\n{server.output()}"
    wait_nothing_left(server, before)


ORDERS = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


@pytest.mark.parametrize("count", [6, pytest.param(80, marks=pytest.mark.soak)])
@pytest.mark.timeout(400)
def test_orders_that_come_before_the_last_one_is_done_lose_nothing(
    start: Start, tmp_path: Path, count: int
) -> None:
    """
    Nobody waits for anybody: reloads, hot restarts, more and fewer workers, under clients of every kind.
    """
    write_app(tmp_path, COUNTING_APP)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    server.wait_generation(1, workers=2)
    before, chance = belongings(server), Random(count)
    with Mixture(server.port) as clients:
        for _ in range(count):
            server.signal(chance.choice(ORDERS))
            aim = clients.total + chance.randrange(500)
            wait_for(lambda: clients.total >= aim or clients.lost, "requests", 60.0)  # noqa: B023
            assert not clients.lost, f"{clients.lost}\n{server.output()}"
        completed = order(server, "scale", "2")
        assert completed.returncode == 0, completed.stderr
        settle(server)
    assert not clients.lost, f"{clients.lost}\n{server.output()}"
    assert server.metric("penstock_requests_total") == clients.total
    assert server.status()["reload_failures"] == 0
    wait_nothing_left(server, before)
