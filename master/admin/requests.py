"""
What the rows tell of single requests: those in flight, and those that were slow or failed.

Paths are told to the owner alone, who asks through the control socket: they are
what clients wrote, and may hold what concerns nobody else. Others get the route.
"""

from collections.abc import Iterator
from typing import Any, Final

from penstock.shm import names
from penstock.shm.board import read_board
from penstock.shm.events import Event, read_events
from penstock.shm.row import Kind, ReadRow, Row, RowReading
from penstock.shm.segment import Segment

# A page of them is more than anybody reads, and 1,024 workers could have a quarter of a million.
REQUESTS_MAX: Final = 1000
INCIDENTS_MAX: Final = 1000


def in_flight(
    segment: Segment, now_ns: int, *, shows_paths: bool, read: ReadRow = Row.read
) -> list[dict[str, Any]]:
    """List the requests that apps are at work on, oldest first. The time is `monotonic_ns`."""
    found: list[dict[str, Any]] = [
        {
            "slot": reading.slot,
            "pid": reading.pid,
            "generation": reading.generation,
            "method": active.method,
            "path": active.path.decode("latin-1") if shows_paths else None,
            "route": _route_of(row, active.route),
            **_server_of(row, active.server),
            "state": active.state,
            "age_s": round(max(0, now_ns - active.started_ns) / 1e9, 6),
            "sent_bytes": active.sent_bytes,
        }
        for row, reading in _workers(segment, read)
        for active in read_board(row.board)
    ]
    return sorted(found, key=lambda each: -each["age_s"])[:REQUESTS_MAX]


def incidents(segment: Segment, *, shows_paths: bool) -> list[dict[str, Any]]:
    """List the requests that were slow or failed, youngest first, also those of workers that are gone."""
    found: list[tuple[Row, Event]] = [
        (row, event) for row in segment.claimed_rows() for event in read_events(row)
    ]
    found.sort(key=lambda each: -each[1].time_ns)
    return [
        {
            "at": event.time_ns / 1e9,
            "slot": event.slot,
            "generation": event.generation,
            "status": event.status,
            "duration_s": event.elapsed_us / 1e6,
            "sent_bytes": event.sent_bytes,
            "method": event.method,
            "path": event.path if shows_paths else None,
            "route": _route_of(row, event.route),
            "request_id": event.request_id or None,
            **_server_of(row, event.server),
            "failure": event.failure or None,
        }
        for row, event in found[:INCIDENTS_MAX]
    ]


def _workers(segment: Segment, read: ReadRow) -> Iterator[tuple[Row, RowReading]]:
    for row in segment.claimed_rows():
        reading = read(row)
        if reading is not None and reading.kind is Kind.WORKER and reading.is_current:
            yield row, reading


def _server_of(row: Row, first_word: int) -> dict[str, str | None]:
    """Name the upstream server whose numbers begin there."""
    series = row.series.at(first_word) if first_word else None
    labels = dict(series.labels) if series is not None and series.name == names.UPSTREAM_REQUESTS else {}
    return {"upstream": labels.get("upstream"), "server": labels.get("server")}


def _route_of(row: Row, first_word: int) -> str | None:
    """Name the route whose counters begin there."""
    series = row.series.at(first_word)
    if series is None or series.name != names.REQUESTS:
        return None
    return dict(series.labels).get("route")
