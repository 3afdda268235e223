"""
What a scenario is, and how the scenarios are found: one file each in bench/scenarios.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import scenarios
from bench.failure import LoadFailed
from bench.load import closed_loop, note_on, open_loop, script_named
from bench.peers import Peer, Work
from bench.result import LoadResult, Metric, Sample
from bench.server import Server

WARM_S = 0.5
CONNECTIONS = 64
OPEN_CONNECTIONS = 32

# Above that, a figure would be that of failing: a server may well be fast at it, or slow.
ERROR_SHARE_MAX = 0.01

CPU = Metric("cpu_us", "CPU per request", "µs")
RATE = Metric("rate", "closed loop, one core", "requests/s", lower_is_better=False)


def latency_metrics(rate: int) -> tuple[Metric, Metric]:
    """Give the two latencies that an open loop at this rate is told by."""
    return Metric("p50_ms", f"p50 at {rate:,}/s", "ms"), Metric("p99_ms", f"p99 at {rate:,}/s", "ms")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One server that runs and is to be measured once."""

    server: Server
    peer: Peer
    work: Work
    core: int | None  # The load's own.
    seconds: float
    commands: list[str]  # What loaded it is noted here, for the report.
    origin: Server | None = None  # What it passes requests on to, on the load's core.
    server_cores: Sequence[int] = ()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.port}/"

    def closed(self, script: Path) -> tuple[dict[str, float], tuple[str, ...]]:
        """Load as fast as answers come; give CPU per request and requests a second."""
        self._load(script, WARM_S)
        before_s = self.server.cpu_s()
        result = self._load(script, self.seconds)
        cpu_s = self.server.cpu_s() - before_s
        return {"cpu_us": cpu_s * 1e6 / max(1, result.requests), "rate": result.rate}, self._notes(result)

    def open(self, script: Path, rate: float) -> tuple[dict[str, float], LoadResult, tuple[str, ...]]:
        """Load at a constant rate; give latencies, and CPU per request at that rate."""
        if self.origin is not None and self.server_cores:
            # The generator wants a core for itself, and at this rate the server's has room.
            self.origin.move(self.server_cores)
        before_s = self.server.cpu_s()
        result = open_loop(
            self.url,
            script,
            rate=rate,
            connections=OPEN_CONNECTIONS,
            duration_s=self.seconds,
            core=self.core,
        )
        cpu_s = self.server.cpu_s() - before_s
        self._note_command(result)
        values = {
            "p50_ms": result.latency_us(50) / 1e3,
            "p99_ms": result.latency_us(99) / 1e3,
            "open_cpu_us": cpu_s * 1e6 / max(1, result.requests),
        }
        return values, result, self._notes(result, server_busy=cpu_s / self.seconds)

    def _load(self, script: Path, seconds: float) -> LoadResult:
        result = closed_loop(self.url, script, connections=CONNECTIONS, duration_s=seconds, core=self.core)
        if seconds == self.seconds:
            self._note_command(result)
        return result

    def _note_command(self, result: LoadResult) -> None:
        command = result.command.replace(f":{self.server.port}", ":PORT")
        if command not in self.commands:
            self.commands.append(command)

    def _notes(self, result: LoadResult, server_busy: float | None = None) -> tuple[str, ...]:
        """Say what has to be said of a load. Raises ServerFailed or LoadFailed where its figures are none."""
        self.server.check()
        if not result.requests:
            raise LoadFailed("no request was answered")
        notes = []
        if result.error_count:
            told = ", ".join(f"{count:,} {kind}" for kind, count in result.errors.items() if count)
            notes.append(f"errors: {told} of {result.requests:,} requests")
            if result.error_count > ERROR_SHARE_MAX * result.requests:
                raise LoadFailed(f"too many errors for figures: {told} of {result.requests:,} requests")
        if (note := note_on(result, server_busy=server_busy)) is not None:
            notes.append(note)
        return tuple(notes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """Something that servers are compared in."""

    name: str
    title: str
    story: str
    metrics: tuple[Metric, ...]
    work: Work
    measure: Callable[[Trial], Sample]
    ready_path: str = "/"
    needs_reload: bool = False
    connections: int = 0  # So many at once, where it needs more descriptors than anybody has.
    rounds_max: int | None = None  # For what takes long, or hardly varies.
    order: int = 100  # Where in the report it stands.


def cost_and_latency(script: str, rate: int) -> Callable[[Trial], Sample]:
    """Measure CPU per request in a closed loop, then latency in an open one."""

    def measure(trial: Trial) -> Sample:
        path = script_named(script)
        values, notes = trial.closed(path)
        latencies, result, more_notes = trial.open(path, rate)
        return Sample(values={**values, **latencies}, curve=result.curve, notes=notes + more_notes)

    return measure


def cost(script: str) -> Callable[[Trial], Sample]:
    """Measure CPU per request in a closed loop."""

    def measure(trial: Trial) -> Sample:
        values, notes = trial.closed(script_named(script))
        return Sample(values=values, notes=notes)

    return measure


def all_scenarios() -> dict[str, Scenario]:
    """Load every file of bench/scenarios; by name, in the order of the report."""
    found: list[Scenario] = []
    for module in pkgutil.iter_modules(scenarios.__path__):
        scenario = importlib.import_module(f"{scenarios.__name__}.{module.name}").SCENARIO
        assert isinstance(scenario, Scenario), module.name
        assert scenario.name == module.name, f"scenario {scenario.name!r} is in {module.name}.py"
        found.append(scenario)
    return {scenario.name: scenario for scenario in sorted(found, key=lambda each: each.order)}
