"""
wrk and wrk2: found, run, and read.

Both are run with a script of ours around the user's, whose `done` prints the
result as JSON. wrk2 builds a program called `wrk`; it is told by its `--rate`.
"""

import functools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import child
from bench.failure import LoadFailed
from bench.histogram import CURVE_PERCENTILES
from bench.result import LoadResult

DONE = Path(__file__).with_name("done.lua")
SCRIPT_SAYS = "@script\n"

# wrk drops an answer that took longer than its timeout from the percentiles, so that is long.
WRK_TIMEOUT_S = 30

# wrk2 throws away what it measured in its first ten seconds, and opens a connection each 5 ms.
CALIBRATION_S = 10.0
CONNECT_STEP_S = 0.005
MEASURED_S_MIN = 1.0

# How long the programs may take over their time, to connect and to sum up.
OVERTIME_S = 30.0


@functools.cache
def usage_of(program: str) -> str:
    """Ask a program for its usage text; empty if it gives none."""
    try:
        told = subprocess.run([program], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout + told.stderr


@functools.cache
def version_of(program: str) -> str:
    """Ask for the version, in one word."""
    told = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"^wrk (\S+)", told.stdout + told.stderr, re.MULTILINE)
    return found[1] if found else "of unknown version"


def is_wrk2(program: str) -> bool:
    """Tell wrk2 from wrk, and from what is neither."""
    return "--rate" in usage_of(program)


def find_wrk2() -> str | None:
    """Find wrk2: $WRK2, else `wrk2` or a `wrk` on PATH that is one. Raises LoadFailed if $WRK2 is wrong."""
    asked = os.environ.get("WRK2")
    if asked:
        found = shutil.which(asked)
        if found is None or not is_wrk2(found):
            raise LoadFailed(f"WRK2={asked} is not wrk2: there is no such program, or it has no --rate")
        return found
    candidates = filter(None, map(shutil.which, ("wrk2", "wrk")))
    return next(filter(is_wrk2, candidates), None)


def find_wrk() -> str | None:
    """Find a plain wrk on PATH."""
    found = shutil.which("wrk")
    return found if found and "--connections" in usage_of(found) and not is_wrk2(found) else None


def wrk2_seconds_min(connections: int) -> float:
    """How long wrk2 must run for its figures to mean anything."""
    return CALIBRATION_S + CONNECT_STEP_S * connections + MEASURED_S_MIN


def load(
    program: str,
    url: str,
    script: Path,
    *,
    rate: float | None,
    connections: int,
    duration_s: float,
    core: int | None,
) -> LoadResult:
    """Run wrk, or with a rate wrk2, for a whole number of seconds. Raises LoadFailed."""
    seconds = max(1, math.ceil(duration_s))
    words = [program, "-t1", f"-c{connections}", f"-d{seconds}s"]
    if rate is None:
        words += ["--timeout", f"{WRK_TIMEOUT_S}s"]
    else:
        words.append(f"-R{max(1, round(rate))}")
    name = "wrk" if rate is None else "wrk2"
    with tempfile.NamedTemporaryFile("w", prefix="bench-", suffix=".lua") as wrapper:
        wrapper.write(wrapped(script))
        wrapper.flush()
        finished = child.run(
            child.pinned([*words, "-s", wrapper.name, url], core), deadline_s=seconds + OVERTIME_S
        )
    outcome = parse(finished.output)
    if finished.status or outcome is None:
        said = finished.complaints or finished.output.strip() or f"exit status {finished.status}"
        raise LoadFailed(f"{name}: {said}")
    if words_of_script := finished.output.rpartition(SCRIPT_SAYS)[2].strip().splitlines()[:-1]:
        print("\n".join(words_of_script).rstrip(), file=sys.stderr)
    curve = tuple((at, value_us) for at, value_us in outcome["curve"])
    if rate is None and outcome["requests_per_write"] > 1:
        # wrk fills in latencies that it takes for omitted, by the time between two answers. When a
        # script pipelines that time is a fraction of an answer's, and most of the latencies are made up.
        curve = ()
    return LoadResult(
        generator=f"{name} {version_of(program)}",
        command=" ".join(child.pinned([name, *words[1:], "-s", shown(script), url], core)),
        asked_rate=rate,
        duration_s=outcome["duration_s"],
        requests=outcome["requests"],
        errors=outcome["errors"],
        curve=curve,
        generator_busy=finished.busy,
    )


def wrapped(script: Path) -> str:
    """Write the script that runs the user's and then tells the result."""
    percentiles = ", ".join(f"{percentile:.9g}" for percentile in CURVE_PERCENTILES)
    path = json.dumps(str(script.resolve()), ensure_ascii=False)
    return f"SCRIPT = {path}\nPERCENTILES = {{{percentiles}}}\n{DONE.read_text()}"


def parse(output: str) -> dict[str, Any] | None:
    """Read the last line; None if it is not the result."""
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and "requests" in found else None


def shown(script: Path) -> str:
    """Give a path as a reader would type it."""
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)
