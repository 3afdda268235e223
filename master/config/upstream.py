"""
Upstreams: named groups of servers that requests are passed to.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says

ServerText = Annotated[str, kind("server")]

# Far above what one kernel has ports for, to one address.
CONNECTIONS_MAX = 65_536
WEIGHT_MAX = 1000
ATTEMPTS_MAX = 10


class Server(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server of an upstream."""

    address: Annotated[ServerText, says("Where it is: host:port, [::1]:port or unix:/path.")]
    weight: Annotated[
        int, Meta(ge=1, le=WEIGHT_MAX), says("How many requests it gets beside those of the others.")
    ] = 1


class Connections(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Connections of one worker to one server, and the queue for them."""

    max: Annotated[int, Meta(ge=1, le=CONNECTIONS_MAX), says("Open connections; beyond, requests queue.")] = (
        1024
    )
    idle_max: Annotated[int, Meta(ge=0, le=CONNECTIONS_MAX), says("Idle ones that are kept for reuse.")] = 32
    idle_timeout_s: Annotated[
        Duration, says("How long an idle one is kept; less than the server keeps it.")
    ] = field(default=4.0, name="idle_timeout")
    queue_max: Annotated[
        int, Meta(ge=0, le=CONNECTIONS_MAX), says("Requests that wait for a connection; beyond: 503.")
    ] = 256
    queue_timeout_s: Annotated[Duration, says("How long they wait; beyond: 503.")] = field(
        default=1.0, name="queue_timeout"
    )


class Timeouts(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a server may take; beyond: 504, or the next server."""

    LATER: ClassVar[frozenset[str]] = frozenset({"send", "total"})

    connect_s: Annotated[Duration, says("To accept a connection.")] = field(default=3.0, name="connect")
    first_byte_s: Annotated[Duration, says("From the whole request to the head of the response.")] = field(
        default=30.0, name="first_byte"
    )
    idle_s: Annotated[Duration, says("Between two pieces of the response.")] = field(
        default=60.0, name="idle"
    )


class Retries(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a request is sent another time: only if nothing can happen twice."""

    LATER: ClassVar[frozenset[str]] = frozenset({"budget", "on", "non_idempotent"})

    attempts: Annotated[int, Meta(ge=0, le=ATTEMPTS_MAX), says("How many times beside the first.")] = 1


class Upstream(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of servers that answer the same."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "breaker",
            "ejection",
            "hash",
            "health_check",
            "panic_threshold",
            "proxy_protocol",
            "resolve",
            "slow_start",
            "sticky",
            "tls",
        }
    )

    servers: Annotated[
        tuple[ServerText | Server, ...],
        Meta(min_length=1),
        says("Its servers: an address, or a mapping with address and weight."),
    ]
    balance: Annotated[
        Literal["round_robin", "least_request", "random"],
        says("How a server is chosen."),
        Meta(extra={"later": ("consistent_hash", "ewma")}),
    ] = "least_request"
    connections: Annotated[Connections, says("Connections of one worker to one server.")] = Connections()
    timeouts: Annotated[Timeouts, says("How long a server may take.")] = Timeouts()
    retries: Annotated[Retries, says("When a request is sent another time.")] = Retries()

    def each_server(self) -> Iterator[Server]:
        """Give all servers in their long form."""
        for server in self.servers:
            yield Server(address=server) if isinstance(server, str) else server


def single(address: str) -> Upstream:
    """Make the upstream of a route that names a server and no upstream."""
    return Upstream(servers=(address,))


def is_address(target: str) -> bool:
    """Tell whether a route's `proxy` is a server and not the name of an upstream."""
    return ":" in target


Name = Annotated[str, kind("name")]
Upstreams = dict[Name, Upstream]
