"""Asking processes what they are doing: real ones, and what is made of their answers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from penstock.master.stacks import (
    ANSWER_CHARS_MAX,
    ANSWER_S,
    ASK_S,
    IS_GONE,
    IS_IN_C,
    IS_MUTE,
    Move,
    Process,
    Stacks,
    answer_of,
    next_move,
    parse_process,
    read_process,
)
from penstock.worker.stacks import ASK, DUMP, END, create_stack_file
from tests.process.harness import wait_for

WITNESS = """
import sys, time
from penstock.worker.stacks import Witness
Witness({fd}).stand_by()
def outer():
    print("ready", flush=True)
    {body}
outer()
"""

Start = Callable[[str], int]


@pytest.fixture
def fds() -> Iterator[dict[int, int]]:
    fds: dict[int, int] = {}
    yield fds
    for fd in fds.values():
        os.close(fd)


@pytest.fixture
def start(fds: dict[int, int]) -> Iterator[Start]:
    """Start a process that is a witness and then does something."""
    processes: list[subprocess.Popen[bytes]] = []

    def starting(body: str) -> int:
        fd = create_stack_file()
        code = WITNESS.format(fd=fd, body=body)
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd]
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        fds[process.pid] = fd
        return process.pid

    yield starting
    for process in processes:
        process.kill()
        process.communicate()


def answer(stacks: Stacks, pid: int) -> str:
    """Ask, and look as often as the master would."""
    answers: list[str] = []
    stacks.ask(pid, time.monotonic(), answers.append)

    def answered() -> bool:
        stacks.tick(time.monotonic())
        return bool(answers)

    wait_for(answered, "an answer", 10.0)
    return answers[0]


@pytest.mark.parametrize(
    "body",
    ["time.sleep(60)", "while True: pass", "import threading; threading.Event().wait()", "sys.stdin.read()"],
    ids=["sleep", "loop", "lock", "read"],
)
def test_python_code_answers_wherever_it_is_blocked(
    fds: dict[int, int], start: Start, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    In its own words, and it goes on as if nothing had been. However long a busy machine keeps it waiting.
    """
    monkeypatch.setattr("penstock.master.stacks.ASK_S", 8.0)
    monkeypatch.setattr("penstock.master.stacks.ANSWER_S", 9.0)
    pid = start(body)
    stacks = Stacks(fds)

    for _ in range(2):
        text = answer(stacks, pid)
        assert text.startswith("Main thread (most recent call first):\n")
        assert "in outer" in text
        assert "Requests in flight: 0" in text
        assert END not in text
    assert stacks.deadline_s == float("inf")


def test_c_code_that_never_comes_back_is_dumped(fds: dict[int, int], start: Start) -> None:
    """
    It holds up the interpreter; faulthandler needs none.
    """
    pid = start("import hashlib; hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)")

    stacks = Stacks(fds)
    texts: list[str] = []

    def is_in_c() -> bool:
        texts.append(answer(stacks, pid))
        return texts[-1].startswith(IS_IN_C)

    wait_for(is_in_c, "a dump: at first it may not have come so far")
    assert "in outer" in texts[-1]


def test_stopped_process_is_said_to_be(fds: dict[int, int], start: Start) -> None:
    """
    It gets no signal that it could answer; when it goes on it is not flooded with what it missed.
    """
    pid = start("time.sleep(60)")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: (process := read_process(pid)) is not None and process.is_stopped, "the stop")
    stacks = Stacks(fds)

    assert "stopped (state T)" in answer(stacks, pid)

    os.kill(pid, signal.SIGCONT)
    assert "in outer" in answer(stacks, pid)


def test_no_signal_is_sent_to_a_process_without_a_handler(fds: dict[int, int]) -> None:
    """
    It would end it: one that was just forked, or of another release.
    """
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    fds[process.pid] = create_stack_file()

    assert answer(Stacks(fds), process.pid) == IS_MUTE
    assert answer(Stacks({}), process.pid) == IS_MUTE

    process.communicate(b"\n")
    assert process.returncode == 0
    assert answer(Stacks(fds), process.pid) == IS_GONE


def test_two_who_ask_at_once_get_one_answer_each(fds: dict[int, int], start: Start) -> None:
    """
    The second joins the first: there is one file.
    """
    pid = start("time.sleep(60)")
    stacks = Stacks(fds)
    answers: list[str] = []
    stacks.ask(pid, time.monotonic(), answers.append)

    assert answer(stacks, pid) == answers[0]


def test_worker_that_dies_over_its_answer_is_told_of(fds: dict[int, int], start: Start) -> None:
    """
    The file is closed by then, and its number may be another's.
    """
    pid = start("time.sleep(60)")
    stacks = Stacks(fds)
    answers: list[str] = []
    stacks.ask(pid, time.monotonic(), answers.append)
    os.close(fds.pop(pid))

    stacks.tick(time.monotonic() + 1.0)

    assert answers == [IS_GONE]


def test_file_cannot_grow() -> None:
    """
    Whatever writes to it.
    """
    fd = create_stack_file()
    size = os.fstat(fd).st_size
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", size)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, size * 2)
    os.close(fd)


def test_order_of_moves() -> None:
    """
    First the kind way, then the hard one, and after a second whatever there is.
    """

    def move(waited_s: float, text: str = "", before: str = "", is_dumped: bool = False) -> Move:
        return next_move(waited_s=waited_s, is_dumped=is_dumped, text=text, text_before=before)

    assert move(0.0) is Move.WAIT
    assert move(0.0, f"a\n{END}\n") is Move.TELL
    assert move(ASK_S) is Move.DUMP
    assert move(ASK_S, is_dumped=True) is Move.WAIT
    assert move(ASK_S, "Thread", "Thr", is_dumped=True) is Move.WAIT
    assert move(ASK_S, "Thread", "Thread", is_dumped=True) is Move.TELL
    assert move(ANSWER_S, is_dumped=True) is Move.TELL


def test_answers_are_bounded_and_harmless_to_a_terminal() -> None:
    """
    Paths and requests in them are somebody else's words.
    """
    assert answer_of(f"old\n{END}\nnew \x1b[2J\n{END}\n", None) == "new ?[2J"
    assert answer_of("Thread\x00\n", None) == f"{IS_IN_C}Thread?"
    whole = answer_of("x" * 100_000 + f"\n{END}\n", None)
    assert len(whole) == ANSWER_CHARS_MAX
    in_c = answer_of("x" * 100_000 + "main", None)
    assert len(in_c) == ANSWER_CHARS_MAX
    assert in_c.endswith("xmain"), "in C the main thread comes last"


@pytest.mark.parametrize(
    ("state", "told"), [("D", "waits in the kernel"), ("t", "is stopped (state t)"), ("R", "in state R")]
)
def test_silence_is_explained_by_the_state_of_the_process(state: str, told: str) -> None:
    """
    As far as the kernel knows.
    """
    assert told in answer_of("", Process(state, 0))


def test_status_of_a_process_is_read() -> None:
    """
    A name may hold anything.
    """
    status = "Name:\tState:\tT\nState:\tS (sleeping)\nSigCgt:\t000000c000000000\n"
    process = parse_process(status)
    assert process == Process("S", 0xC000000000)
    assert process.catches(ASK)
    assert process.catches(DUMP)
    assert not process.catches(signal.SIGTERM)
    assert parse_process("Name:\tx\nState:\tZ (zombie)\n") is None
    assert parse_process("") is None
