"""
The answer of `/status` as tables of at most 80 columns.

Pure: a status in, a text out. Fields that a server does not know are shown as "-".
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

COLUMNS_MAX = 80
# Enough for every problem of a file that a HUP could not read; the log has the rest.
FAILURE_LINES_MAX = 10


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The last roll or hot restart that failed."""

    at: float | str | None = None
    message: str = ""


class Master(msgspec.Struct, frozen=True, kw_only=True):
    """The master process."""

    pid: int
    state: str
    generation: int
    started_at: float | str | None = None
    last_failure: Failure | None = None


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


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `/status` answers; keys that are not shown are passed over."""

    master: Master
    workers: tuple[Worker, ...] = ()
    listeners: tuple[Listener, ...] = ()


def status_tables(status: Status, now_s: float) -> str:
    """Write the master, its workers and the listeners. `now_s` is the wall clock."""
    master = status.master
    parts = [f"penstock master {master.pid}", master.state, f"generation {master.generation}"]
    started_s = _seconds(master.started_at)
    if started_s is not None:
        parts.append(f"up {duration(now_s - started_s)}")
    blocks = ["  ".join(parts)]
    if master.last_failure is not None:
        blocks[0] += "\n" + _failure(master.last_failure, now_s)
    if status.workers:
        blocks.append(_workers(status.workers))
    if status.listeners:
        blocks.append(_listeners(status.listeners))
    return "\n\n".join(blocks) + "\n"


def _failure(failure: Failure, now_s: float) -> str:
    at_s = _seconds(failure.at)
    ago = "" if at_s is None else f" {duration(now_s - at_s)} ago"
    lines = failure.message.strip().splitlines() or ["without a reason"]
    return f"last failure{ago}: {lines[0]}" + "".join(f"\n  {line}" for line in lines[1:FAILURE_LINES_MAX])


def _seconds(moment: float | str | None) -> float | None:
    """Read a moment, told in seconds or as ISO 8601."""
    if not isinstance(moment, str):
        return moment
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def _workers(workers: Sequence[Worker]) -> str:
    rows = [("SLOT", "CORE", "PID", "STATE", "GEN", "AGE", "RSS", "CONNS", "REQUESTS", "LAG")]
    for each in sorted(workers, key=lambda worker: (worker.slot, worker.generation)):
        rows.append(
            (
                str(each.slot),
                _shown(each.core),
                _shown(each.pid),
                each.state,
                str(each.generation),
                duration(each.age_s),
                size(each.rss_bytes),
                _shown(each.connections),
                _shown(each.requests),
                lag(each.loop_lag_s),
            )
        )
    return aligned(rows, left={3})


def _listeners(listeners: Sequence[Listener]) -> str:
    rows = [("LISTENER", "ADDRESS", "SHARDS", "QUEUED", "BY SLOT")]
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
    idle = sum(shard.slot is None for shard in shards)
    parts = []
    if len(counts) > 1 and len(set(counts.values())) == 1:
        parts.append(f"{next(iter(counts.values()))} each")
    else:
        parts += [f"{slot}:{count}" for slot, count in sorted(counts.items())]
    if idle:
        parts.append(f"{idle} held by the master")
    return " ".join(parts) or "-"


def duration(seconds: float | None) -> str:
    """
    Write an age in its two largest units.

    >>> duration(7384)
    '2h3m'
    """
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for index, (unit, length) in enumerate(units[:-1]):
        if whole >= length:
            lower, lower_length = units[index + 1]
            rest = whole % length // lower_length
            return f"{whole // length}{unit}" + (f"{rest}{lower}" if rest else "")
    return f"{whole}s"


def size(count: int | None) -> str:
    """Write a size with three significant digits."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f}{unit}" if value >= 100 or unit == "B" else f"{value:.1f}{unit}"


def lag(seconds: float | None) -> str:
    """Write how late a loop is."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f}ms" if seconds < 10 else f"{seconds:.0f}s"


def aligned(rows: Sequence[Sequence[str]], *, left: set[int]) -> str:
    """Align columns, and cut lines to what a terminal shows."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(line if len(line) <= COLUMNS_MAX else line[: COLUMNS_MAX - 1] + "…" for line in lines)


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)
