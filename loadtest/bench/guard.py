"""
`make guard`: has a hot path become more expensive?

Instructions per request are compared with the committed baseline. Time is
printed beside them and blocks nothing, since it depends on whatever else the
machine does.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.callgrind import LOADTEST, CountFailed, instructions_per_request
from bench.failure import LoadFailed
from bench.load import closed_loop, script_named
from bench.machine import usable_cores
from bench.server import ServerFailed, free_port, running

BASELINE = LOADTEST / "guard.json"
RISE_MAX = 0.05

# What bare uvloop takes is none of our doing: it is told, to be compared with, and blocks nothing. Another
# C library or processor alone moves it by more than a path of ours may rise.
FLOORS = frozenset({"floor", "floor+task"})
# What counts are divided by where another interpreter or processor makes all of them differ.
REFERENCE = "floor+task"

EXIT_ROSE = 1
EXIT_USAGE = 2

TIME_ROUNDS = 3
TIME_S = 1.5
TIME_CONNECTIONS = 64

BIN = Path(sys.executable).parent
PENSTOCK = [str(BIN / "python"), str(BIN / "penstock")]
WORKER_OPTIONS = [
    *("--port", "{port}", "--workers", "1", "--no-pin", "--admin-bind", "none"),
    *("--control", "{folder}/control.sock", "--log-level", "warning"),
]

GET = b"GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: guard\r\nAccept: */*\r\n\r\n"
BODY = b"x" * 4096
POST = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@dataclasses.dataclass(frozen=True)
class HotPath:
    """Something whose cost is watched. A new one is one entry in PATHS."""

    name: str
    words: Sequence[str]
    request: bytes = GET
    has_master: bool = True


PATHS = (
    HotPath("floor", [str(BIN / "python"), "floor.py", "bare", "{port}"], has_master=False),
    HotPath("floor+task", [str(BIN / "python"), "floor.py", "task", "{port}"], has_master=False),
    HotPath("hello", [*PENSTOCK, "apps.hello:app", *WORKER_OPTIONS]),
    HotPath("post-4k", [*PENSTOCK, "apps.post:app", *WORKER_OPTIONS], POST),
    HotPath("respond", [*PENSTOCK, "-c", "apps/respond.yaml", *WORKER_OPTIONS]),
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How one path stands."""

    name: str
    before: float | None  # Scaled to this environment; None: not in the baseline.
    now: float

    @property
    def change(self) -> float:
        """The rise, as a share of what it was."""
        return self.now / self.before - 1.0 if self.before else 0.0

    @property
    def is_bad(self) -> bool:
        """True when this blocks."""
        return self.before is None or (self.change > RISE_MAX and self.name not in FLOORS)

    @property
    def words(self) -> str:
        """The verdict for a person."""
        if self.before is None:
            return "not in the baseline: run `make guard-baseline`"
        if abs(self.change) > RISE_MAX and self.name in FLOORS:
            return "differs, and is not ours: other counts may differ likewise"
        if self.change > RISE_MAX:
            return f"ROSE by more than {RISE_MAX:.0%}"
        if self.change < -RISE_MAX:
            return "fell: renew the baseline, to keep what was won"
        return "ok"


def environment() -> dict[str, str]:
    """Tell what counts depend on besides our code."""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "machine": platform.machine(),
        "uvloop": importlib.metadata.version("uvloop"),
        "httptools": importlib.metadata.version("httptools"),
    }


def scale_between(baseline: Mapping[str, Any], counts: Mapping[str, float], here: Mapping[str, str]) -> float:
    """Return the factor that brings the baseline's counts to this environment; 1 in the same one."""
    then = baseline["counts"].get(REFERENCE)
    if baseline["environment"] == dict(here) or not then or REFERENCE not in counts:
        return 1.0
    return float(counts[REFERENCE] / then)


def judge(baseline: Mapping[str, Any], counts: Mapping[str, float], scale: float) -> list[Verdict]:
    """Compare each path with its baseline."""
    known = baseline["counts"]
    return [
        Verdict(name, known[name] * scale if name in known else None, count) for name, count in counts.items()
    ]


def count_all(paths: Sequence[HotPath]) -> dict[str, float]:
    """Count every path; say each on standard error as it is there."""
    counts = {}
    for path in paths:
        counts[path.name] = instructions_per_request(
            list(path.words), path.request, has_master=path.has_master
        )
        print(f"guard: {path.name}: {counts[path.name]:,.0f} instructions a request", file=sys.stderr)
    return counts


