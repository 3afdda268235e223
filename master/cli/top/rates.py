"""
Two readings into rates: what has happened between them, by the second.

A worker is one process: a replacement on the same slot, and even one that was
given the same pid, has counted nothing before it started.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from penstock.master.cli.top.reading import Point, Reading, Worker

# Workers tell their errors and bytes once a second, each in its own time: over this long, a rate
# is of three or four of those.
POINTS_WINDOW_S: Final = 3.5
# How far the ages of a process may lag behind the clock.
AGE_SLACK_S: Final = 0.5


class WorkerRates(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker does by the second; `cpu` is 1.0 for a whole core."""

    requests_s: float | None = None
    cpu: float | None = None


class BackendRates(msgspec.Struct, frozen=True, kw_only=True):
    """What one upstream server does by the second."""

    requests_s: float | None = None
    failures_s: float | None = None


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What all do by the second; None is not known."""

    requests_s: float | None = None
    errors_s: float | None = None
    sent_bytes_s: float | None = None
    workers: Mapping[int, WorkerRates] = {}  # by pid
    backends: Mapping[tuple[str, str], BackendRates] = {}  # by upstream and address


def rates_between(before: Reading | None, after: Reading) -> Rates:
    """Reckon the rates between two readings, or what one of them tells alone."""
    workers = {} if before is None else _workers(before, after)
    known = [each.requests_s for each in workers.values() if each.requests_s is not None]
    recent = _recent(after)
    return Rates(
        requests_s=sum(known) if known else None,
        errors_s=_points_rate(recent, "errors"),
        sent_bytes_s=_points_rate(recent, "sent_bytes"),
        workers=workers,
        backends={} if before is None else _backends(before, after),
    )


def _workers(before: Reading, after: Reading) -> dict[int, WorkerRates]:
    passed_s = after.at_s - before.at_s
    if passed_s <= 0:
        return {}
    earlier = {each.pid: each for each in before.workers if each.pid is not None}
    found = {}
    for each in after.workers:
        if each.pid is not None:
            found[each.pid] = _worker(earlier.get(each.pid), each, passed_s)
    return found


def _worker(before: Worker | None, after: Worker, passed_s: float) -> WorkerRates:
    if before is None or not _is_same(before, after):
        if after.age_s is None or after.age_s > passed_s + AGE_SLACK_S:
            return WorkerRates()  # It was there before, and we did not see it.
        before = Worker(requests=0, cpu_s=0.0)
    return WorkerRates(
        requests_s=_rate(before.requests, after.requests, passed_s),
        cpu=_rate(before.cpu_s, after.cpu_s, passed_s),
    )


def _backends(before: Reading, after: Reading) -> dict[tuple[str, str], BackendRates]:
    passed_s = after.at_s - before.at_s
    if passed_s <= 0:
        return {}
    earlier = {(each.upstream, each.address): each for each in before.backends}
    found = {}
    for each in after.backends:
        if (known := earlier.get((each.upstream, each.address))) is not None:
            found[each.upstream, each.address] = BackendRates(
                requests_s=_rate(known.requests, each.requests, passed_s),
                failures_s=_rate(known.failures, each.failures, passed_s),
            )
    return found


def _is_same(before: Worker, after: Worker) -> bool:
    if (before.slot, before.generation) != (after.slot, after.generation):
        return False
    return before.age_s is None or after.age_s is None or after.age_s >= before.age_s


def _rate(before: float | None, after: float | None, passed_s: float) -> float | None:
    if before is None or after is None:
        return None
    return max(0.0, after - before) / passed_s


def _recent(after: Reading) -> list[Sequence[Point]] | None:
    """Give the points of the last seconds, by slot; None if nobody tells any."""
    if after.points is None:
        return None
    newest_s = max((point.t for points in after.points.values() for point in points), default=0.0)
    return [
        [each for each in points if each.t > newest_s - POINTS_WINDOW_S] for points in after.points.values()
    ]


def _points_rate(recent: list[Sequence[Point]] | None, what: str) -> float | None:
    if recent is None:
        return None
    rates = []
    for points in recent:
        told = [(each.t, value) for each in points if (value := getattr(each, what)) is not None]
        if len(told) >= 2 and told[-1][0] > told[0][0]:
            rates.append(max(0, told[-1][1] - told[0][1]) / (told[-1][0] - told[0][0]))
    return sum(rates) if rates else None
