"""What a worker writes of itself when it is asked."""

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.worker.http.exchange import Exchange
from penstock.worker.http.phases import STREAMING, WAITING
from penstock.worker.limits import STACK_FILE_BYTES, STACK_PATH_CHARS_MAX, STACK_REQUESTS_MAX
from penstock.worker.stacks import ASK, DUMP, END, Witness, create_stack_file, request_line


@pytest.fixture
def fd() -> Iterator[int]:
    fd = create_stack_file()
    yield fd
    os.close(fd)


@pytest.fixture
def witness(fd: int) -> Iterator[Witness]:
    import faulthandler  # noqa: PLC0415

    witness = Witness(fd)
    before = signal.getsignal(ASK)
    witness.stand_by()
    yield witness
    signal.signal(ASK, before)
    faulthandler.unregister(DUMP)


def written(fd: int) -> str:
    return os.pread(fd, os.lseek(fd, 0, os.SEEK_CUR), 0).decode()


def exchange(path: str = "/", age_s: float = 1.0, phase: int = WAITING, body: bytes = b"") -> Exchange:
    """Stand in for one that would need a connection, which the process tests have."""
    transport = SimpleNamespace(get_write_buffer_size=lambda: 7)
    return cast(
        "Exchange",
        SimpleNamespace(
            scope={"method": "GET"},
            asked=(path.encode("latin-1"), b"token=secret", []),
            age_s=age_s,
            phase=phase,
            inbox=SimpleNamespace(body=body),
            connection=SimpleNamespace(transport=transport),
        ),
    )


def test_answer_has_the_stacks_of_all_threads(witness: Witness, fd: int) -> None:
    """
    Each with its name; the interrupted one first.
    """
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait, name="sleepy")
    thread.start()

    signal.raise_signal(ASK)

    leave.set()
    thread.join()
    text = written(fd)
    assert "test_answer_has_the_stacks_of_all_threads" in text.split("Requests in flight: 0")[0]
    assert "Thread sleepy (most recent call first):" in text
    assert text.endswith(f"\n{END}\n")


def test_dump_has_the_stacks_without_the_interpreter(witness: Witness, fd: int) -> None:
    """
    It is written by a handler in C.
    """
    signal.raise_signal(DUMP)

    assert "in test_dump_has_the_stacks_without_the_interpreter" in written(fd)


def test_many_requests_are_cut_and_the_oldest_come_first(witness: Witness, fd: int) -> None:
    """
    The one that blocks is hardly the youngest.
    """
    witness.exchanges = lambda: [exchange(f"/{age}", age) for age in range(1000)]

    signal.raise_signal(ASK)

    text = written(fd)
    assert "Requests in flight: 1000\n  GET /999, 999.000 s, no response yet\n  GET /998" in text
    assert text.count("GET /") == STACK_REQUESTS_MAX
    assert f"and {1000 - STACK_REQUESTS_MAX} more" in text


def test_whatever_goes_wrong_harms_nobody(witness: Witness, fd: int) -> None:
    """
    The handler runs in the middle of somebody else's code, which would get the exception.
    """

    def broken() -> list[Exchange]:
        raise RuntimeError("half made")

    witness.exchanges = broken
    signal.raise_signal(ASK)
    witness.exchanges = list
    os.lseek(fd, STACK_FILE_BYTES, os.SEEK_SET)
    signal.raise_signal(ASK)
    signal.raise_signal(DUMP)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "GET /, 1.000 s, no response yet"),
        ({"path": "/a\x1b[2J\n"}, "GET /a?[2J?, 1.000 s, no response yet"),
        ({"body": b"xy"}, "GET /, 1.000 s, no response yet, 2 bytes of its body not taken"),
        ({"phase": STREAMING}, "GET /, 1.000 s, response under way, 7 bytes not sent"),
        (
            {"path": "/" + "x" * 500},
            f"GET /{'x' * (STACK_PATH_CHARS_MAX - 1)}..., 1.000 s, no response yet",
        ),
    ],
)
def test_request_line_is_short_and_holds_no_query(given: dict[str, Any], line: str) -> None:
    """
    Queries hold tokens, and logs are read by many.
    """
    assert request_line(exchange(**given)) == line
