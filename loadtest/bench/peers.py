"""
The servers that take part in a comparison: how each is found, started and reloaded.

All log no request and run one worker unless told otherwise. A server without an
app takes part only where a scenario has a fixed answer or a file for it.
"""

import dataclasses
import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.machine import program

# Longer than any scenario keeps a connection idle; some servers close after 2 or 5 s.
KEEP_ALIVE_S = 75
# Of idle connections the most, twice over; HAProxy wants two descriptors for each.
CONNECTIONS_MAX = 8192

PIP = "make peers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a server is to serve: an app, and what stands for it in a server that has none."""

    app: str
    workers: int = 1
    body: str | None = None  # A fixed answer to every request.
    file_bytes: int | None = None  # A file of this size.
    floor: str | None = None  # The kind of floor server, by the name of the peer where None.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a server is to listen, and a folder of its own."""

    port: int
    folder: Path


Command = Callable[[Work, Place], Sequence[str] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A server to compare with."""

    name: str
    program: str
    install: str
    command: Command  # None: it cannot do this work.
    version: Callable[[], str]
    reload: signal.Signals | None = None
    is_floor: bool = False
    # Processes that serve under `--workers N`: HAProxy has threads, so one.
    processes: Callable[[int], int] = lambda workers: workers

    def words(self, work: Work, place: Place) -> list[str] | None:
        """Give the command line, or None when it cannot do this work."""
        words = self.command(work, place)
        return None if words is None else [str(program(words[0]) or words[0]), *words[1:]]

    @property
    def is_installed(self) -> bool:
        """Tell whether its program is here."""
        return program(self.program) is not None


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


def penstock(work: Work, place: Place) -> list[str]:
    """Run Penstock."""
    return [
        *("penstock", work.app, "--port", str(place.port), "--workers", str(work.workers)),
        *("--admin-bind", "none", "--log-level", "warning"),
    ]


def floor(kind: str) -> Command:
    """Run floor.py, with the app that the work names."""

    def command(work: Work, place: Place) -> list[str] | None:
        if work.workers != 1:
            return None  # It is one process, and has no reload.
        kinds = {"bare": work.body is not None, "task": True}
        if not kinds[kind]:
            return None  # Its canned reply would be no answer to this.
        return [sys.executable, "floor.py", kind + (work.floor or ""), str(place.port), work.app]

    return command


def uvicorn(work: Work, place: Place) -> list[str]:
    """Run uvicorn on uvloop and httptools."""
    words = ["uvicorn", work.app, "--port", str(place.port), "--loop", "uvloop", "--http", "httptools"]
    words += ["--no-access-log", "--log-level", "error", "--timeout-keep-alive", str(KEEP_ALIVE_S)]
    return words + (["--workers", str(work.workers)] if work.workers > 1 else [])


def granian(work: Work, place: Place) -> list[str]:
    """Run granian without its WebSockets and lifespan, as its own benchmarks do."""
    return [
        *("granian", work.app, "--port", str(place.port), "--workers", str(work.workers)),
        *("--interface", "asginl", "--loop", "uvloop", "--no-ws", "--log-level", "error"),
        *("--backlog", "2048", "--backpressure", str(CONNECTIONS_MAX)),
    ]


def gunicorn(work: Work, place: Place) -> list[str]:
    """Run gunicorn with uvicorn's workers."""
    return [
        *("gunicorn", work.app, "-b", f"127.0.0.1:{place.port}", "-w", str(work.workers)),
        *("-k", "uvicorn_worker.UvicornWorker", "--keep-alive", str(KEEP_ALIVE_S)),
        *("--log-level", "error", "--backlog", "2048"),
    ]


def hypercorn(work: Work, place: Place) -> list[str]:
    """Run hypercorn on uvloop."""
    return [
        *("hypercorn", work.app, "-b", f"127.0.0.1:{place.port}", "-w", str(work.workers)),
        *("-k", "uvloop", "--keep-alive", str(KEEP_ALIVE_S), "--log-level", "ERROR"),
    ]


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log error;
worker_processes {workers}; worker_rlimit_nofile {connections};
{user}
events {{ worker_connections {connections}; }}
http {{
    access_log off; default_type text/plain; sendfile on;
    keepalive_timeout {keep_alive}s; keepalive_requests 100000000;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    scgi_temp_path {folder}; uwsgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} reuseport backlog=2048;
        location / {{ {answer} }}
    }}
}}
"""


def nginx(work: Work, place: Place) -> list[str] | None:
    """Run nginx with a fixed answer or a file."""
    if work.body is not None:
        answer = f'return 200 "{work.body}";'
    elif work.file_bytes is not None:
        (place.folder / "file").write_bytes(b"x" * work.file_bytes)
        place.folder.chmod(0o755)
        answer = f"root {place.folder}; try_files /file =404;"
    else:
        return None
    config = place.folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            folder=place.folder,
            workers=work.workers,
            connections=CONNECTIONS_MAX,
            keep_alive=KEEP_ALIVE_S,
            port=place.port,
            answer=answer,
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    return ["nginx", "-p", str(place.folder), "-c", str(config), "-e", str(place.folder / "error.log")]


HAPROXY = """
global
    nbthread {workers}
    maxconn {connections}
defaults
    mode http
    timeout client {keep_alive}s
    timeout server {keep_alive}s
    timeout connect 5s
    timeout http-keep-alive {keep_alive}s
frontend bench
    bind 127.0.0.1:{port} backlog 2048
    http-request return status 200 content-type text/plain string "{body}"
"""


def haproxy(work: Work, place: Place) -> list[str] | None:
    """Run HAProxy in master-worker mode with a fixed answer."""
    if work.body is None:
        return None
    config = place.folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(
            workers=work.workers,
            connections=CONNECTIONS_MAX,
            keep_alive=KEEP_ALIVE_S,
            port=place.port,
            body=work.body.replace(" ", "\\ "),
        ).replace('"', "")
    )
    return ["haproxy", "-W", "-db", "-f", str(config)]


FLOOR_VERSION = packaged("uvloop", "httptools")
DEBIAN = "from the distribution: apt-get install"

PEERS = (
    Peer(
        name="penstock",
        program="penstock",
        install="make run",
        command=penstock,
        version=packaged("penstock"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="floor",
        program=Path(sys.executable).name,
        install="",
        command=floor("bare"),
        version=FLOOR_VERSION,
        is_floor=True,
    ),
    Peer(
        name="floor+task",
        program=Path(sys.executable).name,
        install="",
        command=floor("task"),
        version=FLOOR_VERSION,
        is_floor=True,
    ),
    Peer(
        name="uvicorn",
        program="uvicorn",
        install=PIP,
        command=uvicorn,
        version=packaged("uvicorn"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="granian",
        program="granian",
        install=PIP,
        command=granian,
        version=packaged("granian"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="gunicorn",
        program="gunicorn",
        install=PIP,
        command=gunicorn,
        version=packaged("gunicorn", "uvicorn-worker"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="hypercorn",
        program="hypercorn",
        install=PIP,
        command=hypercorn,
        version=packaged("hypercorn"),
    ),
    Peer(
        name="nginx",
        program="nginx",
        install=f"{DEBIAN} nginx-light",
        command=nginx,
        version=told_by("nginx", "-v"),
        reload=signal.SIGHUP,
    ),
    Peer(
        name="haproxy",
        program="haproxy",
        install=f"{DEBIAN} haproxy",
        command=haproxy,
        version=told_by("haproxy", "-v"),
        reload=signal.SIGUSR2,
        processes=lambda workers: 1,
    ),
)
