"""
A real Penstock in a process of its own, and the ways a test looks at it.

Every wait is on a condition and has a deadline.
"""

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import bench.server
import psutil
from prometheus_client.parser import text_string_to_metric_families

DEADLINE_S = 60.0
APPS = Path(__file__).parent / "apps"

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Ask until the answer is true, and return it. Fails the test at the deadline."""
    began_s = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return answer
        waited_s = time.monotonic() - began_s
        assert waited_s < deadline_s, f"waited {deadline_s:g} s in vain for: {what}"
        select.select([], [], [], 0.02 if waited_s < 1.0 else 0.05)


def free_port() -> int:
    """Find a port that nobody listens on, and that no other test is given meanwhile."""
    return bench.server.free_port()


class Server:
    """A running master."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: dict[str, str] | None = None,
        admin: bool = True,
        executable: str = sys.executable,
        **popen: Any,
    ) -> None:
        self.control = cwd / "control.sock"
        self.log_path = cwd / "penstock.out"
        self.log = self.log_path.open("wb")
        options = ["--control", str(self.control), "--admin-bind", "127.0.0.1:0" if admin else "none"]
        self.process = subprocess.Popen(
            [executable, "-m", "penstock", *options, *arguments],
            cwd=cwd,
            env={**_clean_environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            **popen,
        )
        self.pid = self.process.pid
        self.port = 0
        self.admin_port = 0

    # Looking.

    def output(self) -> str:
        """Return all that it has printed."""
        return self.log_path.read_text(errors="replace")

    def wait_serving(self) -> "Server":
        """Wait until it says where it listens."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, f"the server ended:\n{self.output()}"
            return re.search(r"listening on (\S+)", self.output())

        match = wait_for(found, "the banner")
        assert match is not None
        port = re.search(r":(\d+)", match[1])
        self.port = int(port[1]) if port else 0
        admin = re.search(r"/status +http://[^ ]*:(\d+)", self.output())
        self.admin_port = int(admin[1]) if admin else 0
        return self

    def get(self, path: str = "/", **headers: str) -> tuple[int, bytes]:
        """Ask the service, on a connection of its own."""
        return get(self.port, path, **headers)

    def whoami(self) -> dict[str, Any]:
        """Ask which worker answers."""
        return json.loads(self.get("/whoami")[1])  # type: ignore[no-any-return]

    def admin(self, path: str) -> tuple[int, bytes]:
        """Ask the admin endpoint."""
        return get(self.admin_port, path)

    def status(self) -> dict[str, Any]:
        """Read `/status` through the control socket."""
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(DEADLINE_S)
        connection.sock.connect(str(self.control))
        try:
            connection.request("GET", "/status", headers={"Connection": "close"})
            return json.loads(connection.getresponse().read())  # type: ignore[no-any-return]
        finally:
            connection.close()

    def wait_status(
        self, condition: Callable[[dict[str, Any]], Any], what: str, deadline_s: float = DEADLINE_S
    ) -> dict[str, Any]:
        """Wait until the status is as it should be, and return it."""
        seen: dict[str, Any] = {}

        def fulfilled() -> bool:
            assert self.process.poll() is None, f"the server ended:\n{self.output()}"
            seen.clear()
            seen.update(self.status())
            return bool(condition(seen))

        try:
            wait_for(fulfilled, what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\nstatus: {seen}\noutput:\n{self.output()}") from None
        return seen

    def wait_generation(self, number: int, workers: int) -> dict[str, Any]:
        """Wait until this generation alone serves, with so many workers."""
        return self.wait_status(
            lambda status: (
                [(worker["generation"], worker["state"]) for worker in status["workers"]]
                == [(number, "ready")] * workers
                and status["master"]["state"] == "running"
            ),
            f"generation {number} on {workers} workers",
        )

    def metric(self, name: str, **labels: str) -> float:
        """Add up the samples of a metric that have these labels."""
        text = self.admin("/metrics")[1].decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def children(self) -> list[psutil.Process]:
        """List the processes below the master."""
        return psutil.Process(self.pid).children(recursive=True)

    # Acting.

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        os.kill(self.pid, number)

    def wait_exit(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the master's end, and return its exit status."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline_s:g} s:\n{self.output()}") from None

    def stop(self) -> int:
        """Drain and stop it."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait_exit()

    def clean_up(self) -> None:
        """End whatever is left."""
        if self.process.poll() is None:
            children = self.children()
            self.process.kill()
            self.process.wait()
            for child in children:
                try:
                    child.kill()
                except psutil.NoSuchProcess:
                    pass
        self.log.close()


def get(port: int, path: str = "/", **headers: str) -> tuple[int, bytes]:
    """Ask a local port, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def run_penstock(*arguments: str, cwd: Path, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=cwd,
        env={**_clean_environment(), **popen.pop("env", {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **popen,
    )


def _clean_environment() -> dict[str, str]:
    """Leave out what would configure a server behind the test's back."""
    ours = ("PENSTOCK_", "WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PYTHONUNBUFFERED": "1"
    }


def write_app(folder: Path, body: str, name: str = "main.py") -> None:
    """Put an app's source where the server will look for it, whole or not at all."""
    temporary = folder / f"{name}.new"
    temporary.write_text(body)
    temporary.replace(folder / name)


def lines_of(text: str) -> Sequence[str]:
    """Split what was printed into lines that say something."""
    return [line for line in text.splitlines() if line.strip()]


def iterate_until(deadline_s: float) -> Iterator[None]:
    """Go round until the deadline."""
    until_s = time.monotonic() + deadline_s
    while time.monotonic() < until_s:
        yield
