"""
`loadtest/run`: one load on one server, told in a few lines, in JSON and in a picture.
"""

import contextlib
import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from bench import load, machine, wrk
from bench.failure import LoadFailed
from bench.generate import Positive
from bench.plot import percentile_plot
from bench.result import PRINTED_PERCENTILES, LoadResult
from bench.server import ServerFailed
from bench.target import Elsewhere, Target, cores_for, penstock

DURATION_S = 10.0
WRK2_DURATION_S = 30.0  # A third of it is calibration.

FAILED, USAGE, NOT_STARTED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked on the command line."""

    rate: float | None
    duration: float | None
    connections: int
    workers: int
    script: str
    app: str
    path: str
    out: Path | None
    url: str | None
    pid: int | None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rate", type=Positive(), help="Requests/s, in an open loop. Without: as fast as they come.")
@click.option("--duration", type=Positive(), help="Seconds. Default: 10, or 30 where wrk2 makes the load.")
@click.option("--connections", type=click.IntRange(1, 60_000), default=64, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Of Penstock.")
@click.option("--script", default="get", show_default=True, help="get, post, pipeline, mix or a .lua file.")
@click.option("--app", default="apps.hello:app", show_default=True, help="What Penstock serves: MODULE:NAME.")
@click.option("--path", default="/", show_default=True, help="The path to load, where the script has none.")
@click.option("--url", help="Load a server that already runs, and start none.")
@click.option("--pid", type=click.IntRange(min=1), help="The process behind --url, for its CPU time.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for JSON and SVG.")
def main(**given: Any) -> None:
    """
    Put load on a server and tell its latencies, its rate and what a request costs.

    It starts Penstock with APP on its own cores, or loads the server at --url.
    """
    options = Options(**given)
    check(options)
    # As an exit, a termination ends the server and the load too.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        sys.exit(run(options))
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)


def check(options: Options) -> None:
    """End with a usage error where options contradict each other."""
    context = click.get_current_context()
    if options.url is None:
        if options.pid is not None:
            fail("--pid belongs to --url: the server that is started here is known", USAGE)
        if not options.path.startswith("/"):
            fail(f"--path {options.path} does not begin with /", USAGE)
        return
    if not is_http(options.url):
        fail(f"--url {options.url} is no URL: http://HOST:PORT/PATH", USAGE)
    for name in ("app", "workers", "path"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            fail(f"--{name} belongs to a server that is started here, and --url starts none", USAGE)


def run(options: Options) -> int:
    """Do all of it; return the exit status."""
    try:
        script = load.script_named(options.script)
        duration_s = options.duration or default_duration_s(options)
    except LoadFailed as failure:
        fail(str(failure), USAGE)
    server_cores, load_core = cores_for(machine.usable_cores())
    started = datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        try:
            target = stack.enter_context(target_of(options, server_cores))
        except ServerFailed as failure:
            fail(str(failure), NOT_STARTED)
        click.echo(target.story(load_core))
        try:
            result, cpu_s = measure(target, script, options, duration_s, load_core)
            problem = target.problem()
        except LoadFailed as failure:
            fail("\n".join(filter(None, [str(failure), target.problem()])), FAILED)

    server_busy = cpu_s / result.duration_s / target.core_count if cpu_s is not None else None
    notes = list(filter(None, [load.note_on(result, server_busy=server_busy), *caveats(result)]))
    click.echo(report(result, cpu_s))
    for note in notes:
        click.echo(f"\n{note}")

    folder = options.out or load.LOADTEST / "results" / f"{started:%Y%m%d-%H%M%S}-{script.stem}"
    record = {
        "started_at": started.isoformat(timespec="seconds"),
        "command": shlex.join(["loadtest/run", *sys.argv[1:]]),
        "machine": dict(machine.facts()),
        "server": {"command": target.command, "cpu_s": cpu_s, "busy": server_busy},
        "load": {**dataclasses.asdict(result), "rate": result.rate},
        "latency_us": latencies(result),
        "cpu_us_per_request": per_request_us(result, cpu_s),
        "notes": notes,
        "problem": problem,
    }
    write(folder, record, percentile_plot({target.name: result.curve}, title_of(result, script)))
    click.echo(f"\n{target.command}\n{result.command}\n{folder / 'result.json'}, percentiles.svg")
    if problem:
        fail(problem, FAILED)
    return 0 if result.requests else FAILED


def default_duration_s(options: Options) -> float:
    """Long enough to mean something. Raises LoadFailed if $WRK2 is wrong."""
    return WRK2_DURATION_S if options.rate and wrk.find_wrk2() else DURATION_S


def is_http(url: str) -> bool:
    """Tell whether somebody can be asked there."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def target_of(options: Options, cores: list[int] | None) -> contextlib.AbstractContextManager[Target]:
    """Start Penstock, or take the server that runs."""
    if options.url is not None:
        return contextlib.nullcontext(Elsewhere(options.url, options.pid))
    return penstock(options.app, workers=options.workers, cores=cores, path=options.path)


