"""
Listeners: an address, what the kernel and TLS do there, and what a client may.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.bind import Bind, TcpBind, parse_bind
from penstock.master.config.compression import KEY_SAYS, Compression
from penstock.master.config.header_changes import HeaderChanges
from penstock.master.config.kinds import kind
from penstock.master.config.proxies import TRUSTED_BY_DEFAULT
from penstock.master.config.proxy_protocol import ProxyProtocol
from penstock.master.config.record import (
    BindText,
    Duration,
    HeaderName,
    HeaderValue,
    Label,
    Record,
    Size,
    says,
)
from penstock.master.config.route import Route, flattened
from penstock.master.config.tls import Tls
from penstock.master.config.websocket import WebSocket

# listen() takes an int, and the kernel cuts it to net.core.somaxconn.
BACKLOG_MAX = 2**31 - 1
# More than any worker has memory for.
CONCURRENCY_MAX = 1_000_000
# The kernel's own limit.
KEEPALIVE_COUNT_MAX = 127


class Limits(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send, and how long it may take."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "connections",
            "requests_per_connection",
            "stream_timeout",
        }
    )

    header_bytes: Annotated[Size, says("Request line and headers together; beyond: 431.")] = 16 * 1024
    header_count: Annotated[int, Meta(ge=1, le=10_000), says("Number of headers; beyond: 431.")] = 100
    body_bytes: Annotated[Size | None, says("Request body; beyond: 413. none: as much as the app reads.")] = (
        None
    )
    header_timeout_s: Annotated[
        Duration, says("How long the headers of a request may take; beyond: 408.")
    ] = field(default=10.0, name="header_timeout")
    body_timeout_s: Annotated[Duration, says("Between two pieces of a body; beyond: 408.")] = field(
        default=30.0, name="body_timeout"
    )
    body_rate: Annotated[
        Size | None,
        says(
            "Bytes of a body a second, all in all, after 5 seconds; slower: 408. none: as slow as it likes."
        ),
    ] = 240
    keep_alive_timeout_s: Annotated[Duration, says("How long an idle connection is kept.")] = field(
        default=75.0, name="keep_alive_timeout"
    )
    send_timeout_s: Annotated[Duration, says("How long a client may take no byte of a response.")] = field(
        default=60.0, name="send_timeout"
    )
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=CONCURRENCY_MAX)] | None,
        says("Requests that apps are at work on at a time, in each worker; beyond: 503. none: any number."),
    ] = None
    queue_timeout_s: Annotated[
        Duration, says("How long a request beyond 'concurrency' waits for its turn before the 503.")
    ] = field(default=0.0, name="queue_timeout")


class Keepalive(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Probes by which the kernel finds out that a client has vanished.

    With these defaults it knows after 2.5 minutes. They begin later than an idle
    connection is closed anyway, so only those in use are probed, and sooner than
    the strictest of the usual NATs and load balancers forgets (4 minutes).
    """

    idle_s: Annotated[Duration, says("How long nothing came before the first probe, in whole seconds.")] = (
        field(default=90.0, name="idle")
    )
    interval_s: Annotated[Duration, says("From one probe to the next, in whole seconds.")] = field(
        default=15.0, name="interval"
    )
    count: Annotated[
        int, Meta(ge=1, le=KEEPALIVE_COUNT_MAX), says("After so many without an answer the client is gone.")
    ] = 4


