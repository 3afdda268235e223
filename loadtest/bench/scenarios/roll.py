"""What a deploy costs those who wait: latency while the workers are replaced, and while they are not."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator

from bench.load import script_named
from bench.peers import Work
from bench.reloading import reload_times
from bench.result import Metric, Sample
from bench.scenario import Scenario, Trial

RATE_OPEN = 1000
# At least: so many requests that p99.9 is the tenth slowest, and several reloads.
SECONDS = 10.0


def measure(trial: Trial) -> Sample:
    """Measure latency at a constant rate twice: undisturbed, and with one reload after the other."""
    trial = dataclasses.replace(trial, seconds=max(SECONDS, trial.seconds))
    script = script_named("get")
    _, calm, notes = trial.open(script, RATE_OPEN)
    with reloading(trial) as told:
        _, rolling, more_notes = trial.open(script, RATE_OPEN)
    values = {
        "added_ms": (rolling.latency_us(99.9) - calm.latency_us(99.9)) / 1e3,
        "p999_ms": rolling.latency_us(99.9) / 1e3,
        "calm_p999_ms": calm.latency_us(99.9) / 1e3,
        "p50_ms": rolling.latency_us(50) / 1e3,
        "lost": float(rolling.error_count),
    }
    return Sample(
        values=values, curve=rolling.curve, notes=tuple(dict.fromkeys((*notes, *more_notes, *told)))
    )


@contextlib.contextmanager
def reloading(trial: Trial) -> Iterator[list[str]]:
    """Reload over and over until the end of the block; gives what has to be said about it."""
    over = threading.Event()
    told: list[str] = []
    failures: list[Exception] = []

    def reload() -> None:
        try:
            while not over.is_set():
                told.extend(reload_times(trial.server, trial.peer, trial.work.workers, 1))
        except Exception as failure:  # Of another thread: raised again below.
            failures.append(failure)

    thread = threading.Thread(target=reload)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


SCENARIO = Scenario(
    name="roll",
    title="Latency during reloads",
    story=(
        "Requests are due at a constant rate, first undisturbed, then while two workers are replaced over "
        "and over, as on deploys. Booting an app takes the same core that serves: what those who ask "
        "meanwhile wait is in the slowest of a thousand."
    ),
    metrics=(
        Metric("p999_ms", f"p99.9 at {RATE_OPEN:,}/s during reloads", "ms"),
        Metric("calm_p999_ms", f"p99.9 at {RATE_OPEN:,}/s undisturbed", "ms"),
        Metric("added_ms", "p99.9 more than undisturbed", "ms"),
        Metric("p50_ms", "p50 during reloads", "ms"),
        Metric("lost", "lost during reloads", "requests"),
    ),
    work=Work(app="apps.hello:app", body="Hello, world!", workers=2),
    measure=measure,
    needs_reload=True,
    rounds_max=3,
    order=85,
)