def measure(
    target: Target, script: Path, options: Options, duration_s: float, core: int | None
) -> tuple[LoadResult, float | None]:
    """Load, and take the CPU seconds that the server spent meanwhile, where they can be known."""
    before_s = target.cpu_s()
    if options.rate is None:
        result = load.closed_loop(
            target.url, script, connections=options.connections, duration_s=duration_s, core=core
        )
    else:
        result = load.open_loop(
            target.url,
            script,
            rate=options.rate,
            connections=options.connections,
            duration_s=duration_s,
            core=core,
        )
    after_s = target.cpu_s()
    return result, None if before_s is None or after_s is None else after_s - before_s


def caveats(result: LoadResult) -> Iterator[str]:
    """Say what the figures do not show."""
    if not result.is_open_loop:
        yield "A closed loop asks nothing while it waits: its percentiles hide stalls. See --rate."
        if result.requests and not result.curve:
            yield "wrk has no right percentiles for a script that pipelines. See --rate."
    if result.generator_late_us and result.generator_late_us > 1000:
        yield (
            f"The load generator itself was up to {result.generator_late_us / 1000:.1f} ms late (p99): "
            "something else had its core, and that is in the latencies."
        )


def report(result: LoadResult, cpu_s: float | None) -> str:
    """Write the figures for a terminal."""
    lines = [
        name.ljust(10) + (f"{value_us / 1000:12.3f} ms" if value_us is not None else f"{'unknown':>12}")
        for name, value_us in latencies(result).items()
    ]
    asked = f" of {result.asked_rate:,.0f} asked" if result.asked_rate is not None else ""
    lines.append("rate".ljust(10) + f"{result.rate:>12,.0f} requests/s{asked}")
    lines.append("answers".ljust(10) + f"{result.requests:>12,} in {result.duration_s:.1f} s")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in result.errors.items() if count)
    lines.append("errors".ljust(10) + f"{result.error_count:>12,}" + (f" ({kinds})" if kinds else ""))
    cost_us = per_request_us(result, cpu_s)
    lines.append(
        "CPU".ljust(10) + (f"{cost_us:12.1f} µs/request" if cost_us is not None else f"{'unknown':>12}")
    )
    return "\n".join(["", *lines])


def latencies(result: LoadResult) -> dict[str, int | None]:
    """Read the percentiles that are told off the curve."""
    read = {f"p{at:g}": result.latency_us(at) for at in PRINTED_PERCENTILES} | {"max": result.max_us}
    return {name: value_us if result.curve else None for name, value_us in read.items()}


def per_request_us(result: LoadResult, cpu_s: float | None) -> float | None:
    """CPU time of the server's whole tree over the answers it gave."""
    return cpu_s * 1e6 / result.requests if cpu_s is not None and result.requests else None


def title_of(result: LoadResult, script: Path) -> str:
    """Name the picture."""
    pace = f"{result.asked_rate:,.0f} requests/s" if result.asked_rate is not None else "closed loop"
    return f"{script.stem}: latency, {pace}"


def write(folder: Path, record: dict[str, Any], picture: str) -> None:
    """Leave the figures for programs, and the picture for people."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(record, indent=2) + "\n")
        (folder / "percentiles.svg").write_text(picture)
    except OSError as error:
        fail(f"cannot write to {folder}: {error.strerror}", FAILED)


def fail(message: str, status: int) -> NoReturn:
    """End with one message, and no traceback."""
    click.echo(f"loadtest/run: {message}", err=True)
    sys.exit(status)
