"""What the master reads of a worker that may have to be recycled."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from penstock.master.config.model import Recycle
from penstock.master.fleet import Fleet, State, Worker
from penstock.master.recycler import LOOK_S, RSS_LOOK_S, Recycler, read_rss_bytes
from penstock.shm import names
from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment

PID = os.getpid()
LIMITS = Recycle(max_requests=10, max_requests_jitter=0, max_rss_bytes=2**45)


class Force:
    """A workforce with one worker, which remembers whom it was to replace."""

    def __init__(self, row: int) -> None:
        worker = Worker(
            pid=PID, slot=0, generation=1, row=row, core=None, state=State.READY, since_s=0.0, spawned_s=0.0
        )
        self.fleet = Fleet(workers=(worker,), slot_count=1, generation=1, has_served=True)
        self.replaced: list[tuple[int, str]] = []

    def replace(self, pid: int, reason: str) -> None:
        """As Workforce does."""
        self.replaced.append((pid, reason))


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Geometry(row_count=4, cell_count=64))
    made.series.define_group(names.REQUESTS, "counter", (("listener", "web"),), "code", names.CODE_CLASSES)
    yield made
    made.close()


def claimed(segment: Segment) -> Row:
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=time.monotonic_ns())
    row.set_process(PID, started=1)
    return row


def test_requests_are_those_of_the_worker_and_not_of_its_rows_earlier_owners(segment: Segment) -> None:
    """What they have answered is in the totals; a new worker is not as old as its row."""
    row = claimed(segment)
    row.cells[0] = 1_000
    segment.retire(row.index)
    assert claimed(segment).index == row.index
    force, recycler = Force(row.index), Recycler(segment)

    recycler.tick(force, LIMITS, 100.0)
    assert force.replaced == [], "it has not come into its row yet"
    segment.adopt(row.index, pid=PID, now_ns=time.monotonic_ns())
    row.cells[0] += 6
    row.cells[3] += 3
    recycler.tick(force, LIMITS, 101.0)
    assert force.replaced == []
    row.cells[1] += 1
    recycler.tick(force, LIMITS, 101.0 + LOOK_S / 2)
    assert force.replaced == [], "it is not time to look"
    recycler.tick(force, LIMITS, 101.0 + LOOK_S)
    assert force.replaced == [(PID, "max_requests")]


def test_memory_is_read_every_few_seconds(segment: Segment) -> None:
    """And with the limit that holds by then."""
    row = claimed(segment)
    force, recycler = Force(row.index), Recycler(segment)
    recycler.tick(force, LIMITS, 100.0)
    small = Recycle(max_rss_bytes=1)

    recycler.tick(force, Recycle(), 101.0)
    recycler.tick(force, small, 102.0)
    assert force.replaced == [], "what was read before is forgotten with the limit"
    recycler.tick(force, small, 100.0 + RSS_LOOK_S)
    assert force.replaced == [(PID, "max_rss")]


def test_resident_memory_is_read_of_any_process_and_of_none_that_is_gone() -> None:
    assert 2**22 < (read_rss_bytes(PID) or 0) < 2**34
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_rss_bytes(child.pid) is None
