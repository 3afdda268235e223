#!/usr/bin/env python3
"""
What an idle connection takes when it is parked, and what one pays that speaks now and then.

    python loadtest/parking.py [--connections 5000] [--talkers 1000] [--rounds 3]

Serves the hello app from one `Site` on core 0, with connections kept as they
are and with connections parked, in alternation. Connections are opened in
batches with a pause in between: memory that a burst of active connections took
stays in the process, for the next burst, and would be laid upon the idle ones.
"""

import argparse
import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

import floor
import psutil
import uvloop
from apps.hello import app
from bench.server import free_port

from penstock.worker.parking import ParkingLot

KINDS = ("kept", "parked")
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
END = b"Hello, world!"
BATCH = 100
SETTLE_S = 3.0
IDLE_S = 10.0
PERIOD_S = 2.0  # of a connection that speaks now and then
PERIODS = 5
START_S = 10.0
TICK_S = 0.5


async def serve(kind: str, port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    site = await floor.site(app)
    if kind == "parked":
        lot = ParkingLot(loop)
        site.park_in(lot)

        def tick() -> None:
            lot.tick(time.monotonic())
            loop.call_later(TICK_S, tick)

        tick()
    server = await loop.create_server(site.connect, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def read_answer(client: socket.socket) -> None:
    """Read one answer."""
    answer = b""
    while not answer.endswith(END):
        part = client.recv(4096)
        if not part:
            raise SystemExit("the server closed a connection")
        answer += part


def open_batch(port: int, count: int) -> list[socket.socket]:
    """Open connections and ask once on each."""
    clients = [socket.create_connection(("127.0.0.1", port), timeout=START_S) for _ in range(count)]
    for client in clients:
        client.sendall(REQUEST)
    for client in clients:
        read_answer(client)
    return clients


def cpu_s(process: psutil.Process) -> float:
    """Give the CPU time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


def speak(clients: list[socket.socket]) -> int:
    """Have each ask every two seconds, evenly; count the requests."""
    start_s = time.monotonic()
    for period in range(PERIODS):
        for index, client in enumerate(clients):
            due_s = start_s + PERIOD_S * (period + index / len(clients))
            time.sleep(max(0.0, due_s - time.monotonic()))
            client.sendall(REQUEST)
            read_answer(client)
    return PERIODS * len(clients)


def measure(kind: str, connections: int, talkers: int) -> tuple[float, float, float]:
    """Serve once; return bytes for each connection, CPU ms a second while idle, CPU µs a request."""
    port = free_port()
    words = ["taskset", "-c", "0", sys.executable, __file__, "--serve", kind, "--port", str(port)]
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(words))
        stack.callback(server.terminate)
        until_s = time.monotonic() + START_S
        while True:
            try:
                for client in open_batch(port, 1):
                    client.close()
                break
            except OSError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.1)
        for client in open_batch(port, BATCH):
            client.close()
        process = psutil.Process(server.pid)
        time.sleep(SETTLE_S)
        before = process.memory_full_info().uss
        clients: list[socket.socket] = []
        for _ in range(0, connections, BATCH):
            clients += [stack.enter_context(client) for client in open_batch(port, BATCH)]
            time.sleep(2 * TICK_S)
        time.sleep(SETTLE_S)
        grown = process.memory_full_info().uss - before
        before_s = cpu_s(process)
        time.sleep(IDLE_S)
        idle_s = cpu_s(process) - before_s
        before_s = cpu_s(process)
        requests = speak(clients[:talkers])
        spoken_s = cpu_s(process) - before_s - idle_s / IDLE_S * PERIOD_S * PERIODS
        return grown / len(clients), idle_s / IDLE_S * 1e3, spoken_s / requests * 1e6


def main() -> None:
    """Measure in alternation and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--talkers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.serve:
        uvloop.run(serve(options.serve, options.port))
        return
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0} or {0})
    found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind in KINDS:
            found[kind].append(measure(kind, options.connections, options.talkers))
            print(kind, *(f"{value:.1f}" for value in found[kind][-1]), flush=True)
    for kind in KINDS:
        size, idle, cost = (statistics.median(values) for values in zip(*found[kind], strict=True))
        print(f"{kind:7} {size:7.0f} bytes each, {idle:5.1f} ms/s while idle, {cost:6.1f} µs a request")
    extra = [parked[2] - kept[2] for kept, parked in zip(found["kept"], found["parked"], strict=True)]
    print(f"parking and waking: {statistics.median(extra):+.1f} µs a request")


if __name__ == "__main__":
    main()
