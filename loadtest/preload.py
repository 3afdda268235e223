#!/usr/bin/env python3
"""
What `--preload` saves: the memory of all processes of a server, with it and without.

    python loadtest/preload.py [--workers 4] [--rows 200000] [--requests 20000]

The app imports FastAPI and makes a table, some 30 MB of small objects. Each
server is measured when it serves, and again after requests that read the table:
a page of memory is shared until somebody writes to it, and in Python reading an
object writes its reference count. PSS counts a shared page once in all.
"""

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from bench.server import free_port

START_S = 60.0
SETTLE_S = 2.0

APP = """
import random

from fastapi import FastAPI

app = FastAPI()
table = {number: f"row {number} of a table that every request reads" for number in range(ROWS)}


@app.get("/")
async def read() -> str:
    return table[random.randrange(ROWS)]
"""


def measure(options: argparse.Namespace, folder: Path, *flags: str) -> tuple[float, float]:
    """Serve, and tell the PSS in MiB before and after the requests."""
    port = free_port()
    words = ["--port", str(port), "--workers", str(options.workers), "--admin-bind", "none"]
    server = subprocess.Popen(
        [sys.executable, "-m", "penstock", "main:app", *words, "--control", str(folder / "c"), *flags],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_it_serves(port)
        time.sleep(SETTLE_S)
        before = pss_mib(server.pid)
        ask(port, options.requests)
        return before, pss_mib(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def wait_until_it_serves(port: int) -> None:
    """Connect until somebody answers."""
    until_s = time.monotonic() + START_S
    while True:
        try:
            ask(port, 1)
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)
        else:
            return


def ask(port: int, count: int) -> None:
    """Send requests, a hundred on each connection, so that every worker gets its part."""
    while count > 0:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
        for _ in range(min(count, 100)):
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            assert response.status == 200
        connection.close()
        count -= 100


def pss_mib(pid: int) -> float:
    """Add up the proportional set sizes of a process and all that descend from it."""
    master = psutil.Process(pid)
    return (
        float(sum(each.memory_full_info().pss for each in (master, *master.children(recursive=True)))) / 2**20
    )


def main() -> None:
    """Measure both and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.py").write_text(APP.replace("ROWS", str(options.rows)))
        for flags in ((), ("--preload",)):
            before, after = measure(options, folder, *flags)
            told = f"PSS {before:6.1f} MiB, after {options.requests} requests {after:6.1f} MiB"
            print(f"{' '.join(flags) or 'without':10} {told}", flush=True)


if __name__ == "__main__":
    main()
