"""The table of upstreams of `penstock status`."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import msgspec

from penstock.master.cli.tables import aligned, count, duration, is_cut

# An address and a port; of a path the end says most. Less where the table would be too wide.
ADDRESS_CHARS: Final = (24, 20, 16)
AGO: Final = " ago"


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
    table = ""
    for chars, ago in product(ADDRESS_CHARS, (AGO, "")):
        table = aligned(_rows(upstreams, now_s, chars, ago), left={0, 1, 2, 8})
        if not is_cut(table):
            break
    ills = [
        f"  {f'{each.address} ({each.name})' if each.name else each.address}: {each.last_check.reason}"
        for upstream in upstreams
        for each in upstream.servers
        if each.last_check is not None and each.last_check.reason
    ]
    return "\n".join([table, *ills])


def _rows(upstreams: Sequence[Upstream], now_s: float, address_chars: int, ago: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("UPSTREAM", "SERVER", "STATE", "ACTIVE", "IDLE", "QUEUED", "REQUESTS", "FAILED", "HEALTH")
    ]
    rows += [
        (
            "" if index else upstream.name,
            _short(each.address, address_chars),
            each.state,
            count(each.connections_active),
            count(each.connections_idle),
            count(each.queued),
            count(each.requests),
            count(each.failures),
            _health(each, now_s, ago),
        )
        for upstream in upstreams
        for index, each in enumerate(upstream.servers)
    ]
    if all(not each.health for upstream in upstreams for each in upstream.servers):
        return [row[:-1] for row in rows]
    return rows


def _health(server: Server, now_s: float, ago: str) -> str:
    check = server.last_check
    told = server.health or "-"
    if check is not None and check.at is not None:
        told += f" {duration(now_s - check.at)}{ago}"
    return told


def _short(address: str, chars: int) -> str:
    return address if len(address) <= chars else "…" + address[1 - chars :]
