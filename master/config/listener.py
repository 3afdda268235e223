"""
Listeners: an address, what the kernel and TLS do there, and what a client may.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from penstock.master.config.bind import Bind, TcpBind, parse_bind
from penstock.master.config.kinds import kind
from penstock.master.config.record import BindText, Duration, FilePath, Label, Record, Size, says
from penstock.master.config.route import Route
from penstock.master.config.websocket import WebSocket

# listen() takes an int, and the kernel cuts it to net.core.somaxconn.
BACKLOG_MAX = 2**31 - 1
# The kernel's own limit.
KEEPALIVE_COUNT_MAX = 127


class Limits(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send, and how long it may take."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "body_rate",
            "concurrency",
            "connections",
            "queue_timeout",
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
    keep_alive_timeout_s: Annotated[Duration, says("How long an idle connection is kept.")] = field(
        default=75.0, name="keep_alive_timeout"
    )
    send_timeout_s: Annotated[Duration, says("How long a client may take no byte of a response.")] = field(
        default=60.0, name="send_timeout"
    )


class Certificate(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate chain and its private key, as PEM files."""

    cert: Annotated[FilePath, says("The certificate, then the chain above it.")]
    key: Annotated[FilePath, says("The private key, without a passphrase.")]


class Tls(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listener."""

    LATER: ClassVar[frozenset[str]] = frozenset({"acme", "alpn", "ciphers", "client_ca", "client_cert"})

    certificates: Annotated[
        tuple[Certificate, ...],
        Meta(min_length=1),
        says("The first one is for clients that name no host."),
    ]
    min_version: Annotated[
        Literal["1.2", "1.3"],
        says("The oldest version that is spoken."),
        # Written without quotes it is a number to an editor.
        Meta(extra_json_schema={"x-written": {"enum": ["1.2", "1.3", 1.2, 1.3]}}),
    ] = "1.2"


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

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"handler", "proxy", "proxy_protocol", "forwarded", "http2", "rate_limit", "trusted_proxies"}
    )

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
    limits: Annotated[Limits, says("What a client may send, and how long it may take.")] = Limits()
    websocket: Annotated[
        WebSocket | bool | None, says("WebSockets for its apps; none: a request for one is like any other.")
    ] = WebSocket()
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
    def websockets(self) -> WebSocket | None:
        """The WebSockets, if there are to be any."""
        return WebSocket() if self.websocket is True else self.websocket or None

    @property
    def address(self) -> Bind:
        """The address, taken apart."""
        return parse_bind(self.bind)

    @property
    def tcp_options(self) -> Tcp | None:
        """The options to set; None: leave the socket as it is."""
        return Tcp() if self.tcp is None and isinstance(self.address, TcpBind) else self.tcp
