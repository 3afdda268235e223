"""
What a scrape costs: of a segment with many rows, and of as many files of multiprocess mode.

CPU time, of everything between the request and the text: reading, adding up, writing.
"""

import os
import random
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from bench import hook
from bench.counting import MULTIPROCESS
from penstock.master.admin.metrics import render_metrics
from penstock.master.admin.status import FleetStatus, MasterStatus, WorkerStatus
from penstock.shm import histogram, layout, names
from penstock.shm.row import Kind, Row, State
from penstock.shm.samples import SampleWriter
from penstock.shm.schema import SAMPLE_COUNT, Geometry
from penstock.shm.segment import Segment
from penstock.shm.totals import totals

SCRAPES: Final = 5
OBSERVATIONS: Final = 300
# A histogram of prometheus_client has 15 buckets, a sum and a count; ours has 17 and these.
SERIES_OF_HISTOGRAM: Final = 19
ROUTES_OF_A_USUAL_SERVER: Final = 16
KIB: Final = 1024


def cost_ms(scrape: Callable[[], bytes], scrapes: int = SCRAPES) -> float:
    """Give the median of some scrapes, after one that is not counted."""
    assert scrape()
    costs = []
    for _ in range(scrapes):
        began_s = time.process_time()
        scrape()
        costs.append(time.process_time() - began_s)
    return statistics.median(costs) * 1e3


