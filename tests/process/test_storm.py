"""
Orders and accidents at random, one on top of the other, under clients of every kind.

Nobody waits for an outcome before the next comes. Workers that serve are not
killed here, so nothing at all may be lost. Prints its seed when it fails.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from tests.process.belongings import settled_belongings, wait_unchanged
from tests.process.harness import Server, wait_for, write_app
from tests.process.mixture import COUNTING_APP, Mixture
from tests.process.test_orders import order

Start = Callable[..., Server]

SIGNALS = [signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1]


def storm(server: Server, seed: int, blows: int) -> Mixture:
    """Strike so many times; then wait for calm, and look what is left."""
    chance = Random(seed)
    server.wait_generation(1, workers=2)
    before, asked = settled_belongings(server), server.metric("penstock_requests_total")
    with Mixture(server.port, lasting=30, pipelining=3, slow=5, fleeting=6) as clients:
        told = f"seed {seed}"
        for _ in range(blows):
            told += f", {strike(server, chance)}"
            until = clients.total + chance.choice([0, 0, 10, 100, 400])
            wait_for(partial(has_come_to, clients, until), f"requests after {told}", 60.0)
            assert not clients.lost, f"{told}: {clients.lost}\n{server.output()}"
        calm_down(server)
    assert not clients.lost, f"{told}: {clients.lost}\n{server.output()}"
    assert server.metric("penstock_requests_total") - asked == clients.total, told
    assert server.status()["master"]["pid"] == server.pid
    wait_unchanged(server, before)
    return clients


def has_come_to(clients: Mixture, count: int) -> bool:
    return clients.total >= count or bool(clients.lost)


def strike(server: Server, chance: Random) -> str:
    """Do one thing to the server, and tell which."""
    if chance.random() < 0.75:
        number = chance.choice(SIGNALS)
        server.signal(number)
        return number.name
    kind, victims = chance.choice([("admin", admins), ("booting worker", booting), ("check", checks)])
    killed = [pid for pid in victims(server) if kill(pid)]
    return f"{len(killed)} {kind} killed"


def kill(pid: int) -> bool:
    """End a process, unless it has ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def titled(server: Server) -> dict[int, str]:
    """Name the children by their titles."""
    found = {}
    for child in psutil.Process(server.pid).children():
        with suppress(psutil.NoSuchProcess, IndexError):
            found[child.pid] = child.cmdline()[0]
    return found


def admins(server: Server) -> list[int]:
    return [pid for pid, title in titled(server).items() if title.startswith("penstock: admin")]


def checks(server: Server) -> list[int]:
    return [pid for pid, title in titled(server).items() if not title.startswith("penstock:")]


def booting(server: Server) -> list[int]:
    """List the workers that boot; such as a status that is a moment old says may be ready by now."""
    return [worker["pid"] for worker in asked(server).get("workers", []) if is_young(worker, server.output())]


def is_young(worker: dict[str, Any], output: str) -> bool:
    """Whether it boots, and has said nothing else."""
    return worker["state"] == "starting" and f"worker {worker['pid']} " not in output


def asked(server: Server) -> dict[str, Any]:
    """Read the status; whoever answers may have been killed a moment ago."""
    try:
        return server.status()
    except (OSError, ValueError):
        return {}


def calm_down(server: Server) -> None:
    """Wait until nothing is on its way any more, and have two workers of one generation."""
    wait_for(
        lambda: (
            (status := asked(server))
            and status["master"]["state"] == "running"
            and all(operation["state"] != "running" for operation in status["operations"])
        ),
        "calm",
        60.0,
    )
    for words in (("scale", "2"), ("reload",)):
        completed = order(server, *words)
        assert completed.returncode == 0, f"{completed.stderr}\n{server.output()}"
    server.wait_status(lambda status: len(status["workers"]) == 2, "two workers")


@pytest.mark.parametrize("seed", [1, 2])
def test_short_storm_costs_nothing(start: Start, tmp_path: Path, seed: int) -> None:
    """
    A dozen blows.
    """
    write_app(tmp_path, COUNTING_APP)
    storm(start("main:app", "--port", "0", "--workers", "2").wait_serving(), seed, blows=12)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10, 14))
def test_long_storm_costs_nothing(start: Start, tmp_path: Path, seed: int) -> None:
    """
    And many of them.
    """
    write_app(tmp_path, COUNTING_APP)
    clients = storm(start("main:app", "--port", "0", "--workers", "2").wait_serving(), seed, blows=80)
    print(f"answered: {dict(clients.answered)}")
