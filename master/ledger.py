"""
What the master keeps count of, and what it tells about itself.

Restarts and failures, its own row with the heartbeat, and the FleetStatus that
the admin process makes metrics and `/status` of.
"""

import os
import time
from collections.abc import Mapping

from penstock import __version__
from penstock.master.admin.status import (
    CertificateStatus,
    CrashLoopStatus,
    Failure,
    FleetStatus,
    ListenerStatus,
    MasterStatus,
    ShardStatus,
    WorkerStatus,
)
from penstock.master.backoff import crash_loops
from penstock.master.fleet import Fleet
from penstock.master.holdings import Holdings
from penstock.master.lending import Shard
from penstock.master.listeners import Listener
from penstock.master.operations import Operations
from penstock.shm.fence import register_writer
from penstock.shm.owner import process_started
from penstock.shm.row import Kind, Row, State
from penstock.shm.segment import Segment
from penstock.worker.shards import queued_connections

# Enough for an exception's own line; the log has the traceback.
REASON_CHARS_MAX = 300


class Ledger:
    """The master's own numbers. The counts never go down, not by a hot restart either."""

    def __init__(self, row: Row, *, name: str, started_at_s: float) -> None:
        register_writer()  # Also after an execve, which forgets it.
        self._row = row
        self._name = name
        self.started_at_s = started_at_s
        self.failure: Failure | None = None
        self.reload_failures = 0
        self.segment_resets = 0  # hot restarts from a segment that could not be read
        self.worker_restarts: dict[str, int] = {}
        self.operations = Operations()

    @classmethod
    def open(cls, segment: Segment, *, name: str, started_at_s: float) -> "Ledger":
        """Claim the master's row."""
        return cls(_claim(segment), name=name, started_at_s=started_at_s)

    def move(self, segment: Segment) -> None:
        """Go on in another segment. The row in the one before is to be retired."""
        self._row = _claim(segment)

    def summary(self, fleet: Fleet, state: State) -> str:
        """Say in one line how the server is."""
        what = {
            State.STARTING: f"starting {_workers(fleet.slot_count)}",
            State.ROLLING: f"rolling to generation {fleet.generation}",
            State.UPGRADING: "hot restart: checking the new code",
            State.DRAINING: "stopping",
        }.get(state, f"serving on {_workers(fleet.slot_count)}, generation {fleet.serving_generation}")
        loops = [f"slot {slot} is in a crash loop" for slot in crash_loops(fleet)]
        failed = [f"last failure: {_first_line(self.failure.message)}"] if self.failure is not None else []
        return "; ".join([what, *loops, *failed])

    @property
    def row_index(self) -> int:
        """The master's row, which it keeps across hot restarts: it is the same process."""
        return self._row.index

    def count_restart(self, reason: str) -> None:
        """Count a worker that ended and is replaced, by the reason."""
        self.worker_restarts[reason] = self.worker_restarts.get(reason, 0) + 1

    def fail(self, why: str) -> None:
        """Remember why a reload, a roll or a hot restart did not happen."""
        self.reload_failures += 1
        self.failure = Failure(message=why, at=time.time())

    def succeed(self) -> None:
        """Forget the last failure: a later attempt did happen."""
        self.failure = None

    def beat(self, state: State) -> None:
        """Say in the master's row that it is alive, and in which state."""
        self._row.set_state(state)
        self._row.beat(time.monotonic_ns())

    def status(
        self,
        fleet: Fleet,
        state: State,
        holdings: Holdings,
        lent: Mapping[Shard, frozenset[int]],
    ) -> FleetStatus:
        """Write down everything the master knows."""
        slots = {worker.pid: worker.slot for worker in fleet.workers}
        return FleetStatus(
            name=self._name,
            version=__version__,
            master=MasterStatus(
                pid=os.getpid(),
                state=state.word,
                generation=fleet.serving_generation,
                started_at=self.started_at_s,
            ),
            slot_count=fleet.slot_count,
            has_served=fleet.has_served,
            workers=tuple(
                WorkerStatus(
                    slot=worker.slot,
                    core=worker.core,
                    pid=worker.pid,
                    state=worker.word,
                    generation=worker.generation,
                    row=worker.row,
                    started_monotonic_s=worker.spawned_s,
                )
                for worker in fleet.workers
            ),
            listeners=tuple(
                _listener_status(listener, lent, slots) for listener in holdings.listeners.values()
            ),
            admin_address=holdings.admin.shown_address if holdings.admin is not None else None,
            failure=self.failure,
            reload_failures=self.reload_failures,
            segment_resets=self.segment_resets,
            worker_restarts=dict(self.worker_restarts),
            operations=self.operations.all,
            crash_loops=tuple(
                CrashLoopStatus(
                    slot=slot,
                    failures=each.failures,
                    next_attempt_monotonic_s=each.not_before_s,
                    last_reason=_first_line(each.reason),
                )
                for slot, each in crash_loops(fleet).items()
            ),
        )


def _claim(segment: Segment) -> Row:
    now_ns = time.monotonic_ns()
    row = segment.claim(kind=Kind.MASTER, generation=1, now_ns=now_ns)
    row.set_process(os.getpid(), process_started(os.getpid()))
    return segment.adopt(row.index, pid=os.getpid(), now_ns=now_ns)


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:REASON_CHARS_MAX]


def _listener_status(
    listener: Listener, lent: Mapping[Shard, frozenset[int]], slots: Mapping[int, int]
) -> ListenerStatus:
    shards = []
    for index, sock in enumerate(listener.shards):
        holders = lent.get((listener.key, index), frozenset())
        # A shared shard is everyone's, so no slot's.
        slot = slots.get(min(holders)) if len(holders) == 1 else None
        shards.append(ShardStatus(index=index, slot=slot, queued=queued_connections(sock)))
    return ListenerStatus(
        name=listener.name,
        address=listener.shown_address,
        shards=tuple(shards),
        certificates=tuple(
            CertificateStatus(name=each.name, expires_at=each.not_after_s) for each in listener.certificates
        ),
    )