class Tcp(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the kernel is told of a listener's connections. TCP_NODELAY is always on, and has no key."""

    defer_accept_s: Annotated[
        Duration | None,
        says("Accept a connection when its first bytes are there, or after about so long; none: at once."),
    ] = field(default=None, name="defer_accept")
    fastopen: Annotated[
        Annotated[int, Meta(ge=1, le=BACKLOG_MAX)] | None,
        says("So many connections may come with data in their SYN before it is answered; none: not any."),
    ] = None
    keepalive: Annotated[Keepalive | None, says("Probe connections on which nothing comes; none: never.")] = (
        Keepalive()
    )


class Listener(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that is served, and what is served there."""

    LATER: ClassVar[frozenset[str]] = frozenset({"handler", "proxy", "http2", "rate_limit"})

    name: Annotated[Label, says("The listener label in metrics and logs. Default: its address.")] = ""
    bind: Annotated[BindText, says("Where to listen: host:port, :port, [::]:port, unix:/path or fd:3.")]
    protocol: Annotated[
        Literal["http"],
        Meta(extra={"later": ("tcp", "udp")}),
        says("What is spoken there."),
    ] = "http"
    backlog: Annotated[
        int,
        Meta(ge=1, le=BACKLOG_MAX),
        says("Connections that may wait in each accept queue; the kernel cuts it to net.core.somaxconn."),
    ] = 2048
    uds_permissions: Annotated[
        Annotated[int, kind("mode")] | None,
        says("Permissions of a unix: socket, in octal. Default: by the umask."),
    ] = None
    tcp: Annotated[
        Tcp | None,
        says("Options of its TCP connections. An inherited socket keeps its own unless this is written."),
    ] = None
    tls: Annotated[Tls | None, says("Speak TLS.")] = None
    trusted_proxies: Annotated[
        tuple[Annotated[str, kind("trusted_proxy")], ...],
        says("Proxies that are believed when they say for whom a request is made."),
    ] = TRUSTED_BY_DEFAULT
    forwarded: Annotated[
        Literal["x-forwarded", "forwarded"] | None,
        says("The headers in which they say so: X-Forwarded-For and -Proto, or Forwarded; none: neither."),
    ] = "x-forwarded"
    proxy_protocol: Annotated[
        ProxyProtocol | bool | None,
        says("Connections of proxies begin with a PROXY header, version 1 or 2; true: with the defaults."),
    ] = None
    limits: Annotated[Limits, says("What a client may send, and how long it may take.")] = Limits()
    websocket: Annotated[
        WebSocket | bool | None, says("WebSockets for its apps; none: a request for one is like any other.")
    ] = WebSocket()
    headers: Annotated[
        dict[HeaderName, HeaderValue | tuple[HeaderValue, ...]],
        says(
            "Headers of every response that does not set them itself; a list sends a header more than once."
        ),
    ] = field(default_factory=dict)
    request_headers: Annotated[
        HeaderChanges | None, says("Changes of the headers of its requests, before those of a route.")
    ] = None
    response_headers: Annotated[
        HeaderChanges | None,
        says("Changes of the headers of its routes' responses, before those of a route."),
    ] = None
    server_header: Annotated[bool, says("Put a Server header on responses.")] = True
    date_header: Annotated[bool, says("Put a Date header on responses.")] = True
    compression: Annotated[Compression | bool | UnsetType | None, KEY_SAYS] = UNSET
    routes: Annotated[
        tuple[Route, ...],
        Meta(min_length=1),
        says("Tried in the order written; the first match wins."),
    ]

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Name a listener by its address unless the operator did better."""
        return {"name": fields.get("bind", "")} | fields

    @property
    def leaves(self) -> tuple[Route, ...]:
        """The routes that have an action: all, and variants instead of what is split."""
        return tuple(leaf for route in self.routes for leaf in route.leaves)

    @property
    def websockets(self) -> WebSocket | None:
        """The WebSockets, if there are to be any."""
        return WebSocket() if self.websocket is True else self.websocket or None

    @property
    def address(self) -> Bind:
        """The address, taken apart."""
        return parse_bind(self.bind)

    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """Flatten the headers; of two that differ in case alone the later one counts."""
        by_name = {name.lower(): (name, values) for name, values in self.headers.items()}
        return tuple(flattened(dict(by_name.values())))

    @property
    def tcp_options(self) -> Tcp | None:
        """The options to set; None: leave the socket as it is."""
        return Tcp() if self.tcp is None and isinstance(self.address, TcpBind) else self.tcp
