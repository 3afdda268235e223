"""Ports for servers that are slow to take theirs."""

import itertools
import socket

import pytest
from bench import server


def test_no_port_is_given_twice() -> None:
    """
    Two servers that start at once would meet on it.
    """
    assert len({server.free_port() for _ in range(20)}) == 20


def test_no_port_is_given_while_somebody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever has it need not be ours.
    """
    taken, free = server.free_port(), server.free_port()
    monkeypatch.setattr(server, "_ports", itertools.cycle([taken, free]))
    with socket.create_server(("127.0.0.1", taken)):
        assert server.free_port() == free
    monkeypatch.setattr(server, "_ports", itertools.cycle([taken]))
    assert server.free_port() == taken
