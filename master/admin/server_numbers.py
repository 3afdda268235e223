"""
What the workers count of each upstream server, as `/status` tells it.

Counters are those of `/metrics`, summed over everybody who ever counted;
gauges come from living workers alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from penstock.shm import names
from penstock.shm.row import Kind, ReadRow, Row, RowReading, State
from penstock.shm.segment import Segment
from penstock.shm.totals import totals

_COUNTERS: Final = frozenset(
    {names.UPSTREAM_REQUESTS, names.UPSTREAM_FAILURES, names.UPSTREAM_RETRIES, names.UPSTREAM_EJECTIONS}
)
_GAUGES: Final = frozenset({names.UPSTREAM_CONNECTIONS, names.UPSTREAM_QUEUED, names.UPSTREAM_LEFT_OUT})
_SERIES: Final = _COUNTERS | _GAUGES

# By name and, if it has one, the value of the label beside `upstream` and `server`.
Numbers = Mapping[tuple[str, str], int]
Server = tuple[str, str]  # the upstream's name, the server's address


class UpstreamReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows say."""

    numbers: Mapping[Server, Numbers] = {}
    worker_count: int = 0  # those that serve


def read_upstreams(segment: Segment, read: ReadRow = Row.read) -> UpstreamReadings:
    """Read the numbers of all servers that there ever were."""
    found = totals(segment, read, _SERIES.__contains__)
    numbers: dict[Server, dict[tuple[str, str], int]] = {}
    for series, value in (*found.counters, *found.gauges):
        labels = dict(series.labels)
        server = labels.pop("upstream", ""), labels.pop("server", "")
        numbers.setdefault(server, {})[series.name, next(iter(labels.values()), "")] = value
    return UpstreamReadings(numbers=numbers, worker_count=sum(map(_serves, found.rows)))


def with_numbers(upstreams: Iterable[dict[str, Any]], readings: UpstreamReadings) -> list[dict[str, Any]]:
    """Add to what `/status` tells of upstreams what is counted of their servers."""
    return [
        {
            **upstream,
            "servers": [
                {**server, **_render(_numbers_of(readings, upstream, server), readings.worker_count)}
                for server in upstream["servers"]
            ],
        }
        for upstream in upstreams
    ]


def _numbers_of(readings: UpstreamReadings, upstream: dict[str, Any], server: dict[str, Any]) -> Numbers:
    return readings.numbers.get((upstream["name"], server["address"]), {})


def _render(numbers: Numbers, worker_count: int) -> dict[str, Any]:
    def number(name: str, value: str = "") -> int:
        return numbers.get((name, value), 0)

    active, idle = names.UPSTREAM_CONNECTION_STATES
    left_out = number(names.UPSTREAM_LEFT_OUT)
    answers = {code: number(names.UPSTREAM_REQUESTS, code) for code in names.CODE_CLASSES}
    failed = {reason: number(names.UPSTREAM_FAILURES, reason) for reason in names.UPSTREAM_FAILURE_REASONS}
    return {
        # Each worker judges for itself by the answers that it gets.
        "state": "up" if not left_out else "down" if left_out >= worker_count else "partly up",
        "up": not left_out or left_out < worker_count,
        "left_out": left_out,
        "connections_active": number(names.UPSTREAM_CONNECTIONS, active),
        "connections_idle": number(names.UPSTREAM_CONNECTIONS, idle),
        "queued": number(names.UPSTREAM_QUEUED),
        "requests": sum(answers.values()),
        "answers": answers,
        "failures": sum(failed.values()),
        "failed": failed,
        "retries": number(names.UPSTREAM_RETRIES),
        "ejections": number(names.UPSTREAM_EJECTIONS),
    }


def _serves(row: RowReading) -> bool:
    return row.kind is Kind.WORKER and row.is_current and row.state is State.READY
