"""
The generator as a process of its own, for a core of its own: JSON on standard output.

    cd loadtest && python -m bench.generate --rate 2000 --script scripts/get.lua http://127.0.0.1:8000/
"""

import contextlib
import gc
import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import click

from bench.failure import LoadFailed
from bench.generator import Generator, Plan
from bench.lua import Script


class Positive(click.FloatRange):
    """A number above zero that one can count to: neither infinity nor NaN."""

    name = "number"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=1e7)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn text into a number; `click` takes "nan" for one that lies in every range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


@click.command()
@click.option("--rate", type=Positive(), help="Requests/s. Without: closed loop.")
@click.option("--connections", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--duration", type=Positive(), default=10.0, show_default=True)
@click.option("--timeout", type=click.FloatRange(min=0), default=2.0, help="Grace for late answers.")
@click.option("--script", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--spin/--no-spin", default=True, help="Wait awake for the last stretch before a request.")
@click.argument("url")
def main(
    *,
    rate: float | None,
    connections: int,
    duration: float,
    timeout: float,
    script: Path,
    spin: bool,
    url: str,
) -> None:
    """Load URL as a Lua script of wrk says, and print what came of it as JSON."""
    allow_descriptors()
    plan = Plan(connections=connections, duration_s=duration, rate=rate, timeout_s=timeout, spins=spin)
    try:
        generator = Generator(Script(script, url), url, plan)
        # A run is short and makes no cycles: the collector would only stall it.
        gc.collect()
        gc.disable()
        generator.run()
    except LoadFailed as failure:
        sys.exit(str(failure))
    print(json.dumps(generator.outcome()))


def allow_descriptors() -> None:
    """Take as many descriptors as the kernel gives without asking: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
