#!/usr/bin/env python3
"""
What a line of the access log costs: CPU per request, with it and without, beside other servers.

    python loadtest/access_log.py [--rounds 5] [--seconds 5] [--connections 32]

Each server has one worker on core 0 and writes its log to a file; the load is a
closed loop on core 1, of requests with a browser's headers and a query. The
servers take turns, so that what else the machine does falls on all of them. The
CPU is that of all processes of a server, per answer. Of Penstock it is looked
after each run that there is a line for each request.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import commands, load
from bench.commands import Place, Work
from bench.machine import program
from bench.server import free_port, running

WORK = Work(app="apps.hello:app")
LOADTEST = Path(__file__).resolve().parent

Words = Callable[[Place], list[str]]


def log_of(place: Place) -> Path:
    """Tell where a server is to write its access log."""
    return place.folder / "access.log"


def penstock(*options: str) -> Words:
    """Run Penstock, with a control socket of its own."""

    def words(place: Place) -> list[str]:
        asked = [each.format(log=log_of(place)) for each in options]
        return [*commands.penstock(WORK, place), "--control", str(place.folder / "control"), *asked]

    return words


def uvicorn(*, is_on: bool) -> Words:
    """Run uvicorn, which logs to its standard output."""

    def words(place: Place) -> list[str]:
        off = commands.uvicorn(WORK, place)
        if not is_on:
            return off
        on = [each for each in off if each != "--no-access-log"]
        on[on.index("error")] = "info"
        on[0] = str(program(on[0]) or on[0])
        return ["sh", "-c", 'log=$1; shift; exec "$@" > "$log"', "sh", str(log_of(place)), *on]

    return words


def gunicorn(worker_class: str, *, is_on: bool) -> Words:
    """Run gunicorn."""

    def words(place: Place) -> list[str]:
        off = list(commands.gunicorn(worker_class)(WORK, place) or ())
        return [*off, "--access-logfile", str(log_of(place))] if is_on else off

    return words


TARGET = "/items/7?fields=name,price&page=3"
FILE = ("--access-log-file", "{log}")
UVICORN_WORKER = "uvicorn_worker.UvicornWorker"

# By server: without, and the ways in which it logs.
SERVERS: dict[str, dict[str, Words]] = {
    "penstock": {
        "off": penstock(),
        "text": penstock(*FILE),
        "json": penstock(*FILE, "--access-log-format", "json"),
        "request ids": penstock("--request-id"),
        "json, request ids": penstock(*FILE, "--access-log-format", "json", "--request-id"),
    },
    "uvicorn": {"off": uvicorn(is_on=False), "on": uvicorn(is_on=True)},
    "gunicorn, UvicornWorker": {
        "off": gunicorn(UVICORN_WORKER, is_on=False),
        "on": gunicorn(UVICORN_WORKER, is_on=True),
    },
    "gunicorn, asgi": {"off": gunicorn("asgi", is_on=False), "on": gunicorn("asgi", is_on=True)},
}


def measure(words: Words, options: argparse.Namespace, *, counts_lines: bool) -> float:
    """Serve and load once; return the CPU µs of a request."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(port=free_port(), folder=Path(name))
        named, *rest = words(place)
        with running([str(program(named) or named), *rest], place.port, cores=[0], cwd=LOADTEST) as server:
            url = f"http://127.0.0.1:{place.port}{TARGET}"
            script = load.script_named("browser")
            asked = {"connections": options.connections, "core": 1}
            warm = load.closed_loop(url, script, duration_s=1.0, **asked)
            before_s = server.cpu_s()
            result = load.closed_loop(url, script, duration_s=options.seconds, **asked)
            used_s = server.cpu_s() - before_s
        if result.error_count or warm.error_count:
            raise SystemExit(f"{shown(words, place)}: {result.errors}")
        lines = log_of(place).read_bytes().count(b"\n") if log_of(place).exists() else 0
        # What the generator no longer waited for at its end has a line, too.
        if counts_lines and lines < result.requests + warm.requests:
            raise SystemExit(f"{shown(words, place)}: {result.requests} requests and {lines} lines")
        return used_s / result.requests * 1e6


def shown(words: Words, place: Place) -> str:
    """Write a command for people."""
    return " ".join(words(place))


def main() -> None:
    """Measure in alternation and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", help="the servers whose name begins so")
    options = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for server, ways in SERVERS.items():
            for way, words in ways.items() if server.startswith(options.only or "") else ():
                counts_lines = server == "penstock" and "--access-log-file" in words(
                    Place(port=0, folder=LOADTEST)
                )
                us = measure(words, options, counts_lines=counts_lines)
                found.setdefault((server, way), []).append(us)
                print(f"{server}, {way}: {us:.1f} µs", file=sys.stderr, flush=True)
    for (server, way), values in found.items():
        extra = [each - off for each, off in zip(values, found[server, "off"], strict=True)]
        told = "" if way == "off" else f"  {statistics.median(extra):+6.1f} µs"
        print(f"{server:24} {way:18} {statistics.median(values):6.1f} µs a request{told}")


if __name__ == "__main__":
    main()
