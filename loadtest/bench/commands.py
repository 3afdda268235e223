"""
The command line of each server, for a piece of work.

All log no request and run one worker unless told otherwise. A server without an
app takes part only where a scenario has a fixed answer or a file for it.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import gateways

# Longer than any scenario keeps a connection idle; some servers close after 2 or 5 s.
KEEP_ALIVE_S = 75
# Of idle connections the most, and some; HAProxy wants two descriptors for each.
CONNECTIONS_MAX = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a server is to serve: an app, and what stands for it in a server that has none."""

    app: str
    workers: int = 1
    body: str | None = None  # A fixed answer to every request.
    file_bytes: int | None = None  # A file of this size.
    is_static: bool = False  # That file is served without an app by those that can; else by the app.
    connections: int = CONNECTIONS_MAX  # At once, at the most.
    is_wsgi: bool = False
    floor: str | None = None  # The kind of floor server, by the name of the peer where None.
    origin: "Work | None" = None  # What an nginx behind the server serves: requests are passed on to it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a server is to listen, and a folder of its own."""

    port: int
    folder: Path
    origin_port: int = 0  # Where the one behind it listens, if there is one.


Command = Callable[[Work, Place], Sequence[str] | None]


def penstock(work: Work, place: Place) -> list[str]:
    """Run Penstock."""
    if work.origin is not None:
        return gateways.penstock(work.workers, work.connections, place.port, place.origin_port, place.folder)
    what = work.app
    if work.is_static:
        (place.folder / "public").mkdir(exist_ok=True)
        (place.folder / "public" / "index.html").write_bytes(b"x" * (work.file_bytes or 0))
        what = f"--static=/={place.folder}/public"
    return [
        *("penstock", what, "--port", str(place.port), "--workers", str(work.workers)),
        *("--admin-bind", "none", "--log-level", "warning"),
    ]


def asgi_only(command: Command) -> Command:
    """Leave work with a WSGI app to others."""
    return lambda work, place: None if work.is_wsgi else command(work, place)


def floor(kind: str) -> Command:
    """Run floor.py, with the app that the work names."""

    def command(work: Work, place: Place) -> list[str] | None:
        if work.workers != 1 or work.is_wsgi:
            return None  # It is one process, and has no reload.
        kinds = {"bare": work.body is not None, "task": not work.is_static}
        if not kinds[kind]:
            return None  # Its canned reply would be no answer to this.
        return [sys.executable, "floor.py", kind + (work.floor or ""), str(place.port), work.app]

    return command


def uvicorn(work: Work, place: Place) -> list[str]:
    """Run uvicorn on uvloop and httptools. It calls WSGI apps in ten threads, with bodies read whole."""
    words = ["uvicorn", work.app, "--port", str(place.port), "--loop", "uvloop", "--http", "httptools"]
    words += ["--no-access-log", "--log-level", "error", "--timeout-keep-alive", str(KEEP_ALIVE_S)]
    words += ["--interface", "wsgi"] if work.is_wsgi else []
    return words + (["--workers", str(work.workers)] if work.workers > 1 else [])


def granian(work: Work, place: Place) -> list[str]:
    """Run granian without its WebSockets and lifespan, as its own benchmarks do; for WSGI with one thread."""
    return [
        *("granian", work.app, "--port", str(place.port), "--workers", str(work.workers)),
        *(
            "--interface",
            "wsgi" if work.is_wsgi else "asginl",
            "--loop",
            "uvloop",
            "--no-ws",
            "--log-level",
            "error",
        ),
        *("--http", "1"),  # Being ready for HTTP/2, too, doubles what it keeps for a connection.
        *("--backlog", "2048", "--backpressure", str(work.connections)),
    ]


def gunicorn(worker_class: str) -> Command:
    """Run gunicorn with workers of a class."""

    def command(work: Work, place: Place) -> list[str]:
        return [
            *("gunicorn", work.app, "-b", f"127.0.0.1:{place.port}", "-w", str(work.workers)),
            *("-k", worker_class, "--keep-alive", str(KEEP_ALIVE_S)),
            *("--log-level", "error", "--backlog", "2048", "--worker-connections", str(CONNECTIONS_MAX)),
        ]

    return command


def gunicorn_threads(work: Work, place: Place) -> list[str] | None:
    """Run gunicorn with threads, as many as Penstock has by default."""
    if not work.is_wsgi:
        return None
    return [*gunicorn("gthread")(work, place), "--threads", "10"]  # type: ignore[misc]


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
    {upstream}
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    scgi_temp_path {folder}; uwsgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} reuseport backlog=2048;
        location / {{ {answer} }}
    }}
}}
"""


def nginx(work: Work, place: Place) -> list[str] | None:
    """Run nginx with a fixed answer or a file, or as a proxy."""
    upstream = ""
    if work.origin is not None:
        upstream, answer = gateways.nginx(place.origin_port)
    elif work.body is not None:
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
            connections=work.connections,
            keep_alive=KEEP_ALIVE_S,
            port=place.port,
            answer=answer,
            user="user root;" if os.geteuid() == 0 else "",
            upstream=upstream,
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
    {answer}
"""


def haproxy(work: Work, place: Place) -> list[str] | None:
    """Run HAProxy in master-worker mode with a fixed answer, or as a proxy."""
    if work.origin is not None:
        answer = gateways.haproxy(place.origin_port)
    elif work.body is not None:
        body = work.body.replace(" ", "\\ ")
        answer = f"http-request return status 200 content-type text/plain string {body}"
    else:
        return None
    config = place.folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(
            workers=work.workers,
            connections=work.connections,
            keep_alive=KEEP_ALIVE_S,
            port=place.port,
            answer=answer,
        )
    )
    return ["haproxy", "-W", "-db", "-f", str(config)]
