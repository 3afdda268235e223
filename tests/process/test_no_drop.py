"""
Nothing is refused, reset or unanswered while workers are replaced, and the numbers stay right.
"""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.harness import Server, write_app
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


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_no_connection_is_lost_over_many_restarts(start: Start, tmp_path: Path) -> None:
    """
    The promise, in full: 20 reloads and 10 hot restarts at 500 new connections a second.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()

    roll_under_load(server, reloads=20, hot_restarts=10, rate=500)
