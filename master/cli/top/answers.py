"""
Decoded JSON into a reading.

The server may be of an older release, or of a newer one, and who listens on the
socket may be somebody else: a key that is missing or that makes no sense is "not
told", and never an error.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

from penstock.master.cli.top.reading import (
    Backend,
    CrashLoop,
    Listener,
    Point,
    Quantiles,
    Reading,
    Request,
    Shard,
    Worker,
)

# Beyond it there is no number of bytes, requests or seconds.
NUMBER_MAX: Final = 1e18

# The windows of latency are about five seconds long; what is older is no news.
LATENCY_AGE_MAX_S: Final = 15.0


def make_reading(at_s: float, wall_s: float, status: Any, samples: Any, requests: Any) -> Reading:
    """Make a reading of decoded JSON; None stands for an answer that did not come."""
    master = _object(status, "master")
    failure = _object(master, "last_failure")
    latency = _newest_latency(samples, wall_s)
    return Reading(
        at_s=at_s,
        wall_s=wall_s,
        name=_text(status, "name"),
        version=_text(status, "version"),
        pid=_whole(master, "pid"),
        state=_text(master, "state"),
        generation=_whole(master, "generation"),
        started_at=_number(master, "started_at"),
        workers=tuple(map(_worker, _objects(status, "workers"))),
        listeners=tuple(map(_listener, _objects(status, "listeners"))),
        backends=tuple(_backends(status)),
        under_way=tuple(dict.fromkeys(_orders(status))),
        crash_loops=tuple(map(_crash_loop, _objects(status, "crash_loops"))),
        failure=_text(failure, "message"),
        failed_at=_number(failure, "at"),
        requests=tuple(map(_request, _objects(requests, "requests"))) if _has(requests, "requests") else None,
        points=dict(_points(_object(samples, "slots"))) if _has(samples, "slots") else None,
        latency=_quantiles(latency),
        latency_by_slot=dict(_slot_quantiles(_object(latency, "slots"))),
    )


def _worker(given: dict[str, Any]) -> Worker:
    return Worker(
        slot=_whole(given, "slot"),
        core=_whole(given, "core"),
        pid=_whole(given, "pid"),
        state=_text(given, "state"),
        generation=_whole(given, "generation"),
        age_s=_number(given, "age_s"),
        cpu_s=_number(given, "cpu_s"),
        rss_bytes=_whole(given, "rss_bytes"),
        connections=_whole(given, "connections"),
        active=_whole(given, "connections_active"),
        idle=_whole(given, "connections_idle"),
        requests=_whole(given, "requests"),
        lag_s=_number(given, "loop_lag_s"),
    )


def _listener(given: dict[str, Any]) -> Listener:
    shards = (
        Shard(index=_whole(each, "index"), slot=_whole(each, "slot"), queued=_whole(each, "queued") or 0)
        for each in _objects(given, "shards")
    )
    return Listener(name=_text(given, "name"), address=_text(given, "address"), shards=tuple(shards))


def _backends(status: Any) -> Iterator[Backend]:
    for upstream in _objects(status, "upstreams"):
        name = _text(upstream, "name")
        for each in _objects(upstream, "servers") or [{}]:
            yield Backend(
                upstream=name,
                address=_text(each, "address"),
                state=_text(each, "state"),
                active=_whole(each, "connections_active"),
                idle=_whole(each, "connections_idle"),
                queued=_whole(each, "queued"),
                requests=_whole(each, "requests"),
                failures=_whole(each, "failures"),
            )


def _orders(status: Any) -> Iterator[str]:
    for each in _objects(status, "operations"):
        if _text(each, "state") == "running":
            argument = _whole(each, "argument")
            yield _text(each, "verb") + ("" if argument is None else f" {argument}")


def _crash_loop(given: dict[str, Any]) -> CrashLoop:
    return CrashLoop(
        slot=_whole(given, "slot"),
        failures=_whole(given, "failures"),
        next_attempt_s=_number(given, "next_attempt_s"),
        reason=_text(given, "last_reason"),
    )


def _request(given: dict[str, Any]) -> Request:
    return Request(
        slot=_whole(given, "slot"),
        pid=_whole(given, "pid"),
        method=_text(given, "method"),
        path=_text(given, "path") or None,
        route=_text(given, "route"),
        server=_text(given, "server"),
        state=_text(given, "state"),
        age_s=_number(given, "age_s"),
        sent_bytes=_whole(given, "sent_bytes"),
    )


def _points(slots: dict[str, Any]) -> Iterator[tuple[int, tuple[Point, ...]]]:
    for name, slot in _by_slot(slots):
        points = [
            Point(t=t, errors=_whole(each, "errors"), sent_bytes=_whole(each, "sent_bytes"))
            for each in _objects(slots, name)
            if (t := _number(each, "t")) is not None
        ]
        yield slot, tuple(sorted(points, key=lambda each: each.t))


def _newest_latency(samples: Any, wall_s: float) -> dict[str, Any]:
    windows = [
        (t, each)
        for each in _objects(samples, "latency")
        if (t := _number(each, "t")) is not None and t > wall_s - LATENCY_AGE_MAX_S
    ]
    return max(windows, key=lambda each: each[0], default=(0.0, {}))[1]


def _quantiles(given: dict[str, Any]) -> Quantiles:
    return Quantiles(p50_s=_number(given, "p50_s"), p99_s=_number(given, "p99_s"))


def _slot_quantiles(slots: dict[str, Any]) -> Iterator[tuple[int, Quantiles]]:
    for name, slot in _by_slot(slots):
        yield slot, _quantiles(_object(slots, name))


def _by_slot(slots: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name in slots:
        if name.isascii() and name.isdigit() and len(name) <= 9:
            yield name, int(name)


# Taking what is there, if it is what it should be.


def _has(given: Any, key: str) -> bool:
    return isinstance(given, dict) and key in given


def _object(given: Any, key: str) -> dict[str, Any]:
    found = given.get(key) if isinstance(given, dict) else None
    return found if isinstance(found, dict) else {}


def _objects(given: Any, key: str) -> list[dict[str, Any]]:
    found = given.get(key) if isinstance(given, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(given: dict[str, Any] | Any, key: str) -> str:
    found = given.get(key) if isinstance(given, dict) else None
    return found if isinstance(found, str) else ""


def _number(given: dict[str, Any], key: str) -> float | None:
    found = given.get(key)
    # In JSON true is no number, and in Python it is.
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    # Compared before it is converted: a whole number of a thousand digits is no float.
    return float(found) if 0 <= found <= NUMBER_MAX and math.isfinite(found) else None


def _whole(given: dict[str, Any], key: str) -> int | None:
    found = _number(given, key)
    return None if found is None else int(found)
