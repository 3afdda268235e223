"""
What a worker is told of upstreams: groups of servers that requests are passed to.

The master fills it in; nothing here opens anything.
"""

from typing import Literal

import msgspec

from penstock.worker.gateway.rules import BreakerRules, EjectionRules, RetryRules
from penstock.worker.gateway.terms import TermsSpec


class ServerCells(msgspec.Struct, frozen=True, kw_only=True):
    """The first words of a server's numbers in a row; see `names` for the groups."""

    requests: int  # by class of the status
    duration: int
    connect_duration: int
    connections: int  # active, idle
    queued: int
    left_out: int
    failures: int  # by reason
    retries: int
    ejections: int
    shared: int | None = None  # held, wanted; None: the limit is the worker's own


class HealthCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the admin process's row it says how a server is."""

    verdict: int  # see shm/verdict.py
    checks: int  # the first word of those by result


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    One server of an upstream: "10.0.0.1:9000", "[::1]:9000", "unix:/run/x.sock".

    Also a name, "host:9000", or "srv:_http._tcp.host", until it is known what it
    stands for. `name` is the name as configured of a server that was found by it.
    """

    address: str
    weight: int = 1  # 0: nothing new
    priority: int = 0  # requests go to servers of the lowest that has enough in service
    cells: ServerCells | None = None  # None: not counted
    name: str = ""
    health: HealthCells | None = None  # None: nobody checks it


class HashSpec(msgspec.Struct, frozen=True, kw_only=True):
    """By what of a request its server is found."""

    by: str  # "header:x-user", "cookie:id", "query:id", "client", "path" or "uri"
    algorithm: Literal["rendezvous", "maglev"] = "rendezvous"
    balance_factor: float = 0.0  # 0: however busy a server is


class StickySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The cookie that keeps a client with a server."""

    cookie: str
    ttl_s: float | None = None  # None: as long as the browser runs
    path: str = "/"
    is_secure: bool = False
    is_http_only: bool = True
    same_site: Literal["lax", "strict", "none"] = "lax"
    secret: str | None = None

    def __repr__(self) -> str:
        """Show all but the secret."""
        return f"StickySpec(cookie={self.cookie!r})"


class UpstreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A group of servers that answer the same; the limits are those of one worker and one server."""

    name: str
    servers: tuple[ServerSpec, ...]
    balance: Literal["round_robin", "least_request", "random", "ewma", "consistent_hash"] = "round_robin"
    hash: HashSpec | None = None
    sticky: StickySpec | None = None
    slow_start_s: float = 0.0
    panic_threshold: float = 0.5
    connections_max: int = 1024
    idle_max: int = 32
    idle_timeout_s: float = 4.0  # uvicorn closes at 5, gunicorn at 2
    queue_max: int = 256
    queue_timeout_s: float = 1.0
    connect_timeout_s: float = 3.0
    first_byte_timeout_s: float = 30.0  # from the whole request to the head of the response
    idle_response_timeout_s: float = 60.0  # between two pieces of the response
    send_timeout_s: float = 60.0  # in which the server takes nothing of the request
    total_timeout_s: float | None = None
    is_machine_wide: bool = False  # connections_max is one for all workers
    retry_attempts: int = 1
    retries: RetryRules = RetryRules()
    ejection: EjectionRules | None = None
    breaker: BreakerRules | None = None
    terms: TermsSpec = TermsSpec()
