"""
The servers that take part in a comparison: how each is found, told apart and reloaded.
"""

import dataclasses
import importlib.metadata
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench import commands
from bench.commands import Command, Place, Work
from bench.machine import program

__all__ = ["PEERS", "Command", "Peer", "Place", "Work"]

PIP = "make peers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A server to compare with."""

    name: str
    program: str
    install: str
    command: Command  # None: it cannot do this work.
    version: Callable[[], str]
    reload: signal.Signals | None = None
    needs: str | None = None  # A Python module, beside the program.
    has_app: bool = True  # Or it has a fixed answer, or a file.
    is_always_in: bool = False
    is_gateway: bool = False  # It can pass requests on.
    # Processes that serve under `--workers N`: HAProxy has threads, so one.
    processes: Callable[[int], int] = lambda workers: workers

    def words(self, work: Work, place: Place) -> list[str] | None:
        """Give the command line, or None when it cannot do this work."""
        words = None if work.origin is not None and not self.is_gateway else self.command(work, place)
        return None if words is None else [str(program(words[0]) or words[0]), *words[1:]]

    @property
    def is_installed(self) -> bool:
        """Tell whether its program is here, and what else it needs."""
        if self.needs is not None and not is_importable(self.needs):
            return False
        return program(self.program) is not None

    @property
    def described(self) -> str:
        """Give its version, and mark a server that calls no app."""
        return self.version() if self.has_app else f"{self.version()}, no app"


def is_importable(module: str) -> bool:
    """Tell whether there is such a module, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # Not even the package that it would be in.


def packaged(*names: str) -> Callable[[], str]:
    """Read the version of Python packages."""

    def version() -> str:
        first, *others = names
        told = importlib.metadata.version(first)
        return " with ".join([told, *(f"{name} {importlib.metadata.version(name)}" for name in others)])

    return version


def told_by(name: str, option: str) -> Callable[[], str]:
    """Ask a program for its version: the first word of the first line that has digits and dots."""

    def version() -> str:
        path = program(name)
        if path is None:
            return ""
        done = subprocess.run([path, option], capture_output=True, text=True, check=False)
        words = (done.stdout + done.stderr).replace("/", " ").split()
        return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")

    return version


FLOOR_VERSION = packaged("uvloop", "httptools")
DEBIAN = "from the distribution: apt-get install"

PEERS = (
    Peer(
        name="penstock",
        program="penstock",
        install="make run",
        command=commands.penstock,
        version=packaged("penstock"),
        reload=signal.SIGHUP,
        is_always_in=True,
        is_gateway=True,
    ),
    Peer(
        name="floor",
        program=Path(sys.executable).name,
        install="",
        command=commands.floor("bare"),
        version=FLOOR_VERSION,
        has_app=False,
        is_always_in=True,
    ),
    Peer(
        name="floor+task",
        program=Path(sys.executable).name,
        install="",
        command=commands.floor("task"),
        version=FLOOR_VERSION,
        is_always_in=True,
    ),
    Peer(
        name="uvicorn",
        program="uvicorn",
        install=PIP,
        command=commands.uvicorn,
        version=packaged("uvicorn"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="granian",
        program="granian",
        install=PIP,
        command=commands.granian,
        version=packaged("granian"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="gunicorn",
        program="gunicorn",
        install=PIP,
        command=commands.asgi_only(commands.gunicorn("uvicorn_worker.UvicornWorker")),
        version=packaged("gunicorn", "uvicorn-worker"),
        reload=signal.SIGHUP,
        needs="uvicorn_worker",
    ),
    Peer(
        name="gunicorn-asgi",
        program="gunicorn",
        install=PIP,
        command=commands.asgi_only(commands.gunicorn("asgi")),
        version=packaged("gunicorn"),
        reload=signal.SIGHUP,
        needs="gunicorn.asgi",  # Older ones have no such worker.
    ),
    Peer(
        name="hypercorn",
        program="hypercorn",
        install=PIP,
        command=commands.asgi_only(commands.hypercorn),
        version=packaged("hypercorn"),
    ),
    Peer(
        name="gunicorn-gthread",
        program="gunicorn",
        install=PIP,
        command=commands.gunicorn_threads,
        version=packaged("gunicorn"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="nginx",
        program="nginx",
        install=f"{DEBIAN} nginx-light",
        command=commands.nginx,
        version=told_by("nginx", "-v"),
        has_app=False,
        reload=signal.SIGHUP,
        is_gateway=True,
    ),
    Peer(
        name="haproxy",
        program="haproxy",
        install=f"{DEBIAN} haproxy",
        command=commands.haproxy,
        version=told_by("haproxy", "-v"),
        has_app=False,
        reload=signal.SIGUSR2,
        is_gateway=True,
        processes=lambda workers: 1,
    ),
)
