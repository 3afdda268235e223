"""
What a worker is told of upstreams: groups of servers that requests are passed to.

The master fills it in; nothing here opens anything.
"""

from typing import Literal

import msgspec


class ServerCells(msgspec.Struct, frozen=True, kw_only=True):
    """The first words of a server's numbers in a row; see `names` for the groups."""

    requests: int  # by class of the status
    duration: int
    connect_duration: int
    connections: int  # active, idle
    queued: int
    failures: int  # by reason
    retries: int
    ejections: int


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One server of an upstream: "10.0.0.1:9000", "[::1]:9000", "unix:/run/x.sock"."""

    address: str
    weight: int = 1
    cells: ServerCells | None = None  # None: not counted


class UpstreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A group of servers that answer the same; the limits are those of one worker and one server."""

    name: str
    servers: tuple[ServerSpec, ...]
    balance: Literal["round_robin", "least_request", "random"] = "round_robin"
    connections_max: int = 1024
    idle_max: int = 32
    idle_timeout_s: float = 4.0  # uvicorn closes at 5, gunicorn at 2
    queue_max: int = 256
    queue_timeout_s: float = 1.0
    connect_timeout_s: float = 3.0
    first_byte_timeout_s: float = 30.0  # from the whole request to the head of the response
    idle_response_timeout_s: float = 60.0  # between two pieces of the response
    retry_attempts: int = 1
