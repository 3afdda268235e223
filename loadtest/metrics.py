#!/usr/bin/env python3
"""
What metrics cost: an increment, an observation, a scrape, a row of memory, and a percentile's error.

    python loadtest/metrics.py [--rounds 5] [--json]

Penstock's own numbers, natively and in Python, beside prometheus_client, by itself and
in its multiprocess mode. A round measures each in a fresh process, one after the other; a figure is the
median of the rounds, with the lowest and the highest. Nanoseconds are those of one
operation, in CPU time, with the loop around it.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from typing import Final

from bench import accuracy, counting, figures, scraping
from bench.figures import Figure, Round
from bench.machine import facts

from penstock.shm.counting import IMPLEMENTATION, PURE

CLIENTS: Final = {
    "stock": "prometheus_client",
    "multi": "multiprocess mode",
    "hook": "under Penstock",
    "python.hook": "under Penstock, in Python",
}
OPERATIONS: Final = {
    "counter": "`Counter.inc()`",
    "child": "`child.inc()`",
    "labels": "`counter.labels(...).inc()`",
    "gauge": "`Gauge.set()`",
    "histogram": "`Histogram.observe()`",
}


def _of_client(key: str, **judged: object) -> Figure:
    client, _, operation = key.rpartition(".")
    return Figure(key, f"{OPERATIONS[operation]}, {CLIENTS[client]}", "ns", **judged)  # type: ignore[arg-type]


FIGURES: Final = (
    Figure("loop", "an empty loop", "ns"),
    Figure("attribute", "`x.n += 1`", "ns"),
    Figure("cell", "built-in counter", "ns", target=130, beside="stock.counter"),
    Figure("observe", "built-in duration, by a function", "ns", target=400, beside="stock.histogram"),
    Figure("python.count", "a response: duration and class, in Python", "ns", beside="stock.histogram"),
    Figure("count", "a response: duration and class", "ns", target=40, beside="python.count"),
    Figure("python.board", "a request comes on the board and goes, in Python", "ns"),
    Figure("board", "a request comes on the board and goes", "ns", beside="python.board"),
    Figure("python.request", "all that counts a request, in Python", "ns", target=1000),
    Figure("request", "all that counts a request", "ns", beside="python.request"),
    Figure("python.ring", "ring push, 64 bytes, in Python", "ns", target=600),
    Figure("ring", "ring push, 64 bytes", "ns", beside="python.ring"),
    Figure("python.event", "a slow or failed request is noted, 192 bytes, in Python", "ns"),
    Figure("event", "a slow or failed request is noted, 192 bytes", "ns", beside="python.event"),
    *(_of_client(f"stock.{operation}") for operation in OPERATIONS),
    *(_of_client(f"multi.{operation}", beside=f"stock.{operation}") for operation in OPERATIONS),
    _of_client("python.hook.counter", target=250, beside="stock.counter", ratio_max=0.8),
    _of_client("hook.counter", target=180, beside="stock.counter", ratio_max=0.8),
    _of_client("hook.counter", beside="multi.counter", ratio_max=0.3),
    _of_client("hook.child", beside="stock.child"),
    _of_client("hook.labels", beside="stock.labels"),
    _of_client("hook.gauge", beside="stock.gauge"),
    _of_client("python.hook.histogram", target=650, beside="stock.histogram"),
    _of_client("hook.histogram", target=450, beside="stock.histogram"),
    Figure("multi.scrape", "scrape of counters, multiprocess mode", "ms"),
    Figure("scrape", "scrape of counters", "ms", target=10, beside="multi.scrape", ratio_max=0.1),
    Figure(
        "hook.scrape",
        "scrape of counters, under Penstock",
        "ms",
        target=10,
        beside="multi.scrape",
        ratio_max=0.1,
    ),
    Figure("multi.scrape.after", "scrape after replacements, multiprocess mode", "ms", beside="multi.scrape"),
    Figure("scrape.after", "scrape after replacements", "ms", beside="scrape", ratio_max=1.1),
    Figure("fold", "a worker's counters are added to the base", "ms"),
    Figure("multi.scrape.histograms", "scrape of histograms, multiprocess mode", "ms"),
    Figure("scrape.histograms", "scrape of histograms", "ms", beside="multi.scrape.histograms"),
    Figure(
        "hook.scrape.histograms",
        "scrape of histograms, under Penstock",
        "ms",
        beside="multi.scrape.histograms",
    ),
    *(
        Figure(f"p99.{estimate}.{shape}", f"p99 of {data}, {how}", "%", target, is_worst_judged=True)
        for estimate, how, target in (
            ("fine", "Penstock's buckets", 1.6),
            ("exposed", "Prometheus from `/metrics`", None),
            ("stock", "Prometheus from default buckets", None),
        )
        for shape, data in (("lognormal", "log-normal data"), ("pareto", "Pareto data"))
    ),
    Figure("row.virtual", "a row, reserved", "KiB", target=512),
    Figure("row.one", "a row in memory, 1 route", "KiB", target=128),
    Figure("row.usual", f"a row in memory, {scraping.ROUTES_OF_A_USUAL_SERVER} routes", "KiB", target=128),
    Figure("row.full", "a row in memory, as many routes as it has room for", "KiB"),
)

SCRAPES: Final = {"scrape-stock": scraping.stock, "scrape": scraping.ours, "scrape-hooked": scraping.hooked}
# In the order of a round: what is compared is measured one after the other.
PARTS: Final = (*counting.KINDS, *SCRAPES, "accuracy", "sizes")
MULTIPROCESS_PARTS: Final = ("multiprocess", "scrape-stock")
PYTHON_PARTS: Final = ("built-in-python", "hooked-python")


def measure(part: str, options: argparse.Namespace) -> Round:
    """Measure one part, in this process."""
    if part in counting.KINDS:
        return counting.KINDS[part](options.count)
    if part in SCRAPES:
        return SCRAPES[part](options.rows, options.series, options.replacements)
    if part == "accuracy":
        return accuracy.errors_percent(options.values, options.seed)
    assert part == "sizes"
    return scraping.sizes()


def measure_apart(part: str, number: int, arguments: list[str]) -> dict[str, float | None]:
    """Measure one part in a fresh process, which has a folder for multiprocess mode if it needs one."""
    environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
    with tempfile.TemporaryDirectory(prefix="penstock-metrics-") as folder:
        if part in MULTIPROCESS_PARTS:
            environment[counting.MULTIPROCESS] = folder
        if part in PYTHON_PARTS:
            environment[PURE] = "1"
        result = subprocess.run(
            [sys.executable, __file__, *arguments, "--part", part, "--seed", str(number)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def circumstances() -> dict[str, str]:
    """Describe the machine, and the version of what is compared with."""
    return {
        **facts(),
        "prometheus_client": importlib.metadata.version("prometheus_client"),
        "counting": IMPLEMENTATION,
    }


def main() -> None:
    """Measure in rounds, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1_000_000, help="operations, of each kind in a round")
    parser.add_argument("--rows", type=int, default=64, help="processes that are scraped")
    parser.add_argument("--series", type=int, default=500, help="series of each of them")
    parser.add_argument("--replacements", type=int, default=1000, help="workers that are replaced")
    parser.add_argument("--values", type=int, default=200_000, help="durations of which p99 is estimated")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options)))
        return

    rounds: list[Round] = []
    for number in range(options.rounds):
        found: dict[str, float | None] = {}
        for part in PARTS:
            if sys.stderr.isatty():
                print(f"\r\033[Kround {number + 1}: {part}\r", end="", file=sys.stderr, flush=True)
            found |= measure_apart(part, number, sys.argv[1:])
        rounds.append(found)
    results = figures.gather(FIGURES, rounds)
    if options.json:
        command = ["python", "loadtest/metrics.py", *sys.argv[1:]]
        print(
            json.dumps(
                {"command": command, "machine": circumstances(), "figures": figures.plain(results)}, indent=1
            )
        )
        return
    print(figures.table(results))
    for name, fact in circumstances().items():
        print(f"{name}: {fact}")


if __name__ == "__main__":
    main()
