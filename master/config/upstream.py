"""
Upstreams: named groups of servers that requests are passed to.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from penstock.master.config.affinity import Hash, Sticky
from penstock.master.config.health import HealthCheck
from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, Record, says
from penstock.master.config.resilience import Breaker, Ejection, Retries, Timeouts
from penstock.master.config.resolve import Resolve
from penstock.master.config.server import is_name

ServerText = Annotated[str, kind("server")]

# Far above what one kernel has ports for, to one address.
CONNECTIONS_MAX = 65_536
WEIGHT_MAX = 1000
# Behind every priority that DNS can give, in 16 bits.
BACKUP_PRIORITY = 2**16


class Server(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server of an upstream."""

    address: Annotated[ServerText, says("Where it is: host:port, [::1]:port, unix:/path or srv:name.")]
    weight: Annotated[
        int,
        Meta(ge=0, le=WEIGHT_MAX),
        says("How many requests it gets beside those of the others; 0: only those of sticky clients."),
    ] = 1
    backup: Annotated[bool, says("Whether it gets requests only when the others are down.")] = False


class Connections(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Connections to one server, and the queue for them; each worker has its own."""

    max: Annotated[int, Meta(ge=1, le=CONNECTIONS_MAX), says("Open connections; beyond, requests queue.")] = (
        1024
    )
    scope: Annotated[
        Literal["worker", "machine"],
        says("Whether 'max' is for each worker, or for all of them together."),
    ] = "worker"
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


class Upstream(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of servers that answer the same."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "proxy_protocol",
            "tls",
        }
    )

    servers: Annotated[
        tuple[ServerText | Server, ...],
        Meta(min_length=1),
        says("Its servers: an address, or a mapping with address and weight."),
    ]
    balance: Annotated[
        Literal["round_robin", "least_request", "random", "ewma", "consistent_hash"],
        says("How a server is chosen."),
    ] = "least_request"
    hash: Annotated[Hash | None, says("How consistent_hash finds a server.")] = None
    sticky: Annotated[Sticky | None, says("A cookie that keeps a client with its server.")] = None
    slow_start_s: Annotated[
        Duration, says("How long a server that has come back gets less than its weight; 0s: it does not.")
    ] = field(default=0.0, name="slow_start")
    panic_threshold: Annotated[
        Annotated[float, kind("ratio")],
        says("With fewer servers up than this part (by weight), all get requests; 0: never."),
    ] = 0.5
    connections: Annotated[Connections, says("Connections of one worker to one server.")] = Connections()
    timeouts: Annotated[Timeouts, says("How long a server may take.")] = Timeouts()
    retries: Annotated[Retries, says("When a request is sent another time.")] = Retries()
    ejection: Annotated[
        Ejection | None, says("When a server is put out of service for its failures; none: never.")
    ] = Ejection()
    breaker: Annotated[Breaker | None, says("When the upstream as a whole is spared. Default: never.")] = None
    health_check: Annotated[
        HealthCheck | bool | None,
        says("Ask servers how they are; true: with the defaults. Default: none."),
    ] = None
    resolve: Annotated[
        Resolve | bool | None,
        says("Look the names of servers up again when they may have changed; none: when connecting."),
    ] = True

    @property
    def health(self) -> HealthCheck | None:
        """The health checks, if there are to be any."""
        return HealthCheck() if self.health_check is True else self.health_check or None

    @property
    def resolving(self) -> Resolve | None:
        """How names are looked up, if they are to be."""
        return Resolve() if self.resolve is True else self.resolve or None

    def each_name(self) -> Iterator[str]:
        """Give the servers that are names, as they are configured."""
        if self.resolving is not None:
            yield from (server.address for server in self.each_server() if is_name(server.address))

    host: Annotated[
        Annotated[str, kind("upstream_host")],
        says("The Host that servers see: client (as it came), upstream (the server's address) or a name."),
    ] = "client"
    forwarded: Annotated[
        Literal["x-forwarded", "forwarded", "both"] | None,
        says("How they are told who asks: X-Forwarded-For, -Proto and -Host, Forwarded, or both; none: not."),
    ] = "x-forwarded"
    via: Annotated[
        Annotated[str, kind("pseudonym")] | None,
        says("What Penstock is called in Via, both ways; none: no Via of its own."),
    ] = "penstock"
    upgrades: Annotated[
        tuple[Annotated[str, kind("protocol")], ...],
        says("Protocols that a connection may switch to."),
    ] = ("websocket",)

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
