"""Blocks are written whole and in order, wherever they go and whoever reads them."""

import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.writer import Writer, pieces
from penstock.worker.limits import ACCESS_LINE_BYTES_MAX, ACCESS_UNWRITTEN_BYTES_MAX

DEADLINE_S = 20.0


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.001)


def block(*lines: str) -> tuple[bytes, int]:
    return "".join(f"{line}\n" for line in lines).encode(), len(lines)


@given(st.lists(st.integers(0, ACCESS_LINE_BYTES_MAX - 1), max_size=20))
def test_pieces_are_whole_lines_that_fit(sizes: list[int]) -> None:
    """
    And together they are the block.
    """
    whole = b"".join(b"x" * size + b"\n" for size in sizes)
    cut = list(pieces(whole, is_file=False))
    assert b"".join(cut) == whole
    assert all(len(piece) <= ACCESS_LINE_BYTES_MAX for piece in cut)
    assert all(piece.endswith(b"\n") for piece in cut if piece)
    assert list(pieces(whole, is_file=True)) == [whole]


def test_file_gets_all_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = Writer(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    for number in range(500):
        writer.write(*block(f"{number} a", f"{number} b"))
    until(lambda: not writer.unwritten_lines)
    assert path.read_text().splitlines() == [f"{number} {each}" for number in range(500) for each in "ab"]
    assert writer.lost_lines == 0


def test_swap_loses_nothing(tmp_path: Path) -> None:
    """
    What is handed over after it is in the new file, and no line in neither.
    """
    paths = [tmp_path / str(number) for number in range(5)]
    opened = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in paths]
    writer = Writer(opened[0])
    lines = [str(number) for number in range(1000)]
    for number, line in enumerate(lines):
        if number % 200 == 0 and number:
            writer.swap(opened[number // 200])
        writer.write(*block(line))
    until(lambda: not writer.unwritten_lines)
    assert [line for path in paths for line in path.read_text().splitlines()] == lines
    assert "999" in paths[-1].read_text()
    for fd in opened[:-1]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


@pytest.mark.parametrize("has_written", [True, False])
def test_swap_lets_go_of_the_old_file_at_once(tmp_path: Path, has_written: bool) -> None:
    """
    Also when there is nothing to write: a file that was rotated is to be free when it is removed.
    """
    opened = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("old", "new")]
    writer = Writer(opened[0])
    if has_written:
        writer.write(*block("line"))
    writer.swap(opened[1])
    until(lambda: not is_open(opened[0]))
    writer.write(*block("after"))
    until(lambda: not writer.unwritten_lines)
    written = [(tmp_path / name).read_text() for name in ("old", "new")]
    assert "".join(written) == ("line\nafter\n" if has_written else "after\n")
    assert written[1].endswith("after\n")


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("is_blocking", [True, False])
def test_reader_that_does_not_read_blocks_nobody(is_blocking: bool) -> None:
    """
    The writer says that it is full, and goes on when the pipe is read; also one that was made non-blocking.
    """
    reader, fd = os.pipe()
    if not is_blocking:
        os.set_blocking(fd, False)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
    writer = Writer(fd)
    lines = 0
    while writer.has_room:
        writer.write(*block(*(["x" * 1000] * 100)))
        lines += 100
    assert writer.unwritten_lines > 0
    assert ACCESS_UNWRITTEN_BYTES_MAX <= lines * 1001 < 2 * ACCESS_UNWRITTEN_BYTES_MAX
    received = b""
    while received.count(b"\n") < lines:
        received += os.read(reader, 65536)
    assert received == (b"x" * 1000 + b"\n") * lines
    until(lambda: not writer.unwritten_lines)
    assert writer.has_room
    os.close(reader)


def test_lines_that_cannot_be_written_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """
    A reader that is gone costs lines, and one message a minute.
    """
    reader, fd = os.pipe()
    os.close(reader)
    writer = Writer(fd)
    for _ in range(10):
        writer.write(*block("a", "b"))
    until(lambda: not writer.unwritten_lines)
    assert writer.lost_lines == 20
    assert caplog.text.count("access log: Broken pipe; lines are lost") == 1


def test_full_disk_tears_one_line_at_most(tmp_path: Path) -> None:
    """
    What is written once there is room begins a line of its own.
    """
    path = tmp_path / "log"
    writer = Writer(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (25, before[1]))
        writer.write(*block("0123456789", "0123456789", "0123456789"))
        until(lambda: not writer.unwritten_lines)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.write(*block("after"))
        until(lambda: not writer.unwritten_lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "0123456789\n0123456789\n012\nafter\n"
    assert writer.lost_lines == 1


def test_sockets_are_written_to_in_pieces() -> None:
    """
    The journal's standard output is one.
    """
    ours, theirs = socket.socketpair()
    writer = Writer(theirs.detach())
    writer.write(*block(*(["x" * 100] * 1000)))
    received = b""
    while received.count(b"\n") < 1000:
        received += ours.recv(65536)
    assert received == (b"x" * 100 + b"\n") * 1000
    ours.close()
