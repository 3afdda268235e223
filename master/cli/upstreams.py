"""The table of upstreams of `penstock status`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.master.cli.tables import aligned, count

# An address and a port; of a path the end says most.
ADDRESS_CHARS_MAX: Final = 24


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One server; a release that does not tell something leaves it out."""

    address: str
    state: str = "-"
    connections_active: int | None = None
    connections_idle: int | None = None
    queued: int | None = None
    requests: int | None = None
    failures: int | None = None


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A group of servers."""

    name: str
    balance: str = ""
    servers: tuple[Server, ...] = ()


def upstream_table(upstreams: Sequence[Upstream]) -> str:
    """Write a line for each server."""
    rows = [("UPSTREAM", "SERVER", "STATE", "ACTIVE", "IDLE", "QUEUED", "REQUESTS", "FAILED")]
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
                )
            )
    return aligned(rows, left={0, 1, 2})


def _short(address: str) -> str:
    return address if len(address) <= ADDRESS_CHARS_MAX else "…" + address[1 - ADDRESS_CHARS_MAX :]
