"""
CPU time per request of hello world, beside the floor and the peers.

    python loadtest/cost.py [--rounds 5] [--seconds 3] [--connections 64] [--port 18110] [KIND ...]

The server has core 0 and wrk core 1, so two cores are needed. Rounds alternate
between the kinds, because whatever else the machine does moves all of them
together: only ratios within one run mean anything. CPU time is user and system
time of the whole process tree, master and admin included.

Kinds: bare, task, site (see floor.py), penstock, uvicorn, granian.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
SERVER_CORE, CLIENT_CORE = "0", "1"
START_S = 20.0
STOP_S = 10.0

# Nothing here logs requests: that is a price of its own.
COMMANDS = {
    "bare": "python floor.py bare {port}",
    "task": "python floor.py task {port}",
    "site": "python floor.py site {port}",
    "penstock": "penstock apps.hello:app --port {port} --workers 1 --admin-bind none --log-level warning",
    "uvicorn": "uvicorn apps.hello:app --port {port} --no-access-log --log-level error",
    "granian": "granian apps.hello:app --port {port} --interface asginl --loop uvloop --no-ws --log-level error",
}


def command(kind: str, port: int) -> list[str]:
    """Give the command line of a server, from the same environment as this script."""
    words = COMMANDS[kind].format(port=port).split()
    program = Path(sys.executable).parent / words[0]
    return ["taskset", "-c", SERVER_CORE, str(program), *words[1:]]


def tree_cpu_s(process: psutil.Process) -> float:
    """Add up the CPU time of a process and its descendants, dead ones that were reaped included."""
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total


def wait_until_serving(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody answers on the port."""
    deadline_s = time.monotonic() + START_S
    while True:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with status {server.returncode}: {server.args!r}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                if client.recv(12) == b"HTTP/1.1 200":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline_s:
            raise SystemExit(f"no answer within {START_S:g} s: {server.args!r}")
        time.sleep(0.05)


def load(port: int, connections: int, seconds: int) -> dict[str, float]:
    """Run wrk and return what get.lua says."""
    words = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    words += ["-s", str(HERE / "scripts" / "get.lua"), f"http://127.0.0.1:{port}/"]
    output = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    if result["not_ok"] or not result["requests"]:
        raise SystemExit(f"not all requests were answered well: {result}")
    return result


def measure(kind: str, port: int, connections: int, seconds: int) -> tuple[float, float]:
    """Serve and load one kind once; return CPU µs and requests per second."""
    server = subprocess.Popen(command(kind, port), cwd=HERE, stdout=subprocess.DEVNULL)
    try:
        wait_until_serving(port, server)
        process = psutil.Process(server.pid)
        load(port, connections, 1)
        before_s = tree_cpu_s(process)
        result = load(port, connections, seconds)
        cpu_s = tree_cpu_s(process) - before_s
        return cpu_s * 1e6 / result["requests"], result["requests"] / result["seconds"]
    finally:
        server.terminate()
        try:
            server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def main() -> None:
    """Run all rounds and print medians, and ratios of medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--port", type=int, default=18110)
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one to serve, one to load")
    for kind in options.kinds:
        if kind not in COMMANDS:
            parser.error(f"unknown kind {kind!r}; there are {', '.join(COMMANDS)}")

    costs: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    rates: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind in options.kinds:
            cost_us, rate = measure(kind, options.port, options.connections, options.seconds)
            costs[kind].append(cost_us)
            rates[kind].append(rate)

    medians = {kind: statistics.median(costs[kind]) for kind in options.kinds}
    against = [kind for kind in ("task", "uvicorn", "granian") if kind in medians]
    print(f"Python {sys.version.split()[0]}, {options.rounds} rounds of {options.seconds} s,", end=" ")
    print(f"{options.connections} connections; CPU µs/request, median (lowest-highest)")
    for kind in options.kinds:
        low, high = min(costs[kind]), max(costs[kind])
        line = (
            f"{kind:9} {medians[kind]:6.2f} ({low:.2f}-{high:.2f})  {statistics.median(rates[kind]):7.0f}/s"
        )
        for other in against:
            line += f"  {medians[kind] / medians[other]:5.2f} x {other}"
        if "task" in medians:
            line += f"  {medians[kind] - medians['task']:+6.2f} µs over task"
        print(line)


if __name__ == "__main__":
    main()
