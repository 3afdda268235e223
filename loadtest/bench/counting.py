"""
What one increment and one observation cost, in the process that measures.

CPU time, not wall time: a neighbour that takes the core away is not counted. The
loop around a statement is in its figure, and is a figure of its own.
"""

import os
import random
import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bench import hook
from penstock.shm import histogram, layout, names
from penstock.shm.board import method_tag
from penstock.shm.counting import IMPLEMENTATION, PURE, BoardWriter, Meter, RingWriter
from penstock.shm.events import EventWriter
from penstock.shm.ring import Ring
from penstock.shm.row import Kind
from penstock.shm.schema import SAMPLE_WORDS, Geometry
from penstock.shm.segment import Segment

# What chooses multiprocess mode, by naming its folder.
MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"

CHUNKS: Final = 5
VALUES_COUNT: Final = 1000

# As in Connection and Exchange: an entry on the board of requests in flight ...
COME: Final = """
    entry = board.begin(tag, value, path)
"""
GO: Final = """
    board.end(entry)
"""
# ... two looks at the clock, the duration's bucket and sum, the class, and the bytes.
REQUEST: Final = f"""
    started = clock(){COME}
    elapsed = (clock() - started) // 1000 + value
    meter.count(200, elapsed)
    site.received_bytes += 100
    site.sent_bytes += 200{GO}
"""
NOTE: Final = """
    push(time_ns=1, elapsed_us=value, sent_bytes=200, status=200, route=1, method="GET", path="/a/path")
"""


class Box:
    """Something with attributes, as a Site has them."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.sent_bytes = 0


def durations_us() -> list[int]:
    """Give the durations that are observed: 5 ms in the middle, and a long tail."""
    chance = random.Random(1)
    return [int(chance.lognormvariate(8.5, 1)) for _ in range(VALUES_COUNT)]


def cost_ns(statement: str, count: int, values: list[Any], **names: Any) -> float:
    """Give what a statement costs, `value` being another each time."""
    timer = timeit.Timer(
        f"for value in values:\n    {statement.strip()}",
        timer=time.process_time,
        globals={**names, "values": values},
    )
    turns = max(1, count // (len(values) * CHUNKS))
    timer.timeit(1)
    return statistics.median(timer.repeat(CHUNKS, turns)) / (turns * len(values)) * 1e9


def floor(count: int) -> dict[str, float]:
    """Measure what is in every other figure, and the least that counting can be."""
    values = durations_us()
    return {
        "loop": cost_ns("pass", count, values),
        "attribute": cost_ns("box.sent_bytes += 1", count, values, box=Box()),
    }


def built_in(count: int) -> dict[str, float]:
    """Measure what Penstock counts with, natively or, where the environment says so, in Python."""
    segment = Segment.create(Geometry(row_count=1))
    labels = (("listener", "web"), ("route", "/"))
    requests = segment.series.define_group(names.REQUESTS, "counter", labels, "code", names.CODE_CLASSES)
    duration = segment.series.define(names.REQUEST_DURATION, "histogram", labels)
    claimed = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=0)
    row = segment.adopt(claimed.index, pid=os.getpid(), now_ns=0)
    meter = Meter(row.cells, requests, duration, "/")
    values = durations_us()
    push = RingWriter(Ring(row.samples, SAMPLE_WORDS, row.owner, layout.OWNER_SAMPLES_HEAD)).push
    on_board = {
        "board": BoardWriter(row.board),
        "tag": method_tag("GET"),
        "path": b"/a/path",
    }
    payload = (time.time_ns(), 1000, 2, 300_000, 4 << 32, 5 << 32)
    return {
        "cell": cost_ns("cells[first] += 1", count, values, cells=row.cells, first=requests),
        "observe": cost_ns(
            "observe(cells, first, value)",
            count,
            values,
            observe=histogram.observe,
            cells=row.cells,
            first=duration,
        ),
        "count": cost_ns("meter.count(200, value)", count, values, meter=meter),
        "request": cost_ns(
            REQUEST,
            count,
            values,
            clock=time.perf_counter_ns,
            meter=meter,
            site=Box(),
            **on_board,
        ),
        "board": cost_ns(COME + GO, count, values, **on_board),
        "ring": cost_ns("push(payload)", count, values, push=push, payload=payload),
        "event": cost_ns(NOTE, count, values, push=EventWriter(row).push),
    }


def client(prefix: str, count: int) -> dict[str, float]:
    """Measure prometheus_client as it is in this process: stock, multiprocess mode, or under Penstock."""
    # Here, because the mode is chosen when it is imported.
    from prometheus_client import Counter, Gauge, Histogram  # noqa: PLC0415

    counter = Counter("bench_events", "Events.")
    labelled = Counter("bench_requests", "Requests.", ["method", "code"])
    gauge = Gauge("bench_depth", "Depth.")
    durations = Histogram("bench_duration_seconds", "Durations.")
    values = durations_us()
    seconds = [value / 1e6 for value in values]
    return {
        f"{prefix}.counter": cost_ns("inc()", count, values, inc=counter.inc),
        f"{prefix}.child": cost_ns("inc()", count, values, inc=labelled.labels("GET", "2xx").inc),
        f"{prefix}.labels": cost_ns('counter.labels("GET", "2xx").inc()', count, values, counter=labelled),
        f"{prefix}.gauge": cost_ns("set(value)", count, values, set=gauge.set),
        f"{prefix}.histogram": cost_ns("observe(value)", count, seconds, observe=durations.observe),
    }


def stock(count: int) -> dict[str, float]:
    """Measure prometheus_client by itself, with one process."""
    assert MULTIPROCESS not in os.environ
    return client("stock", count)


def multiprocess(count: int) -> dict[str, float]:
    """Measure prometheus_client in its multiprocess mode, which the environment has chosen."""
    folder = Path(os.environ[MULTIPROCESS])
    found = client("multi", count)
    assert list(folder.glob("*.db")), "multiprocess mode was not on"
    return found


def hooked(count: int) -> Mapping[str, float | None]:
    """Measure prometheus_client under Penstock, as in a worker."""
    if not hook.is_there():
        return {}
    hook.install()
    return client("hook", count)


def in_python(
    kind: Callable[[int], Mapping[str, float | None]],
) -> Callable[[int], Mapping[str, float | None]]:
    """Measure the same in a process that was told to leave the extension alone."""

    def measure(count: int) -> Mapping[str, float | None]:
        assert IMPLEMENTATION == "python", f"{PURE} was not set"
        return {f"python.{key}": value for key, value in kind(count).items()}

    return measure


KINDS: Final[Mapping[str, Callable[[int], Mapping[str, float | None]]]] = {
    "floor": floor,
    "built-in": built_in,
    "built-in-python": in_python(built_in),
    "stock": stock,
    "multiprocess": multiprocess,
    "hooked": hooked,
    "hooked-python": in_python(hooked),
}
