"""
What the admin process is told of upstreams: whom to check, and which names to look up.

Part of the FleetStatus, which an admin process of another release may read, so
fields are only added, with defaults.
"""

from typing import Literal

import msgspec

from penstock.worker.gateway.spec import HealthCells, ServerSpec


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How servers are asked how they are, and what one has to say for how long to be believed."""

    type: Literal["http", "tcp"] = "http"
    method: str = "GET"
    path: str = "/"
    host: str | None = None  # None: the server's name, or its address
    headers: tuple[tuple[str, str], ...] = ()
    status: tuple[tuple[int, int], ...] = ((200, 299),)  # from, up to
    port: int | None = None  # None: where requests go
    every_s: float = 5.0
    timeout_s: float = 2.0
    unhealthy_after: int = 3
    healthy_after: int = 2


class ResolveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How names are looked up. Without name servers: those of the system."""

    nameservers: tuple[str, ...] = ()  # address:port
    min_ttl_s: float = 1.0
    max_ttl_s: float = 300.0
    timeout_s: float = 5.0
    family: Literal["auto", "ipv4", "ipv6", "both"] = "auto"


class WatchedServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server as it is now: one that was configured, or one that a name stands for."""

    address: str
    name: str = ""
    weight: int = 1
    priority: int = 0
    health: HealthCells | None = None

    @classmethod
    def of(cls, server: ServerSpec) -> "WatchedServer":
        """Leave out what only workers need."""
        return cls(
            address=server.address,
            name=server.name,
            weight=server.weight,
            priority=server.priority,
            health=server.health,
        )


class WatchedUpstream(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream: its servers, those among the configured ones that are names, and what to do with them."""

    name: str
    balance: str = ""
    servers: tuple[WatchedServer, ...] = ()
    names: tuple[str, ...] = ()  # as configured
    health: HealthSettings | None = None  # None: not checked
    resolve: ResolveSettings = ResolveSettings()
