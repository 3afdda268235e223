"""
The answer of `/status` as tables of at most 80 columns.

Pure: a status in, a text out. Fields that a server does not know are shown as "-".
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from penstock.master.cli.tables import aligned, count, duration, lag, size
from penstock.master.cli.upstreams import Upstream, upstream_table

# Enough for every problem of a file that a HUP could not read; the log has the rest.
FAILURE_LINES_MAX = 10


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The last roll or hot restart that failed."""

    at: float | None = None
    message: str = ""


class Master(msgspec.Struct, frozen=True, kw_only=True):
    """The master process."""

    pid: int
    state: str
    generation: int
    started_at: float | None = None
    rss_bytes: int | None = None
    last_failure: Failure | None = None


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The admin process."""

    pid: int | None = None
    address: str | None = None
    rss_bytes: int | None = None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker."""

    slot: int
    core: int | None = None
    pid: int | None = None
    state: str
    generation: int
    age_s: float | None = None
    rss_bytes: int | None = None
    connections: int | None = None
    requests: int | None = None
    loop_lag_s: float | None = None


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One listening socket, and who polls it."""

    index: int
    slot: int | None = None
    queued: int | None = None


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """An address and its shards."""

    name: str
    address: str
    shards: tuple[Shard, ...] = ()


class SharedMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The segment that holds everybody's numbers."""

    size_bytes: int | None = None
    resident_bytes: int | None = None
    rows: int | None = None
    rows_used: int | None = None
    row_bytes: int | None = None
    cells: int | None = None
    cells_used: int | None = None
    app_values: int | None = None
    counting: str | None = None
    segments_before: int = 0


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was ordered, and whether it is still under way."""

    verb: str
    state: str
    argument: int | None = None


class CrashLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A slot whose workers die young."""

    slot: int
    failures: int = 0
    next_attempt_s: float | None = None
    last_reason: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `/status` answers; keys that are not shown are passed over."""

    master: Master
    name: str = ""
    version: str = ""
    admin: Admin | None = None
    workers: tuple[Worker, ...] = ()
    listeners: tuple[Listener, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    worker_restarts: dict[str, int] = {}
    reload_failures: int = 0
    operations: tuple[Operation, ...] = ()
    crash_loops: tuple[CrashLoop, ...] = ()
    shared_memory: SharedMemory | None = None


def status_tables(status: Status, now_s: float) -> str:
    """Write what runs, as a tree, and where it listens. `now_s` is the wall clock."""
    blocks = ["\n".join(_headlines(status, now_s)), _processes(status, now_s)]
    if status.listeners:
        blocks.append(_listeners(status.listeners))
    if status.upstreams:
        blocks.append(upstream_table(status.upstreams, now_s))
    return "\n\n".join(blocks) + "\n"


def _headlines(status: Status, now_s: float) -> list[str]:
    master = status.master
    named = " ".join(filter(None, ("penstock", status.name, status.version and f"({status.version})")))
    lines = [f"{named}: {master.state}, generation {master.generation}"]
    if status.admin is not None and status.admin.address is not None:
        lines.append(f"admin: http://{status.admin.address}")
    orders = [each for each in status.operations if each.state == "running"]
    if orders:
        # The same wish of several people is one line's worth of news once.
        words = dict.fromkeys(
            f"{each.verb} {'' if each.argument is None else each.argument}" for each in orders
        )
        lines.append(f"under way: {', '.join(word.strip() for word in words)}")
    lines += map(_crash_loop, status.crash_loops)
    counts = [f"{times} {reason}" for reason, times in sorted(status.worker_restarts.items()) if times]
    if counts:
        lines.append(f"worker restarts: {', '.join(counts)}")
    if status.reload_failures:
        lines.append(f"failed reloads: {status.reload_failures}")
    if status.shared_memory is not None:
        lines.append(_shared_memory(status.shared_memory))
        if status.shared_memory.counting is not None:
            lines.append(f"counting: {status.shared_memory.counting}")
    if master.last_failure is not None:
        lines += _failure(master.last_failure, now_s)
    return lines


def _shared_memory(memory: SharedMemory) -> str:
    before = f", {memory.segments_before} before it" if memory.segments_before else ""
    return (
        f"shared memory: {size(memory.resident_bytes)} of {size(memory.size_bytes)}; "
        f"rows {count(memory.rows_used)}/{count(memory.rows)} of {size(memory.row_bytes)}, "
        f"cells {count(memory.cells_used)}/{count(memory.cells)}{before}"
    )


def _crash_loop(loop: CrashLoop) -> str:
    when = "now" if loop.next_attempt_s is None else f"in {duration(loop.next_attempt_s)}"
    why = f": {loop.last_reason}" if loop.last_reason else ""
    return f"crash loop: slot {loop.slot}, {loop.failures} failures, tried again {when}{why}"


def _failure(failure: Failure, now_s: float) -> list[str]:
    ago = "" if failure.at is None else f" {duration(now_s - failure.at)} ago"
    first, *others = failure.message.strip().splitlines() or ["without a reason"]
    return [f"last failure{ago}: {first}", *(f"  {line}" for line in others[: FAILURE_LINES_MAX - 1])]


def _processes(status: Status, now_s: float) -> str:
    master, admin = status.master, status.admin
    age_s = None if master.started_at is None else now_s - master.started_at
    rows = [
        ("PROCESS", "SLOT", "CORE", "PID", "STATE", "GEN", "AGE", "RSS", "CONNS", "REQUESTS", "LAG"),
        # A hot restart keeps the process, and it is none of the generations.
        ("master", "", "", str(master.pid), "", "", duration(age_s), size(master.rss_bytes), "", "", ""),
    ]
    for index, each in enumerate(status.workers):
        is_last = admin is None and index == len(status.workers) - 1
        rows.append(
            (
                "└ worker" if is_last else "├ worker",
                str(each.slot),
                count(each.core),
                count(each.pid),
                each.state,
                str(each.generation),
                duration(each.age_s),
                size(each.rss_bytes),
                count(each.connections),
                count(each.requests),
                lag(each.loop_lag_s),
            )
        )
    if admin is not None:
        rows.append(("└ admin", "", "", count(admin.pid), "", "", "", size(admin.rss_bytes), "", "", ""))
    return aligned(rows, left={0, 4})


def _listeners(listeners: Sequence[Listener]) -> str:
    rows = [("LISTENER", "ADDRESS", "SHARDS", "QUEUED", "SHARDS BY SLOT")]
    for each in listeners:
        queued = sum(shard.queued or 0 for shard in each.shards)
        rows.append((each.name, each.address, str(len(each.shards)), str(queued), by_slot(each.shards)))
    return aligned(rows, left={0, 1, 4})


def by_slot(shards: Sequence[Shard]) -> str:
    """
    Say how many shards each slot polls.

    Even spreads are the rule, and a machine of 64 cores has one line as well.
    """
    counts = Counter(shard.slot for shard in shards if shard.slot is not None)
    if len(counts) > 1 and len(set(counts.values())) == 1:
        lent = f"{next(iter(counts.values()))} each"
    else:
        lent = " ".join(f"{slot}:{lent_count}" for slot, lent_count in sorted(counts.items()))
    held_count = sum(shard.slot is None for shard in shards)
    held = f"{held_count} held by the master" if held_count else ""
    return ", ".join(filter(None, (lent, held))) or "-"
