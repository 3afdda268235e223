"""
What a worker is doing, written down when the master asks by a signal.

There are two signals, because there is no one way for every kind of blocked:

ASK is answered by Python code in the main thread: the requests in flight, where
each of them waits, and the stacks of all threads. It is answered by a loop that
turns, and by one that is blocked in Python code, in `time.sleep`, in a lock or in
a system call that a signal interrupts.

DUMP is answered by `faulthandler` in C, whatever the interpreter is doing: the
stacks alone. Other threads may be in the middle of a step when it walks their
frames, so it is the second choice.

Both write into a memory file that was made before the fork, whose position the
two processes share. It cannot grow.
"""

import asyncio
import faulthandler
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final

from penstock.worker.http.exchange import Exchange
from penstock.worker.http.phases import DONE, LOST, STARTED, STREAMING, WAITING
from penstock.worker.limits import (
    STACK_AWAITS_MAX,
    STACK_FILE_BYTES,
    STACK_FRAMES_MAX,
    STACK_PATH_CHARS_MAX,
    STACK_REQUESTS_AWAITED_MAX,
    STACK_REQUESTS_MAX,
    STACK_TEXT_BYTES_MAX,
    STACK_THREADS_MAX,
)

# Real-time signals, which hosted code hardly uses. A master of another release sends the same ones,
# and none to a process that has no handler for it.
ASK: Final = signal.SIGRTMIN + 5
DUMP: Final = signal.SIGRTMIN + 6

# The last line of an answer to ASK.
END: Final = "-- end of stacks --"

_PHASES = {
    WAITING: "no response yet",
    STARTED: "response not begun",
    STREAMING: "response under way",
    DONE: "answered",
    LOST: "client gone",
}


def create_stack_file() -> int:
    """Make the memory file of a worker that is about to be forked; return its descriptor. Raises OSError."""
    fd = os.memfd_create("penstock-stacks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, STACK_FILE_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


class Witness:
    """Answers both signals in this process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # Tells what is in flight, once there is something that could be.
        self.exchanges: Callable[[], list[Exchange]] = list
        self._root: FrameType | None = None

    def stand_by(self) -> None:
        """Answer from now on. Belongs into the main thread; what called the caller is not shown."""
        self._root = sys._getframe(1)
        signal.signal(ASK, self._answer)
        faulthandler.register(DUMP, file=self._fd, all_threads=True, chain=False)

    def _answer(self, _number: int, frame: FrameType | None) -> None:
        # Whatever goes wrong here would surface in the code that was interrupted.
        try:
            text = "\n".join(self._lines(frame)).encode("utf-8", "backslashreplace")
            os.write(self._fd, text[:STACK_TEXT_BYTES_MAX] + f"\n{END}\n".encode())
        except Exception:
            pass

    def _lines(self, frame: FrameType | None) -> Iterator[str]:
        yield "Main thread (most recent call first):"
        yield from _stack(frame, self._root)
        yield from _requests(self.exchanges())
        yield from _other_threads()


def _requests(exchanges: list[Exchange]) -> Iterator[str]:
    running = _running_exchange()
    ordered = sorted(exchanges, key=lambda each: (each is not running, -each.age_s))
    yield f"Requests in flight: {len(ordered)}"
    for index, exchange in enumerate(ordered[:STACK_REQUESTS_MAX]):
        yield f"  {request_line(exchange)}{', running now' if exchange is running else ''}"
        if exchange is not running and index < STACK_REQUESTS_AWAITED_MAX and hasattr(exchange, "task"):
            yield from (f"  {line}" for line in _awaits(exchange.task.get_coro()))
    if len(ordered) > STACK_REQUESTS_MAX:
        yield f"  and {len(ordered) - STACK_REQUESTS_MAX} more"


def request_line(exchange: Exchange) -> str:
    """Say which request it is, how old, and how far. Without its query, which may hold secrets."""
    path = bytes(exchange.asked[0]).decode("latin-1")
    if len(path) > STACK_PATH_CHARS_MAX:
        path = path[:STACK_PATH_CHARS_MAX] + "..."
    parts = [f"{exchange.scope['method']} {path}", f"{exchange.age_s:.3f} s", _PHASES[exchange.phase]]
    if place := getattr(exchange, "place", None):  # that of a WSGI app
        parts.append(place)
    if exchange.inbox is not None and exchange.inbox.body:
        parts.append(f"{len(exchange.inbox.body)} bytes of its body not taken")
    if exchange.phase == STREAMING and (unsent := exchange.connection.transport.get_write_buffer_size()):
        parts.append(f"{unsent} bytes not sent")
    return "".join(char if char.isprintable() else "?" for char in ", ".join(parts))


def _running_exchange() -> Any:
    """Find the exchange whose task was interrupted. An eager task is not its by name yet, hence the frame."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None  # The loop does not run, or not yet.
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    return None if frame is None else frame.f_locals.get("self")


def _awaits(coroutine: Any) -> list[str]:
    """List where a suspended coroutine waits, innermost first."""
    places: list[str] = []
    while coroutine is not None and len(places) < STACK_FRAMES_MAX * 4:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        places.append(_place(frame))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return places[: -STACK_AWAITS_MAX - 1 : -1]


def _other_threads() -> Iterator[str]:
    # `threading.enumerate` takes a lock, which the interrupted code may hold.
    names = {ident: thread.name for ident, thread in dict(vars(threading).get("_active", {})).items()}
    here = threading.get_ident()
    others = [(ident, frame) for ident, frame in sys._current_frames().items() if ident != here]
    for ident, frame in others[:STACK_THREADS_MAX]:
        yield f"Thread {names.get(ident, ident)} (most recent call first):"
        yield from _stack(frame)
    if len(others) > STACK_THREADS_MAX:
        yield f"and {len(others) - STACK_THREADS_MAX} threads more"


def _stack(frame: FrameType | None, root: FrameType | None = None) -> Iterable[str]:
    lines: list[str] = []
    while frame is not None and frame is not root and len(lines) < STACK_FRAMES_MAX:
        lines.append(_place(frame))
        frame = frame.f_back
    return lines


def _place(frame: FrameType) -> str:
    """Name the place as faulthandler does."""
    return f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_qualname}'
