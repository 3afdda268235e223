"""`penstock status --slow`: the requests that were slow or failed lately, as a table."""

import time
from collections.abc import Sequence

import msgspec

from penstock.master.cli.tables import aligned, count, duration, size

# What a client chose must not move the cursor, or look like another line.
PATH_CHARS_MAX = 96


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was slow or failed."""

    at: float
    status: int
    duration_s: float
    slot: int | None = None
    sent_bytes: int | None = None
    method: str = ""
    path: str | None = None
    route: str | None = None
    request_id: str | None = None
    server: str | None = None
    failure: str | None = None


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """What `/slow` answers."""

    requests: tuple[Incident, ...] = ()


def slow_table(body: bytes) -> str:
    """Write the answer of `/slow` as a table. Raises MsgspecError."""
    found = msgspec.json.decode(body, type=Incidents).requests
    if not found:
        return "no request was slow or failed\n"
    return incident_table(found, time.time())


def incident_table(found: Sequence[Incident], now_s: float) -> str:
    """Write a table, youngest first. `now_s` is the wall clock."""
    rows = [("AGO", "SLOT", "STATUS", "TIME", "SENT", "REQUEST")]
    for each in found:
        what = each.path if each.path is not None else f"(route {each.route})"
        name = f" [{each.request_id}]" if each.request_id else ""
        rows.append(
            (
                duration(now_s - each.at),
                count(each.slot),
                str(each.status),
                _seconds(each.duration_s),
                size(each.sent_bytes),
                _harmless(f"{each.method} {_way(each)}{what}{name}"),
            )
        )
    return aligned(rows, left={5})


def _way(incident: Incident) -> str:
    """Say which server had it, and what was wrong there; first, since a path may be long."""
    if incident.server is None:
        return ""
    return f"({incident.server}{f': {incident.failure}' if incident.failure else ''}) "


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}ms" if seconds < 1 else f"{seconds:.2f}s"


def _harmless(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= PATH_CHARS_MAX else shown[: PATH_CHARS_MAX - 3] + "..."
