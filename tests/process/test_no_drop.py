"""
Nothing is refused, reset or unanswered while workers are replaced, and the numbers stay right.
"""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.process.harness import Server, wait_for, write_app
from tests.process.mixture import COUNTING_APP, Mixture
from tests.process.test_orders import order
from tests.process.test_serving import HELLO
from tests.process.traffic import OneShotClients

Start = Callable[..., Server]


def roll_under_load(server: Server, reloads: int, hot_restarts: int, rate: float) -> None:
    """Replace the workers over and over while clients come at a fixed rate."""
    before = server.metric("penstock_requests_total")
    total = before
    with OneShotClients(server.port, rate) as clients:
        for generation, number in enumerate(interleaved(reloads, hot_restarts), 2):
            server.signal(number)
            server.wait_generation(generation, workers=2)
            now = server.metric("penstock_requests_total")
            assert now >= total, "a counter fell"
            total = now
    assert clients.outcomes.keys() == {"200"}, f"{clients.outcomes}\n{server.output()}"
    assert server.metric("penstock_requests_total") - before == clients.outcomes["200"]
    assert server.status()["master"]["pid"] == server.pid


def interleaved(reloads: int, hot_restarts: int) -> list[signal.Signals]:
    """Mix the two kinds as evenly as they come."""
    kinds = [(index / reloads, signal.SIGHUP) for index in range(reloads)]
    kinds += [((index + 0.5) / hot_restarts, signal.SIGUSR2) for index in range(hot_restarts)]
    return [number for _, number in sorted(kinds)]


def test_no_connection_is_lost_over_reloads_and_hot_restarts(start: Start, tmp_path: Path) -> None:
    """
    The promise, in small: new connections all along, two of each kind of restart.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    roll_under_load(server, reloads=2, hot_restarts=2, rate=200)


def change_under_mixture(
    server: Server, *, reloads: int, hot_restarts: int, scalings: int, requests: int
) -> Mixture:
    """Roll, restart and scale over and over under clients of every kind; return what they saw."""
    before = server.metric("penstock_requests_total")
    generation, aim, count = 1, 0.0, reloads + hot_restarts + scalings
    with Mixture(server.port) as clients:
        for number in mixed(reloads, hot_restarts, scalings):
            if isinstance(number, signal.Signals):
                generation += 1
                server.signal(number)
                server.wait_generation(generation, workers=2)
            else:
                scale(server, number)
                scale(server, 2)
            aim += requests / count
            wait_for(partial(reached, clients, aim), "requests", 60.0)
            assert not clients.lost, f"{clients.lost}\n{server.output()}"
    assert not clients.lost, f"{clients.lost}\n{server.output()}"
    assert clients.total >= requests
    assert server.metric("penstock_requests_total") - before == clients.total
    assert server.status()["master"]["pid"] == server.pid
    return clients


def reached(clients: Mixture, aim: float) -> bool:
    """Whether so many requests were answered, or one was lost."""
    return clients.total >= aim or bool(clients.lost)


def scale(server: Server, count: int) -> None:
    """Set the number of workers and wait until they are there, and no others."""
    completed = order(server, "scale", str(count))
    assert completed.returncode == 0, completed.stderr


def mixed(reloads: int, hot_restarts: int, scalings: int) -> list[signal.Signals | int]:
    """Mix signals and numbers of workers as evenly as they come: to every number from 1 to 8."""
    places: list[tuple[float, signal.Signals | int]] = []
    places += [(index / reloads, signal.SIGHUP) for index in range(reloads)]
    places += [((index + 0.5) / hot_restarts, signal.SIGUSR2) for index in range(hot_restarts)]
    places += [((index + 0.7) / scalings, 1 + index * 3 % 8) for index in range(scalings)]
    return [what for _, what in sorted(places, key=lambda place: place[0])]


def test_clients_of_every_kind_lose_nothing(start: Start, tmp_path: Path) -> None:
    """
    The whole promise, in small.
    """
    write_app(tmp_path, COUNTING_APP)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    clients = change_under_mixture(server, reloads=1, hot_restarts=1, scalings=1, requests=1500)

    assert set(clients.answered) == {"lasting", "pipelining", "slow", "fleeting"}


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_clients_of_every_kind_lose_nothing_over_hundred_thousand_requests(
    start: Start, tmp_path: Path
) -> None:
    """
    The whole promise, in full.
    """
    write_app(tmp_path, COUNTING_APP)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    clients = change_under_mixture(server, reloads=30, hot_restarts=15, scalings=15, requests=100_000)

    print(f"answered: {dict(clients.answered)}; told to connect anew: {clients.reconnected}")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_no_connection_is_lost_over_many_restarts(start: Start, tmp_path: Path) -> None:
    """
    The promise, in full: 20 reloads and 10 hot restarts at 500 new connections a second.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    roll_under_load(server, reloads=20, hot_restarts=10, rate=500)
