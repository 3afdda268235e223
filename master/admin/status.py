"""
What the master knows, as it tells the admin process, and `/status` made of it.

FleetStatus is a message: the master sends one whenever something changed, and
an admin process of the release before may read it, so fields are only added,
with defaults. What changes with every request (connections, requests, lag) is
not in it; the admin process reads that from the workers' rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from penstock.master.admin.vitals import Vitals
from penstock.master.fleet import SUSPECT
from penstock.master.operations import Operation
from penstock.master.watched import WatchedUpstream
from penstock.shm import names
from penstock.shm.counting import IMPLEMENTATION
from penstock.shm.layout import LAYOUT_MAJOR, WORD_SIZE
from penstock.shm.row import Kind, ReadRow, Row, RowReading, State
from penstock.shm.segment import Segment

# Owners stamp their rows several times in this time. Beyond it, the loop is late.
HEARTBEAT_GRACE_NS: Final = 1_000_000_000


class MasterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The master itself."""

    pid: int
    state: str  # starting, running, rolling, upgrading, draining
    generation: int  # the youngest that serves
    started_at: float  # wall-clock time, in seconds


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process."""

    slot: int
    core: int | None
    pid: int
    state: str  # starting, ready, suspect, draining
    generation: int
    row: int
    started_monotonic_s: float


class ShardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One listening socket: who accepts on it, and how many connections wait in it."""

    index: int
    slot: int | None
    queued: int


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that is served: what people call it, and when it ends."""

    name: str
    expires_at: float  # wall-clock time, in seconds


class ListenerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One address and its shards."""

    name: str
    address: str
    shards: tuple[ShardStatus, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last roll or hot restart did not happen."""

    message: str
    at: float  # wall-clock time, in seconds


class CrashLoopStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A slot whose workers die young, one after the other."""

    slot: int
    failures: int
    next_attempt_monotonic_s: float
    last_reason: str


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the master tells about itself and its workers."""

    name: str
    version: str
    master: MasterStatus
    slot_count: int
    has_served: bool  # every slot was READY once
    workers: tuple[WorkerStatus, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    admin_address: str | None = None  # None: there is only the control socket
    # Until a roll succeeds again. The counts below never go down.
    failure: Failure | None = None
    reload_failures: int = 0
    segment_resets: int = 0
    worker_restarts: dict[str, int] = {}  # by reason
    operations: tuple[Operation, ...] = ()  # those under way and the last few, oldest first
    crash_loops: tuple[CrashLoopStatus, ...] = ()
    upstreams: tuple[WatchedUpstream, ...] = ()
    segment: int = 0  # the serial of the one whose words are meant there

    def slots_without_service(self) -> list[int]:
        """
        List the slots on which no worker of any generation is READY.

        A suspect is: its siblings accept for it, and to be busy is no reason to be sent no clients.
        """
        serving = {worker.slot for worker in self.workers if worker.state in (State.READY.word, SUSPECT)}
        return [slot for slot in range(self.slot_count) if slot not in serving]


class WorkerReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker's row says about it just now."""

    pid: int
    connections_active: int
    connections_idle: int
    requests: int  # since it started
    loop_lag_s: float


def read_workers(segment: Segment, now_ns: int, read: ReadRow = Row.read) -> dict[int, WorkerReading]:
    """Read the rows of all current workers, by row index. Rows that make no sense are left out."""
    active, idle = names.CONNECTION_STATES
    found = {}
    for row in segment.claimed_rows():
        reading = read(row)
        if reading is None or reading.kind is not Kind.WORKER or not reading.is_current:
            continue
        found[row.index] = WorkerReading(
            pid=reading.pid,
            connections_active=_sum(row, names.CONNECTIONS, ("state", active)),
            connections_idle=_sum(row, names.CONNECTIONS, ("state", idle)),
            requests=_sum(row, names.REQUESTS),
            loop_lag_s=loop_lag_s(reading, now_ns),
        )
    return found


def read_memory(segment: Segment) -> dict[str, Any]:
    """Say how large the shared segment is, and how much of it is in use."""
    schema = segment.schema
    words = {section.name: section.words for section in schema.row}
    entries = segment.series.entries()
    return {
        "size_bytes": schema.size,
        "resident_bytes": segment.resident_bytes,
        "rows": schema.row_count,
        "rows_used": sum(not row.is_free() for row in segment.own_rows()),
        "row_bytes": schema.row_stride * WORD_SIZE,
        "cells": schema.cell_count,
        "cells_used": max((each.first + each.word_count for each in entries), default=0),
        "app_values": words.get("values", 0),
        "layout": LAYOUT_MAJOR,
        "counting": IMPLEMENTATION,  # the workers' as well: one installation, one environment
        "segments_before": len(segment.living_ancestors()),
    }


def loop_lag_s(reading: RowReading, now_ns: int) -> float:
    """
    Tell how late a loop is: what it said last, or for how long it has said nothing.

    A blocked loop cannot say that it is blocked, but its heartbeat gets old.
    A worker that is still importing its app has no loop yet, and is not late.
    """
    if reading.state is State.STARTING:
        return 0.0
    silent_ns = now_ns - reading.heartbeat_ns - HEARTBEAT_GRACE_NS
    return max(reading.loop_lag_us / 1e6, silent_ns / 1e9, 0.0)


def render_status(
    fleet: FleetStatus,
    readings: Mapping[int, WorkerReading],
    vitals: Mapping[int, Vitals],
    memory: Mapping[str, Any],
    *,
    admin_pid: int,
    now_monotonic_s: float,
    now_s: float,
    upstreams: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Give what `/status` answers, as plain values."""
    return {
        "name": fleet.name,
        "version": fleet.version,
        "uptime_s": round(max(0.0, now_s - fleet.master.started_at), 3),
        "master": {
            "pid": fleet.master.pid,
            "state": fleet.master.state,
            "generation": fleet.master.generation,
            "started_at": fleet.master.started_at,
            "rss_bytes": _rss_bytes(vitals.get(fleet.master.pid)),
            "last_failure": None if fleet.failure is None else msgspec.to_builtins(fleet.failure),
        },
        "admin": {
            "pid": admin_pid,
            "address": fleet.admin_address,
            "rss_bytes": _rss_bytes(vitals.get(admin_pid)),
        },
        "slots": fleet.slot_count,
        "workers": [
            _render_worker(worker, readings.get(worker.row), vitals.get(worker.pid), now_monotonic_s)
            for worker in sorted(fleet.workers, key=lambda each: (each.slot, each.generation, each.pid))
        ],
        "worker_restarts": dict(fleet.worker_restarts),
        "reload_failures": fleet.reload_failures,
        "operations": [msgspec.to_builtins(operation) for operation in fleet.operations],
        "crash_loops": [_render_crash_loop(each, fleet, now_monotonic_s) for each in fleet.crash_loops],
        "shared_memory": dict(memory),
        "listeners": [msgspec.to_builtins(listener) for listener in fleet.listeners],
        "upstreams": list(upstreams),
    }


def _render_crash_loop(loop: CrashLoopStatus, fleet: FleetStatus, now_monotonic_s: float) -> dict[str, Any]:
    # Beside a predecessor that serves on, somebody new may be starting or not.
    newest = max(
        (worker for worker in fleet.workers if worker.slot == loop.slot),
        key=lambda worker: worker.started_monotonic_s,
        default=None,
    )
    is_waiting = newest is None or newest.started_monotonic_s < loop.next_attempt_monotonic_s
    left_s = max(0.0, loop.next_attempt_monotonic_s - now_monotonic_s)
    return {
        "slot": loop.slot,
        "failures": loop.failures,
        "next_attempt_s": round(left_s, 3) if is_waiting else None,
        "last_reason": loop.last_reason,
    }


def _render_worker(
    worker: WorkerStatus, reading: WorkerReading | None, vitals: Vitals | None, now_monotonic_s: float
) -> dict[str, Any]:
    if reading is None or reading.pid != worker.pid:
        # Just forked, or just gone: nobody speaks for it.
        reading = WorkerReading(
            pid=worker.pid, connections_active=0, connections_idle=0, requests=0, loop_lag_s=0.0
        )
    return {
        "slot": worker.slot,
        "core": worker.core,
        "pid": worker.pid,
        "state": worker.state,
        "generation": worker.generation,
        "age_s": round(max(0.0, now_monotonic_s - worker.started_monotonic_s), 3),
        "rss_bytes": _rss_bytes(vitals),
        "cpu_s": None if vitals is None else round(vitals.cpu_s, 2),
        "connections": reading.connections_active + reading.connections_idle,
        "connections_active": reading.connections_active,
        "connections_idle": reading.connections_idle,
        "requests": reading.requests,
        "loop_lag_s": reading.loop_lag_s,
    }


def _rss_bytes(vitals: Vitals | None) -> int | None:
    return None if vitals is None else vitals.rss_bytes


def _sum(row: Row, name: str, label: tuple[str, str] | None = None) -> int:
    return sum(row.cells[word] for word in row.series.words_of(name, label))
