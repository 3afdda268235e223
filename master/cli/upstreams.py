"""The table of upstreams of `penstock status`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.master.cli.tables import aligned, count, duration

# An address and a port; of a path the end says most.
ADDRESS_CHARS_MAX: Final = 24


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The last health check of a server."""

    at: float | None = None
    reason: str | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One server; a release that does not tell something leaves it out."""

    address: str = ""
    name: str | None = None
    state: str = "-"
    health: str = ""
    last_check: Check | None = None
    connections_active: int | None = None
    connections_idle: int | None = None
    queued: int | None = None
    requests: int | None = None
    failures: int | None = None


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A group of servers."""

    name: str = ""
    balance: str = ""
    servers: tuple[Server, ...] = ()


def upstream_table(upstreams: Sequence[Upstream], now_s: float) -> str:
    """Write a line for each server. `now_s` is the wall clock."""
    rows: list[tuple[str, ...]] = [
        ("UPSTREAM", "SERVER", "STATE", "ACTIVE", "IDLE", "QUEUED", "REQUESTS", "FAILED", "HEALTH")
    ]
    ills = []
    for upstream in upstreams:
        for index, each in enumerate(upstream.servers):
            rows.append(
                (
                    "" if index else upstream.name,
                    _short(each.address),
                    each.state,
                    count(each.connections_active),
                    count(each.connections_idle),
                    count(each.queued),
                    count(each.requests),
                    count(each.failures),
                    _health(each, now_s),
                )
            )
            if each.last_check is not None and each.last_check.reason:
                called = f"{each.address} ({each.name})" if each.name else each.address
                ills.append(f"  {called}: {each.last_check.reason}")
    if all(not each.health for upstream in upstreams for each in upstream.servers):
        rows = [row[:-1] for row in rows]
    return "\n".join([aligned(rows, left={0, 1, 2, 8}), *ills])


def _health(server: Server, now_s: float) -> str:
    check = server.last_check
    told = server.health or "-"
    if check is not None and check.at is not None:
        told += f" {duration(now_s - check.at)} ago"
    return told


def _short(address: str) -> str:
    return address if len(address) <= ADDRESS_CHARS_MAX else "…" + address[1 - ADDRESS_CHARS_MAX :]
