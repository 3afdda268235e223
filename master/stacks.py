"""
Asks workers what they are doing, and reads the answers; see worker/stacks.py.

A worker writes into a memory file that it shares with the master. Nobody waits:
`tick` looks a few times, and after a second there is an answer in any case,
which says at least in which state the kernel sees the process.
"""

import enum
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.master.operations import TEXT_CHARS_MAX
from penstock.worker.limits import STACK_FILE_BYTES
from penstock.worker.stacks import ASK, DUMP, END

# A loop that turns, and Python code that blocks it, answer within milliseconds.
ASK_S = 0.3
# A busy machine may keep a process from a core for so long.
ANSWER_S = 1.0
# How often an answer is looked for meanwhile.
LOOK_S = 0.02

# What an answer may hold, so that an operation can carry it whole.
ANSWER_CHARS_MAX = TEXT_CHARS_MAX - 512

IS_GONE = "the process is gone"
IS_STOPPED = (
    "the process is stopped (state {state}): by SIGSTOP, by a terminal or by a debugger; it does nothing"
)
IS_MUTE = (
    "this worker does not tell its stacks: it was only just forked, or is of a release that did not know how"
)
IS_IN_C = "Blocked in C code that runs no signal handlers, so the requests in flight are not known.\n"


@dataclass(frozen=True)
class Process:
    """A process as the kernel sees it."""

    state: str  # one letter, as in proc(5)
    caught: int  # the signals that it has a handler for, as a mask

    @property
    def is_stopped(self) -> bool:
        """Whether it gets no signal but SIGKILL and SIGCONT."""
        return self.state in ("T", "t")

    def catches(self, number: int) -> bool:
        """Whether it has a handler for a signal, which would else end it."""
        return bool(self.caught >> (number - 1) & 1)


def parse_process(status: str) -> Process | None:
    """Read what `/proc/PID/status` says; None for what is no process any more."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    state, caught = fields.get("State", "X")[:1], fields.get("SigCgt", "0")
    if state in ("X", "Z"):
        return None
    return Process(state, int(caught, 16))


class Move(enum.Enum):
    """What to do about an answer that is waited for."""

    WAIT = enum.auto()
    DUMP = enum.auto()  # ask in the harder way
    TELL = enum.auto()


def next_move(*, waited_s: float, is_dumped: bool, text: str, text_before: str) -> Move:
    """Judge what has been written after so long. A dump has no end mark: it is over when no more comes."""
    if END in text or waited_s >= ANSWER_S:
        return Move.TELL
    if not is_dumped:
        return Move.DUMP if waited_s >= ASK_S else Move.WAIT
    return Move.TELL if text and text == text_before else Move.WAIT


@dataclass
class _Inquiry:
    fd: int
    asked_s: float
    on_answer: list[Callable[[str], None]] = field(default_factory=list)
    is_dumped: bool = False
    text: str = ""


class Stacks:
    """The questions that are not answered yet, by pid: one for each worker at most."""

    def __init__(self, fds: Mapping[int, int]) -> None:
        """`fds` has the memory file of each worker by pid; whoever owns it changes it."""
        self._fds = fds
        self._open: dict[int, _Inquiry] = {}
        self._next_s = math.inf

    @property
    def deadline_s(self) -> float:
        """When `tick` has something to do."""
        return self._next_s

    def ask(self, pid: int, now_s: float, on_answer: Callable[[str], None]) -> None:
        """Have a worker say what it is doing. The answer comes within a second, or at once."""
        inquiry = self._open.get(pid)
        if inquiry is None:
            fd = self._fds.get(pid)
            process = read_process(pid)
            if process is None:
                on_answer(IS_GONE)
                return
            if process.is_stopped:
                on_answer(IS_STOPPED.format(state=process.state))
                return
            if fd is None or not (process.catches(ASK) and process.catches(DUMP)):
                on_answer(IS_MUTE)
                return
            os.lseek(fd, 0, os.SEEK_SET)
            _send(pid, ASK)
            inquiry = self._open[pid] = _Inquiry(fd, now_s)
            self._next_s = min(self._next_s, now_s + LOOK_S)
        inquiry.on_answer.append(on_answer)

    def tick(self, now_s: float) -> None:
        """Look for answers, if it is time."""
        if now_s < self._next_s:
            return
        for pid, inquiry in list(self._open.items()):
            self._look(pid, inquiry, now_s)
        self._next_s = now_s + LOOK_S if self._open else math.inf

    def _look(self, pid: int, inquiry: _Inquiry, now_s: float) -> None:
        is_there = self._fds.get(pid) == inquiry.fd
        text = _read(inquiry.fd) if is_there else ""
        move = next_move(
            waited_s=now_s - inquiry.asked_s,
            is_dumped=inquiry.is_dumped,
            text=text,
            text_before=inquiry.text,
        )
        inquiry.text = text
        if move is Move.TELL or not is_there:
            del self._open[pid]
            answer = answer_of(text, read_process(pid) if is_there else None)
            for on_answer in inquiry.on_answer:
                on_answer(answer)
        elif move is Move.DUMP:
            inquiry.is_dumped = True
            process = read_process(pid)
            if process is not None and process.catches(DUMP) and not process.is_stopped:
                _send(pid, DUMP)


def answer_of(text: str, process: Process | None) -> str:
    """Make of what was written what a person is told: bounded, and without control characters."""
    text = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    if END in text:
        # The last answer: an earlier one may have come too late to be read.
        whole = text[: text.rindex(END)].rpartition(END)[2].strip("\n")
        return whole[:ANSWER_CHARS_MAX]
    if text:
        # In C the main thread comes last, and it is the one that matters.
        return IS_IN_C + text.strip("\n")[-(ANSWER_CHARS_MAX - len(IS_IN_C)) :]
    if process is None:
        return IS_GONE
    if process.is_stopped:
        return IS_STOPPED.format(state=process.state)
    if process.state == "D":
        return "no answer: the process waits in the kernel for something that no signal interrupts (state D)"
    return f"no answer within {ANSWER_S:g} s; the process is in state {process.state}"


def read_process(pid: int) -> Process | None:
    """Look at a process; None if it is gone."""
    try:
        return parse_process(Path(f"/proc/{pid}/status").read_text(errors="replace"))
    except (OSError, ValueError):
        return None


def _read(fd: int) -> str:
    """Read what was written since the file was rewound. Both processes share its position."""
    size = min(os.lseek(fd, 0, os.SEEK_CUR), STACK_FILE_BYTES)
    return os.pread(fd, size, 0).decode("utf-8", "replace")


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
