"""
What the control socket told at one moment, as records.

None is what was not told. Numbers are finite and not negative; texts are as the
server wrote them, and text.py makes them harmless.
"""

from collections.abc import Mapping

import msgspec


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process. Connections are those that are open, of which some are active and some idle."""

    slot: int | None = None
    core: int | None = None
    pid: int | None = None
    state: str = ""
    generation: int | None = None
    age_s: float | None = None
    cpu_s: float | None = None
    rss_bytes: int | None = None
    connections: int | None = None
    active: int | None = None
    idle: int | None = None
    requests: int | None = None
    lag_s: float | None = None


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One listening socket; no slot means that none has it for itself."""

    index: int | None = None
    slot: int | None = None
    queued: int = 0


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """An address and its shards."""

    name: str = ""
    address: str = ""
    shards: tuple[Shard, ...] = ()


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """One server of an upstream."""

    upstream: str = ""
    address: str = ""
    state: str = ""
    active: int | None = None
    idle: int | None = None
    queued: int | None = None
    requests: int | None = None
    failures: int | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request in flight. Its method and path are its client's words."""

    slot: int | None = None
    pid: int | None = None
    method: str = ""
    path: str | None = None
    route: str = ""
    server: str = ""  # the upstream server that has it
    state: str = ""
    age_s: float | None = None
    sent_bytes: int | None = None


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests took that ended in the last seconds; None when none did."""

    p50_s: float | None = None
    p99_s: float | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A slot's counters at a moment; only differences mean something."""

    t: float
    errors: int | None = None
    sent_bytes: int | None = None


class CrashLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A slot whose workers die young."""

    slot: int | None = None
    failures: int | None = None
    next_attempt_s: float | None = None
    reason: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was told at one moment."""

    at_s: float  # monotonic, when the answer came
    wall_s: float
    name: str = ""
    version: str = ""
    pid: int | None = None
    state: str = ""
    generation: int | None = None
    started_at: float | None = None
    workers: tuple[Worker, ...] = ()
    listeners: tuple[Listener, ...] = ()
    backends: tuple[Backend, ...] = ()
    under_way: tuple[str, ...] = ()
    crash_loops: tuple[CrashLoop, ...] = ()
    failure: str = ""
    failed_at: float | None = None
    requests: tuple[Request, ...] | None = None
    points: Mapping[int, tuple[Point, ...]] | None = None  # by slot, oldest first
    latency: Quantiles = Quantiles()
    latency_by_slot: Mapping[int, Quantiles] = {}
