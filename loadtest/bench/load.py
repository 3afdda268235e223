"""
Load on a server: by wrk2 or wrk where they are, else by our own generator.

An open loop keeps its rate whatever the server does, so its latencies show every
stall whole. A closed loop waits for answers before it asks again: it finds how
much a server can do, and its percentiles hide the stalls.
"""

import json
import os
import sys
from pathlib import Path

from bench import child, machine, wrk
from bench.failure import LoadFailed
from bench.result import LoadResult

__all__ = ["LoadFailed", "closed_loop", "note_on", "open_loop", "script_named"]

LOADTEST = Path(__file__).resolve().parents[1]
SCRIPTS = LOADTEST / "scripts"

# A rate within this share of what was asked is the rate that was asked.
REACHED_SHARE = 0.98
FULL_SHARE = 0.9
LAST_ANSWERS_S = 0.1

GRACE_S = 2.0
OVERTIME_S = 60.0

_told: set[str] = set()


def script_named(name: str) -> Path:
    """Find a script of ours by its name, or the user's by its path. Raises LoadFailed."""
    known = {path.stem: path for path in sorted(SCRIPTS.glob("*.lua"))}
    if name in known:
        return known[name]
    if name.endswith(".lua") and Path(name).is_file():
        return Path(name)
    raise LoadFailed(f"no script {name!r}: there are {', '.join(known)}, or give the path of a .lua file")


def open_loop(
    url: str, script: Path, *, rate: float, connections: int, duration_s: float, core: int | None
) -> LoadResult:
    """Load at a constant rate; latency counts from the intended send time. Raises LoadFailed."""
    program = wrk.find_wrk2()
    if program is None:
        tell_once(
            "wrk2 is not here ($WRK2, or `wrk2` or `wrk` with --rate on PATH): "
            "our own open-loop generator makes the load"
        )
    elif duration_s < wrk.wrk2_seconds_min(connections):
        tell_once(
            f"wrk2 calibrates itself for {wrk.CALIBRATION_S:g} s and gives no figures of those: "
            f"for {duration_s:g} s our own open-loop generator makes the load"
        )
    else:
        return wrk.load(
            program, url, script, rate=rate, connections=connections, duration_s=duration_s, core=core
        )
    return own(url, script, rate=rate, connections=connections, duration_s=duration_s, core=core)


def closed_loop(
    url: str, script: Path, *, connections: int, duration_s: float, core: int | None
) -> LoadResult:
    """Load as fast as answers come. Raises LoadFailed."""
    program = wrk.find_wrk()
    if program is not None:
        return wrk.load(
            program, url, script, rate=None, connections=connections, duration_s=duration_s, core=core
        )
    tell_once("wrk is not on PATH: our own generator makes the load, and is full sooner than wrk")
    return own(url, script, rate=None, connections=connections, duration_s=duration_s, core=core)


def own(
    url: str, script: Path, *, rate: float | None, connections: int, duration_s: float, core: int | None
) -> LoadResult:
    """Run our own generator as a process. Raises LoadFailed."""
    options = [f"--connections={connections}", f"--duration={duration_s:g}", f"--timeout={GRACE_S:g}"]
    if rate is not None:
        options.append(f"--rate={rate:g}")
    if len(machine.usable_cores()) == 1:
        options.append("--no-spin")  # What we spin away, the server lacks.
    arguments = ["-m", "bench.generate", *options, f"--script={script.resolve()}", url]
    finished = child.run(
        child.pinned([sys.executable, *arguments], core),
        deadline_s=duration_s + GRACE_S + OVERTIME_S,
        cwd=LOADTEST,
    )
    if finished.status:
        raise LoadFailed(finished.complaints or f"the load generator ended with status {finished.status}")
    outcome = json.loads(finished.output)
    words = " ".join(child.pinned(["python", *arguments[:-2], f"--script={_shown(script)}", url], core))
    return LoadResult(
        generator="open-loop generator of Penstock"
        if rate is not None
        else "closed-loop generator of Penstock",
        command=f"cd loadtest && {words}",
        asked_rate=rate,
        duration_s=outcome["duration_s"],
        requests=outcome["requests"],
        errors=outcome["errors"],
        curve=tuple((at, value_us) for at, value_us in outcome["curve"]),
        generator_busy=outcome["busy"],
        generator_late_us=outcome["late_us"],
    )


def note_on(result: LoadResult, *, server_busy: float | None = None) -> str | None:
    """
    Say that a rate was not reached, and whose core was full; None if it was reached.

    `server_busy` is the share of its cores that the server used, where that is known.
    """
    if result.asked_rate is None:
        return None
    # The time until the last slow answer is part of the run, though nothing was due in it any more.
    due = result.asked_rate * (result.duration_s - LAST_ANSWERS_S)
    if result.requests >= REACHED_SHARE * due:
        return None
    note = f"asked {result.asked_rate:,.0f}/s, got {result.rate:,.0f}/s"
    shares = {"load generator": result.generator_busy, "server": server_busy}
    known = {name: share for name, share in shares.items() if share is not None}
    full = {name: share for name, share in known.items() if share >= FULL_SHARE}
    # If nobody is full, the reader sees both: the limit is elsewhere, in connections or in waiting.
    for name, share in (full or known).items():
        note += f", {name} at {100 * share:.0f} %"
    return note


def tell_once(line: str) -> None:
    """Say something on standard error the first time it is so."""
    if line not in _told:
        _told.add(line)
        print(line, file=sys.stderr)


def _shown(script: Path) -> str:
    script = script.resolve()
    return os.path.relpath(script, LOADTEST) if script.is_relative_to(LOADTEST) else str(script)
