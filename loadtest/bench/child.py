"""
A program run to its end on one core, with what it printed and the CPU time it took.
"""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.failure import LoadFailed


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    status: int  # Negative for a signal, as in `subprocess`.
    output: str
    complaints: str  # Standard error.
    busy: float  # Share of a core it used, 0..1 for one thread.


def pinned(words: Sequence[str], core: int | None) -> list[str]:
    """Put `taskset` in front of a command line."""
    return [*words] if core is None else ["taskset", "-c", str(core), *words]


def run(words: Sequence[str], *, deadline_s: float, cwd: Path | None = None) -> Finished:
    """Run a program; whatever happens to us, it does not outlive the call. Raises LoadFailed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        started_s = time.monotonic()
        process: subprocess.Popen[bytes] | None = None
        try:
            with interrupts_held():
                process = subprocess.Popen(
                    words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=complaints
                )
            status, cpu_s = _wait(process, deadline_s)
        except BaseException as error:
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                process.wait()
            elif isinstance(error, OSError):
                raise LoadFailed(f"cannot run {words[0]}: {error.strerror}") from error
            raise
        took_s = time.monotonic() - started_s
        texts = []
        for stream in (output, complaints):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Finished(status, texts[0], texts[1].strip(), min(1.0, cpu_s / took_s))


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """
    Keep INT and TERM until the end of the block.

    One that comes while `Popen` starts a program raises before anybody knows its
    pid, and the program outlives us. No other thread than the main one is interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
    for each in came:
        signal.raise_signal(each)


def _wait(process: "subprocess.Popen[bytes]", deadline_s: float) -> tuple[int, float]:
    """Wait without polling, and take the resources that this child alone has used."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()  # select() knows no descriptor above 1023.
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(deadline_s * 1000):
            raise LoadFailed(f"{process.args!r} did not end within {deadline_s:g} s")
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def telling_port(words: Sequence[str]) -> Iterator[int]:
    """Run a server that prints its port first; give the port, and end the server in any case."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
