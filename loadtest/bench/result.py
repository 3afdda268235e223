"""
What a load found, and what a comparison is made of.

Records only: generators and scenarios fill them, the report and the JSON files
show them. Nothing here knows a process or a picture.
"""

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

# Of all a plot could tell, these are printed.
PRINTED_PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadResult:
    """One load of one server, as its clients saw it."""

    generator: str  # "wrk2 4.0.0", "wrk 4.1.0", "open-loop generator of Penstock"
    command: str  # What was run, for a reader to run again.
    asked_rate: float | None  # Requests/s; None for a closed loop, as fast as answers come.
    duration_s: float
    requests: int  # Answers that arrived, whatever their status.
    errors: Mapping[str, int]  # By kind: connect, read, write, timeout, status. All kinds, zeros too.
    curve: tuple[tuple[float, int], ...]  # (percentile 0..100, µs), ascending; the last is the maximum.
    generator_busy: float | None = None  # Share of the generator's core it used, 0..1.
    generator_late_us: int | None = None  # p99 of how late it sent though it could; our own knows.

    @property
    def is_open_loop(self) -> bool:
        """Tell whether latency counts from the intended send time, so that stalls are seen whole."""
        return self.asked_rate is not None

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / self.duration_s if self.duration_s else 0.0

    @property
    def error_count(self) -> int:
        """All errors together."""
        return sum(self.errors.values())

    def latency_us(self, percentile: float) -> int:
        """Read the curve: the first point at or above the percentile, so never too low."""
        for at, value_us in self.curve:
            if at >= percentile - 1e-9:
                return value_us
        return self.curve[-1][1] if self.curve else 0

    @property
    def max_us(self) -> int:
        """The slowest answer."""
        return self.curve[-1][1] if self.curve else 0


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column of a scenario's table."""

    key: str
    title: str
    unit: str
    lower_is_better: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What one round of one scenario gave for one server."""

    values: Mapping[str, float]  # By Metric.key.
    curve: tuple[tuple[float, int], ...] = ()  # Latency, of an open loop only.
    notes: tuple[str, ...] = ()  # "asked 50,000/s, got 31,200/s, load generator at 100 %"


@dataclasses.dataclass
class Cell:
    """One server in one scenario, over all rounds."""

    server: str
    version: str
    command: str
    samples: list[Sample] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)  # Why a round is missing.

    def values(self, key: str) -> list[float]:
        """All rounds' values of a metric."""
        return [sample.values[key] for sample in self.samples if key in sample.values]

    def median(self, key: str) -> float | None:
        """The median over the rounds, None when no round gave one."""
        values = self.values(key)
        return statistics.median(values) if values else None

    def spread(self, key: str) -> tuple[float, float] | None:
        """The lowest and the highest round."""
        values = self.values(key)
        return (min(values), max(values)) if values else None


@dataclasses.dataclass
class Table:
    """One scenario: what it does, what it measures, and every server's rounds."""

    name: str
    title: str
    story: str  # A few sentences for the reader: what is sent, what it shows.
    metrics: tuple[Metric, ...]  # The first is the one that bars and ratios are made of.
    cells: list[Cell] = dataclasses.field(default_factory=list)
    load_commands: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Comparison:
    """A whole run of `loadtest/compare`."""

    started_at: str  # ISO 8601, UTC.
    command: str
    rounds: int
    machine: Mapping[str, str]  # Kernel, CPU, core count, Python, versions.
    base: str = "floor+task"  # Ratios are to this server where it took part, else to the first.
    tables: list[Table] = dataclasses.field(default_factory=list)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)  # Server -> how to install it.

    def as_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return dataclasses.asdict(self)
