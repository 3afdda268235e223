"""The floors do what their scenarios ask: what all others are divided by had better work."""

import socket
import sys
import tempfile
from pathlib import Path

import pytest
from bench import peers
from bench.answers import is_whole
from bench.scenario import Scenario, all_scenarios
from bench.server import free_port, running

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
LAST = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
ANSWER_S = 10.0

FLOORS = [
    pytest.param(peer, scenario, id=f"{peer.name}-{scenario.name}")
    for peer in peers.PEERS
    if peer.program == Path(sys.executable).name
    for scenario in all_scenarios().values()
    if scenario.work.origin is None
    if peer.command(scenario.work, peers.Place(port=1, folder=Path())) is not None
]


@pytest.mark.parametrize(("peer", "scenario"), FLOORS)
def test_a_floor_answers_and_closes_when_asked(peer: peers.Peer, scenario: Scenario) -> None:
    """
    A base that fails at its work makes all others look good.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = peers.Place(port=free_port(), folder=Path(folder))
        words = peer.words(scenario.work, place)
        assert words is not None
        with (
            running(words, place.port, cwd=LOADTEST) as server,
            socket.create_connection(("127.0.0.1", place.port), timeout=ANSWER_S) as client,
        ):
            for _ in range(2):
                client.sendall(REQUEST)
                assert answer(client).startswith(b"HTTP/1.1 200")
            if scenario.name == "connect":
                client.sendall(LAST)
                assert b"connection: close" in answer(client).lower()
                assert client.recv(1) == b""
            assert server.log.read_text() == ""


def answer(client: socket.socket) -> bytes:
    """Read one whole answer."""
    received = b""
    while not is_whole(received):
        part = client.recv(1 << 20)
        assert part, received
        received += part
    return received