def time_ratios() -> str:
    """Measure hello's CPU time against the floors in alternation; one line that blocks nothing."""
    cores = usable_cores()
    if len(cores) < 2 or shutil.which("wrk") is None:
        return "time: not measured; that takes wrk and two cores"
    costs: dict[str, list[float]] = {"floor": [], "floor+task": [], "hello": []}
    try:
        for _ in range(TIME_ROUNDS):
            for path in PATHS:
                if path.name in costs:
                    costs[path.name].append(_cpu_us(path, cores))
    except (ServerFailed, LoadFailed) as error:
        return f"time: not measured: {error}"
    medians = {name: statistics.median(found) for name, found in costs.items()}
    ratios = [f"{medians['hello'] / medians[floor]:.2f} x {floor}" for floor in ("floor", "floor+task")]
    return f"time (blocks nothing): hello {medians['hello']:.1f} CPU µs a request = " + " = ".join(ratios)


def _cpu_us(path: HotPath, cores: Sequence[int]) -> float:
    port = free_port()
    # A control socket of its own in the working folder would stay behind; the default one does not.
    words = [word.format(port=port, folder="") for word in path.words]
    if path.has_master:
        at = words.index("--control")
        del words[at : at + 2]
    with running(words, port, cores=cores[:1], cwd=LOADTEST) as server:
        load = {"connections": TIME_CONNECTIONS, "core": cores[-1]}
        url = f"http://127.0.0.1:{port}/"
        closed_loop(url, script_named("get"), duration_s=0.5, **load)
        before_s = server.cpu_s()
        result = closed_loop(url, script_named("get"), duration_s=TIME_S, **load)
        return (server.cpu_s() - before_s) * 1e6 / max(1, result.requests)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `make guard` or `make guard-baseline`; return the exit status."""
    parser = argparse.ArgumentParser(prog="loadtest/guard", description=__doc__)
    parser.add_argument("--renew", metavar="REASON", help="write the baseline anew; say why")
    parser.add_argument("--only", action="append", metavar="PATH", help="count only this path")
    options = parser.parse_args(arguments)
    names = [path.name for path in PATHS]
    unknown = [name for name in options.only or () if name not in names]
    if unknown:
        parser.error(f"no path {unknown[0]!r}; there are {', '.join(names)}")
    if options.renew is not None and (not options.renew.strip() or options.only):
        parser.error('a new baseline counts every path and needs a reason: make guard-baseline REASON="..."')
    try:
        counts = count_all([path for path in PATHS if path.name in (options.only or names)])
    except CountFailed as error:
        print(f"guard: {error}", file=sys.stderr)
        return EXIT_USAGE if shutil.which("valgrind") is None else EXIT_ROSE
    if options.renew is not None:
        write_baseline(BASELINE, counts, options.renew)
        print(f"guard: wrote {BASELINE.name}; commit it with that reason")
        return 0
    status = compare(json.loads(BASELINE.read_text()), counts)
    print(time_ratios())
    return status


def compare(baseline: Mapping[str, Any], counts: Mapping[str, float]) -> int:
    """Print how every path stands, and return the exit status."""
    scale = scale_between(baseline, counts, environment())
    if baseline["environment"] != environment():
        print(f"another environment than the baseline's: its counts are scaled by {scale:.3f} ({REFERENCE})")
    verdicts = judge(baseline, counts, scale)
    print(f"{'path':12} {'baseline':>10} {'now':>10} {'change':>8}   instructions a request")
    for verdict in verdicts:
        before = f"{verdict.before:,.0f}" if verdict.before else "-"
        print(
            f"{verdict.name:12} {before:>10} {verdict.now:>10,.0f} {verdict.change:>+8.1%}   {verdict.words}"
        )
    return EXIT_ROSE if any(verdict.is_bad for verdict in verdicts) else 0


def write_baseline(path: Path, counts: Mapping[str, float], reason: str) -> None:
    """Keep the counts, where they were taken, and why they are new."""
    baseline = {
        "reason": reason.strip(),
        "counted_on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment(),
        "counts": {name: round(count) for name, count in counts.items()},
    }
    path.write_text(json.dumps(baseline, indent=2) + "\n")
