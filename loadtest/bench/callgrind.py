"""
Instructions that a server executes for one request, counted by callgrind.

The real server runs under valgrind, forks included, and a client outside sends
it requests in lock step: the next one when the last is answered, so that every
request is one turn of the loop. Two runs of different lengths are counted, and
the difference belongs to the requests alone: start-up, imports and the end of
the process cancel out. The shorter one waits for the longer before both end, so
what a server does by the clock cancels out as well, however slow the machine is.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.server import ending, free_port

LOADTEST = Path(__file__).resolve().parents[1]

# A worker's start varies by half a million instructions (addresses decide the order of some
# sets). Over 6,000 requests that is 0.2 % of the cheapest one that we count.
REQUESTS_SHORT = 500
REQUESTS_LONG = 6500

# Under valgrind everything takes some fifty times as long.
START_S = 120.0
ANSWER_S = 60.0
STOP_S = 60.0
# How long the shorter run waits for the longer one.
MEETING_S = 600.0
POLL_S = 0.1

ANSWER_BYTES_MAX = 64 * 1024


class CountFailed(Exception):
    """The server could not be counted. Says why, with its last words."""


class OtherFailed(CountFailed):
    """There is nobody to wait for."""


def instructions_per_request(words: list[str], request: bytes, *, has_master: bool) -> float:
    """
    Serve and ask under callgrind; return instructions per request.

    `words` is the command, with `{port}` and `{folder}` (of its own, for
    sockets) to be filled in. With a master it is the one worker that counts.
    """
    if shutil.which("valgrind") is None:
        raise CountFailed("valgrind is not installed; it is in the distribution's package of that name")
    with ThreadPoolExecutor(2) as pool:
        lengths = (REQUESTS_SHORT, REQUESTS_LONG)
        meeting = threading.Barrier(len(lengths))
        runs = [pool.submit(_count, words, request, length, has_master, meeting) for length in lengths]
        errors = [error for error in (run.exception() for run in runs) if error is not None]
        for error in sorted(errors, key=lambda each: isinstance(each, OtherFailed)):
            raise error
        short, long = (run.result() for run in runs)
    return (long - short) / (REQUESTS_LONG - REQUESTS_SHORT)


def total_in(text: str) -> int:
    """Read the number of instructions out of a callgrind file."""
    found = re.search(r"^(?:summary|totals): (\d+)$", text, re.MULTILINE)
    if found is None:
        raise CountFailed("callgrind wrote no total")
    return int(found[1])


def _count(
    words: list[str], request: bytes, length: int, has_master: bool, meeting: threading.Barrier
) -> int:
    """Run once, and return all instructions of the process that served."""
    with tempfile.TemporaryDirectory(prefix="bench-callgrind-") as name:
        folder, port = Path(name), free_port()
        filled = [word.format(port=port, folder=folder) for word in words]
        log = folder / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/count.%p", *filled],
                cwd=LOADTEST,
                env={**os.environ, "PYTHONHASHSEED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            pid = _ready_worker(server, folder) if has_master else server.pid
            _ask(server, port, request, length)
            meeting.wait(MEETING_S)
            server.terminate()
            server.wait(STOP_S)
            return total_in((folder / f"count.{pid}").read_text())
        except threading.BrokenBarrierError:
            raise OtherFailed("the other run failed, or takes too long") from None
        except (OSError, CountFailed, subprocess.TimeoutExpired) as error:
            state = "" if server.poll() is None else f"; it ended ({ending(server.returncode)})"
            words_said = "\n    ".join(log.read_text(errors="replace").splitlines()[-8:])
            raise CountFailed(f"{' '.join(filled)}: {error}{state}\n    {words_said}") from error
        finally:
            meeting.abort()  # If this one fails, the other need not wait.
            if server.poll() is None:
                server.kill()  # A worker sees its master go, and leaves.
                server.wait()


def _ready_worker(server: "subprocess.Popen[bytes]", folder: Path) -> int:
    """Wait for the worker to be ready, and return its pid."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and server.poll() is None:
        for worker in _workers(folder / "control.sock"):
            if worker["state"].lower() == "ready":
                return int(worker["pid"])
        time.sleep(POLL_S)
    raise CountFailed("the server did not become ready")


def _workers(control: Path) -> list[dict[str, Any]]:
    """Ask the control socket for the workers; none if nobody answers yet."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect(str(control))
            client.sendall(b"GET /status HTTP/1.1\r\nHost: control\r\n\r\n")
            body = _answer(client).partition(b"\r\n\r\n")[2]
        except (OSError, CountFailed):
            return []
    workers: list[dict[str, Any]] = json.loads(body)["workers"]
    return workers


def _ask(server: "subprocess.Popen[bytes]", port: int, request: bytes, length: int) -> None:
    """Send requests over one connection, each when the one before is answered."""
    with _connected(server, port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(length):
            client.sendall(request)
            answer = _answer(client)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise CountFailed(f"a request was not answered with 200, but: {answer[:80]!r}")


def _connected(server: "subprocess.Popen[bytes]", port: int) -> socket.socket:
    """Connect when it listens; a server that has ended never will."""
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)


def _answer(client: socket.socket) -> bytes:
    """Read one response that has a Content-Length."""
    received = b""
    while True:
        part = client.recv(ANSWER_BYTES_MAX)
        if not part:
            raise CountFailed("the server closed the connection")
        received += part
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if size is None:
                raise CountFailed("a response without Content-Length cannot be counted")
            if len(body) >= int(size[1]):
                return received
