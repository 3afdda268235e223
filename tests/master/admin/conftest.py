"""A segment with a master, two workers and their series, and a fleet that matches it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from penstock.master.admin.status import (
    FleetStatus,
    ListenerStatus,
    MasterStatus,
    ShardStatus,
    WorkerStatus,
)
from penstock.shm import names
from penstock.shm.row import Kind, Row, State
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment


@dataclass
class Site:
    """What the admin process reads, and the means to make things happen in it."""

    segment: Segment
    status: FleetStatus
    rows: dict[int, Row] = field(default_factory=dict)  # by slot
    requests: int = 0
    duration: int = 0
    accepted: int = 0
    active: int = 0
    idle: int = 0

    def fleet(self) -> FleetStatus:
        """As the admin app asks."""
        return self.status

    def change(self, **changes: object) -> None:
        """Let the master tell something else."""
        self.status = replace(self.status, **changes)

    def define(self) -> None:
        """Define the series of a listener with one route, as the master does."""
        series = self.segment.series
        web = (("listener", "web"),)
        route = (*web, ("route", "/"))
        self.requests = series.define_group(names.REQUESTS, "counter", route, "code", names.CODE_CLASSES)
        self.duration = series.define(names.REQUEST_DURATION, "histogram", route)
        self.accepted = series.define(names.CONNECTIONS_TOTAL, "counter", web)
        series.define(names.RECEIVED_BYTES, "counter", web)
        series.define(names.SENT_BYTES, "counter", web)
        self.active = series.define(names.CONNECTIONS, "gauge", (*web, ("state", "active")))
        self.idle = series.define(names.CONNECTIONS, "gauge", (*web, ("state", "idle")))

    def start_worker(self, slot: int, pid: int, generation: int = 1) -> Row:
        """Let a worker come to life and get READY."""
        row = self.segment.claim(
            kind=Kind.WORKER, generation=generation, slot=slot, core=slot, now_ns=time.monotonic_ns()
        )
        row.set_process(pid, started=1)
        self.segment.adopt(row.index, pid=pid, now_ns=time.monotonic_ns())
        row.set_state(State.READY)
        self.rows[slot] = row
        worker = WorkerStatus(
            slot=slot,
            core=slot,
            pid=pid,
            state="ready",
            generation=generation,
            row=row.index,
            started_monotonic_s=time.monotonic(),
        )
        self.change(workers=(*self.status.workers, worker))
        return row


@pytest.fixture
def site() -> Iterator[Site]:
    """Two slots, served by two workers whose pids are nobody's."""
    segment = Segment.create(Geometry(row_count=8, cell_count=4096))
    status = FleetStatus(
        name="shop",
        version="1.2.3",
        master=MasterStatus(pid=4_000_001, state="running", generation=1, started_at=1_700_000_000.0),
        slot_count=2,
        has_served=True,
        listeners=(
            ListenerStatus(
                name="web",
                address="127.0.0.1:8000",
                shards=(ShardStatus(index=0, slot=0, queued=0), ShardStatus(index=1, slot=None, queued=3)),
            ),
        ),
        admin_address="127.0.0.1:9180",
        worker_restarts={"crash": 2},
    )
    site = Site(segment, status)
    site.define()
    master = segment.claim(kind=Kind.MASTER, generation=1, now_ns=time.monotonic_ns())
    master.set_process(4_000_001, started=1)
    segment.adopt(master.index, pid=4_000_001, now_ns=time.monotonic_ns())
    master.set_state(State.RUNNING)
    site.start_worker(slot=0, pid=4_000_010)
    site.start_worker(slot=1, pid=4_000_011)
    yield site
    segment.close()
