"""
A comparison as `loadtest/compare` makes it, in literal data, for tests of the report.

The figures are plausible; nobody measured them.
"""

from bench.result import Cell, Comparison, Metric, Sample, Table

CPU = Metric("cpu_us", "CPU per request", "µs")
RATE = Metric("rate", "throughput", "requests/s", lower_is_better=False)
P99 = Metric("p99_ms", "p99 at 5,000/s", "ms")
LOOKING = Metric("lost_looking", "lost by clients that look for a FIN", "requests")
BLIND = Metric("lost_blind", "lost by clients that do not look", "requests")
IDLE = Metric("idle_bytes", "memory per idle connection", "bytes")

Curve = tuple[tuple[float, int], ...]

VERSIONS = {
    "floor": "uvloop 0.22.1, httptools 0.7.1",
    "floor+task": "uvloop 0.22.1, httptools 0.7.1",
    "penstock": "0.1.0",
    "uvicorn": "0.54.0",
    "granian": "2.8.0",
    "gunicorn+uvicorn-worker": "27.0.0 with uvicorn-worker 0.4.0",
    "hypercorn": "0.18.0",
    "nginx": "1.22.1",
}
CPU_US = {
    "floor": (8.1, 8.3, 8.0, 8.9, 8.2),
    "floor+task": (12.6, 12.4, 12.9, 14.1, 12.5),
    "penstock": (15.2, 15.0, 15.4, 16.3, 15.1),
    "uvicorn": (24.6, 25.1, 24.0, 27.3, 24.4),
    "granian": (21.9, 22.4, 21.7, 24.8, 22.0),
    "gunicorn+uvicorn-worker": (25.3, 24.9, 25.8, 28.0, 25.0),
    "hypercorn": (201.0, 198.0, 204.0, 221.0, 199.0),
    "nginx": (7.9, 7.7, 8.1, 9.6, 7.8),
}
LOST = {"penstock": (0, 0, 0), "uvicorn": (54, 49, 61), "granian": (9, 7, 12), "nginx": (38, 35, 44)}
COMMANDS = {
    "penstock": "taskset -c 0 penstock apps.hello:app --port 41234 --workers 1 --admin-bind none",
    "uvicorn": "taskset -c 0 uvicorn apps.hello:app --port 41234 --no-access-log --log-level error",
}


def curve(median_us: int, tail_us: int, stall_us: int) -> Curve:
    """Make a curve of a server whose slowest requests met a stall."""
    points = [
        (0.0, median_us // 3),
        (25.0, median_us * 4 // 5),
        (50.0, median_us),
        (75.0, median_us * 6 // 5),
    ]
    points += [(90.0, (median_us + tail_us) // 2), (96.0, tail_us * 4 // 5), (99.0, tail_us)]
    points += [(99.5, tail_us * 6 // 5), (99.9, (tail_us + stall_us) // 2), (99.99, stall_us * 9 // 10)]
    return (*points, (99.999, stall_us), (100.0, stall_us))


def hello() -> Table:
    table = Table(
        "hello",
        "ASGI hello",
        "GET of thirteen bytes over 64 keep-alive connections, from an ASGI app that does nothing else. "
        "It shows what the server itself costs.\n\nLatency is that of 5,000 requests/s over 32 connections.",
        (CPU, RATE, P99),
        load_commands=[
            "taskset -c 1 wrk -t1 -c64 -d5s -s scripts/get.lua http://127.0.0.1:41234/",
            "taskset -c 1 wrk2 -t1 -c32 -d12s -R5000 -s scripts/get.lua http://127.0.0.1:41234/",
        ],
    )
    for place, (server, costs) in enumerate(CPU_US.items()):
        cell = Cell(server, VERSIONS[server], COMMANDS.get(server, f"taskset -c 0 {server} --port 41234"))
        for turn, cost_us in enumerate(costs):
            tail_us = 2400 + 260 * place + 90 * turn
            cell.samples.append(
                Sample(
                    values={"cpu_us": cost_us, "rate": 970_000 / cost_us, "p99_ms": tail_us / 1000},
                    curve=curve(1000 + 40 * place, tail_us, 4000 * (place + 1) ** 2),
                    notes=("asked 5,000/s, got 4,610/s, load generator at 41 %",)
                    if server == "hypercorn"
                    else (),
                )
            )
        table.cells.append(cell)
    return table


def reload() -> Table:
    table = Table(
        "reload",
        "Reload under load",
        "Five reloads under 40 keep-alive clients and 500 new connections a second.",
        (LOOKING, BLIND),
        load_commands=["python -m bench.lost --clients 40 --reloads 5"],
    )
    for server, lost in LOST.items():
        cell = Cell(server, VERSIONS[server], COMMANDS.get(server, f"{server} --port 41234 --workers 2"))
        cell.samples = [
            Sample(values={"lost_looking": count, "lost_blind": 4 * count + 1.0 * (server != "penstock")})
            for count in lost
        ]
        table.cells.append(cell)
    table.cells[2].problems = [
        "the server ended (killed by SIGKILL)\n    Traceback (most recent call last):\n    MemoryError"
    ]
    table.cells.append(Cell("hypercorn", VERSIONS["hypercorn"], "hypercorn apps.hello:app"))
    return table


def idle() -> Table:
    """One round only, and one server that could not be measured in it."""
    table = Table("idle", "5,000 idle connections", "They are opened, used once and left alone.", (IDLE,))
    for server, size in {"floor": 2014.0, "penstock": 3021.0, "uvicorn": 8109.0, "nginx": 528.0}.items():
        table.cells.append(Cell(server, VERSIONS[server], server, [Sample(values={"idle_bytes": size})]))
    table.cells.append(Cell("granian", VERSIONS["granian"], "granian", [Sample(values={})]))
    return table


def comparison() -> Comparison:
    return Comparison(
        started_at="2026-03-14T09:26:53Z",
        command="loadtest/compare hello reload idle --rounds 5",
        rounds=5,
        machine={
            "kernel": "Linux 6.18.5",
            "processor": "Some Processor 9000 @ 2.50GHz (x86_64)",
            "cores": "2 usable of 2",
            "compiler of Python": "GCC 12.2.0",
            "CPython": "3.11.9",
            "uvloop": "0.22.1",
            "httptools": "0.7.1",
            "penstock": "0.1.0",
        },
        tables=[hello(), reload(), idle()],
        absent={"haproxy": "apt install haproxy"},
    )