class Fleet:
    """A segment with so many workers in it, and what the master would tell of them."""

    def __init__(self, row_count: int) -> None:
        self.segment = Segment.create(Geometry(row_count))
        self.counters: list[int] = []
        self.histograms: list[int] = []
        self.rows: list[Row] = []
        self._chance = random.Random(1)

    def define_counters(self, count: int) -> None:
        """Define counters of four classes for each of so many routes."""
        for number in range(-(-count // 4)):
            labels = (("listener", "web"), ("route", f"/route/{number}"))
            first = self.segment.series.define_group(
                names.REQUESTS, "counter", labels, "code", names.CODE_CLASSES
            )
            self.counters += range(first, first + 4)

    def define_histograms(self, count: int) -> None:
        """Define a histogram for each of so many routes."""
        for number in range(count):
            labels = (("listener", "web"), ("route", f"/route/{number}"))
            self.histograms.append(self.segment.series.define(names.REQUEST_DURATION, "histogram", labels))

    def start(self, slot: int) -> None:
        """Let a worker of this slot come to life, and count something in every series."""
        claimed = self.segment.claim(kind=Kind.WORKER, generation=1, slot=slot, now_ns=time.monotonic_ns())
        claimed.set_process(os.getpid(), started=1)
        row = self.segment.adopt(claimed.index, pid=os.getpid(), now_ns=time.monotonic_ns())
        row.set_state(State.READY)
        for cell in self.counters:
            row.cells[cell] += 1 + cell
        for first in self.histograms:
            for _ in range(OBSERVATIONS):
                histogram.observe(row.cells, first, int(self._chance.lognormvariate(8.5, 1)))
        self.rows.insert(slot, row)

    def replace(self, slot: int) -> None:
        """End the worker of a slot, and start another."""
        self.segment.retire(self.rows.pop(slot).index)
        self.start(slot)

    def scrape(self) -> bytes:
        """Answer a scrape, as the admin process does."""
        return render_metrics(
            totals(self.segment), self._status(), None, now_monotonic_ns=time.monotonic_ns()
        )[0]

    def _status(self) -> FleetStatus:
        workers = tuple(
            WorkerStatus(
                slot=slot,
                core=slot,
                pid=os.getpid(),
                state="ready",
                generation=1,
                row=row.index,
                started_monotonic_s=0.0,
            )
            for slot, row in enumerate(self.rows)
        )
        master = MasterStatus(pid=os.getpid(), state="running", generation=1, started_at=0.0)
        return FleetStatus(
            name="bench",
            version="0",
            master=master,
            slot_count=len(self.rows),
            has_served=True,
            workers=workers,
        )


def ours(rows: int, series: int, replacements: int) -> dict[str, float]:
    """Scrape a segment of so many workers, at first and after so many of them were replaced."""
    fleet = Fleet(rows)
    fleet.define_counters(series)
    for slot in range(rows):
        fleet.start(slot)
    found = {"scrape": cost_ms(fleet.scrape)}
    for number in range(replacements):
        fleet.replace(number % rows)
    found["scrape.after"] = cost_ms(fleet.scrape)
    found["fold"] = _folding_ms(fleet)

    fleet = Fleet(rows)
    fleet.define_histograms(max(1, series // SERIES_OF_HISTOGRAM))
    for slot in range(rows):
        fleet.start(slot)
    return {**found, "scrape.histograms": cost_ms(fleet.scrape), "fold.histograms": _folding_ms(fleet)}


def _folding_ms(fleet: Fleet) -> float:
    """Give what the master pays for the counts of a worker that ended."""
    costs = []
    for row in fleet.rows:
        began_s = time.process_time()
        fleet.segment.retire(row.index)
        costs.append(time.process_time() - began_s)
    return statistics.median(costs) * 1e3


def stock(rows: int, series: int, replacements: int) -> dict[str, float]:
    """Scrape as many files of multiprocess mode, and those that replaced workers leave behind."""
    folder = Path(os.environ[MULTIPROCESS])
    _count_requests(series)
    found = {}
    counted = _only(folder, "counter")
    _multiply(counted, rows)
    found["multi.scrape"] = cost_ms(lambda: _merge(folder))
    _multiply(counted, rows + replacements)
    found["multi.scrape.after"] = cost_ms(lambda: _merge(folder), scrapes=1)

    for file in folder.glob("*.db"):
        file.unlink()
    _observe_durations(series)
    _multiply(_only(folder, "histogram"), rows)
    return {**found, "multi.scrape.histograms": cost_ms(lambda: _merge(folder))}


def hooked(rows: int, series: int, replacements: int) -> dict[str, float]:
    """Scrape the app's metrics of so many rows. What replacements leave is the affair of other tests."""
    if not hook.is_there():
        return {}
    share = hook.install(rows)
    found = {}
    for key, count in (("hook.scrape", _count_requests), ("hook.scrape.histograms", _observe_durations)):
        registry = CollectorRegistry()
        count(series, registry)
        share()
        found[key] = cost_ms(lambda registry=registry: generate_latest(registry))  # type: ignore[misc]
    return found


def _count_requests(series: int, registry: CollectorRegistry = REGISTRY) -> None:
    requests = Counter(
        "bench_requests", "Requests answered.", ["listener", "route", "code"], registry=registry
    )
    for number in range(-(-series // 4)):
        for code in names.CODE_CLASSES:
            requests.labels("web", f"/route/{number}", code).inc(1 + number)


def _observe_durations(series: int, registry: CollectorRegistry = REGISTRY) -> None:
    durations = Histogram("bench_duration_seconds", "Durations.", ["listener", "route"], registry=registry)
    chance = random.Random(1)
    for number in range(max(1, series // SERIES_OF_HISTOGRAM)):
        for _ in range(OBSERVATIONS):
            durations.labels("web", f"/route/{number}").observe(chance.lognormvariate(8.5, 1) / 1e6)


def sizes() -> dict[str, float]:
    """Measure a row: what is reserved, and what there is in memory after hard work."""
    virtual = Geometry(1).schema().row_stride * layout.WORD_SIZE / KIB
    routes = {"row.one": 1, "row.usual": ROUTES_OF_A_USUAL_SERVER, "row.full": None}
    return {"row.virtual": virtual, **{key: _resident_kib(count) for key, count in routes.items()}}


def _resident_kib(routes: int | None) -> float:
    fleet = Fleet(2)
    per_route = len(names.CODE_CLASSES) + histogram.WORD_COUNT
    # Beside the routes there is what no route took.
    count = fleet.segment.schema.cell_count // per_route if routes is None else routes + 1
    fleet.define_counters(count * len(names.CODE_CLASSES))
    fleet.define_histograms(count)
    fleet.start(0)
    fleet.scrape()  # Header, table and base have their pages now.
    before = fleet.segment.resident_bytes
    fleet.start(1)
    samples = SampleWriter(fleet.rows[1])
    for number in range(SAMPLE_COUNT):
        samples.push(time_ns=number, requests=1, errors=1, sent_bytes=1, connections=1, loop_lag_us=1)
    fleet.scrape()
    return (fleet.segment.resident_bytes - before) / KIB


def _only(folder: Path, kind: str) -> Path:
    [file] = folder.glob(f"{kind}_*.db")
    return file


def _multiply(file: Path, count: int) -> None:
    """Leave the file that so many processes would have left: the same, under their pids."""
    kind = file.stem.partition("_")[0]
    for number in range(1, count):
        target = file.with_name(f"{kind}_{10_000_000 + number}.db")
        if not target.exists():
            shutil.copyfile(file, target)


def _merge(folder: Path) -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)
