"""
A server under test: started, pinned, watched and stopped.

It is any command that listens on a port of 127.0.0.1. CPU and memory are those
of the whole process tree: a master, an admin process and workers are one server.
"""

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bench.child import interrupts_held

START_S = 30.0
STOP_S = 15.0
POLL_S = 0.02
LOG_LINES_TOLD = 8

# Below those that the kernel gives to connections and to listeners on port 0, and each process
# of ours looks elsewhere first.
PORTS = range(10_000, 32_000)
PORTS_EACH = 50
_first = os.getpid() * PORTS_EACH % len(PORTS)
_ports = itertools.cycle([*PORTS[_first:], *PORTS[:_first]])


class ServerFailed(Exception):
    """The server did not start, or it died under load. Says its last words."""


def free_port() -> int:
    """Find a TCP port of 127.0.0.1 that nobody has, nor is given before a slow server binds it."""
    port: int
    for port in itertools.islice(_ports, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed(f"there is no free port from {PORTS[0]} to {PORTS[-1]}")


def tree_of(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [process, *process.children(recursive=True)]


def own_cpu_s(pid: int) -> float:
    """
    Read the CPU clock of a process, to the nanosecond. Raises OSError if it is gone.

    /proc counts in hundredths of a second, which is a tenth of what a slow open loop takes.
    """
    # The kernel's name for the scheduler's clock of a whole process: see clock_getcpuclockid(3).
    return time.clock_gettime(~pid << 3 | 2)


def shown(words: Sequence[str]) -> str:
    """Write a command line for people: programs without their folders."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


class Server:
    """A running server. Use `running`, which also ends it."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", words: Sequence[str], port: int, log: Path
    ) -> None:
        self.words = list(words)
        self.port = port
        self.log = log
        self.pid = process.pid
        self._child = process
        self._process = psutil.Process(process.pid)

    @property
    def command(self) -> str:
        """The command line, for people."""
        return shown(self.words)

    def cpu_s(self) -> float:
        """Add up user and system time of the tree, children that ended and were reaped included."""
        total = 0.0
        for member in tree_of(self._process):
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                times = member.cpu_times()
                total += own_cpu_s(member.pid) + times.children_user + times.children_system
        return total

    def pss_bytes(self) -> int:
        """Add up the memory of the tree, what is shared counted once."""
        total = 0
        for member in tree_of(self._process):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_full_info().pss
        return total

    def pids(self) -> list[int]:
        """The pids of the tree, the first process's first."""
        return [member.pid for member in tree_of(self._process)]

    def move(self, cores: Sequence[int]) -> None:
        """Have the tree run on other cores from now on."""
        for member in tree_of(self._process):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.cpu_affinity(list(cores))

    def send(self, signal_number: int) -> None:
        """Signal the first process."""
        self._child.send_signal(signal_number)

    def check(self) -> None:
        """Raise ServerFailed if it has ended."""
        status = self._child.poll()
        if status is not None:
            raise ServerFailed(f"the server ended ({ending(status)}){self.last_words()}")

    def last_words(self) -> str:
        """Give the end of its log, for an error."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_TOLD:]
        return "".join(f"\n    {line}" for line in lines)

    def wait_until_serving(self, path: str) -> None:
        """Wait until the path is answered with 200; raise ServerFailed when it is not in time."""
        deadline_s = time.monotonic() + START_S
        last = "no connection"
        while time.monotonic() < deadline_s:
            self.check()
            try:
                client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                with contextlib.closing(client):
                    client.request("GET", path)
                    status = client.getresponse().status
                if status == 200:
                    return
                last = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                last = str(error)
            time.sleep(POLL_S)
        raise ServerFailed(f"no 200 for {path} within {START_S:g} s, but {last}{self.last_words()}")

    def stop(self) -> None:
        """End it with SIGTERM, and what is left of the tree with SIGKILL."""
        with contextlib.suppress(psutil.NoSuchProcess):
            members = tree_of(self._process)
            if self._child.poll() is None:
                self._child.terminate()
            alive = members
            deadline_s = time.monotonic() + STOP_S
            while alive and time.monotonic() < deadline_s:
                # In one long wait, psutil would look at one process for up to a second before the next.
                _, alive = psutil.wait_procs(alive, timeout=POLL_S)
            for member in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        self._child.wait()


def ending(status: int) -> str:
    """Name an exit status as a person would."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


@contextlib.contextmanager
def running(
    words: Sequence[str],
    port: int,
    *,
    cores: Sequence[int] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    ready_path: str = "/",
) -> Iterator[Server]:
    """
    Start a server, yield it once it serves, and end it.

    `cores` pins the whole tree, which the command shows as `taskset -c`.
    `environ` adds to the environment. Raises ServerFailed.
    """
    if cores is not None:
        words = ["taskset", "-c", ",".join(map(str, cores)), *words]
    with tempfile.NamedTemporaryFile(prefix="bench-server-", suffix=".log") as log:
        server: Server | None = None
        try:
            with interrupts_held():
                child = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env={**os.environ, **(environ or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                server = Server(child, words, port, Path(log.name))
            server.wait_until_serving(ready_path)
        except OSError as error:
            if server is None:
                raise ServerFailed(f"cannot run {words[0]}: {error.strerror}") from error
            raise
        else:
            yield server
        finally:
            if server is not None:
                server.stop()
