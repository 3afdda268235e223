"""
What a configuration says: the one truth behind file, options and environment.

Field names carry their units; the key in the file is the name without them.
Defaults stand here and nowhere else. Reading text into these records is
typed.py's work, and whether the whole makes sense is judge.py's.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.bind import Bind, TcpBind, parse_bind
from penstock.master.config.kinds import kind
from penstock.shm.schema import VALUE_COUNT, VALUE_COUNT_MAX
from penstock.worker.access.redaction import USUALLY_HIDDEN

DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_ADMIN_BIND = "127.0.0.1:9180"

# 4 shards a worker and 2 rows a shard: 1,024 workers are 64 MiB of rows, far above any machine yet.
WORKERS_MAX = 1024
# Enough for the few metrics that a library brings; below it nobody would save anything.
APP_VALUES_MIN = 64
# Most downloads of unknown length end before it; after it, 25 of 30 seconds are left for the goodbye.
STREAM_DRAIN_TIMEOUT_S = 5.0
# Nobody counts further; it only keeps sums within what a counter holds.
REQUESTS_MAX = 10**12
# listen() takes an int, and the kernel cuts it to net.core.somaxconn.
BACKLOG_MAX = 2**31 - 1
# The kernel's own limit.
KEEPALIVE_COUNT_MAX = 127

AppTarget = Annotated[str, kind("app")]
BindText = Annotated[str, kind("bind")]
Duration = Annotated[float, kind("duration")]
FilePath = Annotated[str, kind("file_path")]
Label = Annotated[str, kind("label")]
Size = Annotated[int, kind("size")]


def _says(description: str) -> Meta:
    return Meta(description=description)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file. LATER names keys that are planned and not built yet."""

    LATER: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Fill in the defaults that depend on other fields."""
        return fields


class Match(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a route takes. A key that is left out matches everything."""

    LATER: ClassVar[frozenset[str]] = frozenset({"headers", "query", "client"})

    host: Annotated[
        Annotated[str, kind("host")] | None, _says("The Host of the request, without a port.")
    ] = None
    path: Annotated[
        Annotated[str, kind("path")] | None,
        _says("A path that ends in '/' is a prefix, any other is exact, '~' starts a regular expression."),
    ] = None
    methods: Annotated[
        Annotated[frozenset[Annotated[str, kind("method")]], Meta(min_length=1)] | None,
        _says("Methods that the route takes."),
    ] = None


HeaderValue = Annotated[str, kind("header_value")]


class Respond(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed response."""

    status: Annotated[int, Meta(ge=200, le=599), _says("The status code.")] = 200
    headers: Annotated[
        dict[Annotated[str, kind("header_name")], HeaderValue | tuple[HeaderValue, ...]],
        _says("Response headers; a list sends a header more than once."),
    ] = field(default_factory=dict)
    body: Annotated[str, _says("The body, sent as UTF-8.")] = ""

    def header_pairs(self) -> tuple[tuple[str, str], ...]:
        """Flatten the headers, and say what the body is when the operator did not."""
        pairs = [
            (name, value)
            for name, values in self.headers.items()
            for value in ((values,) if isinstance(values, str) else values)
        ]
        if self.body and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("content-type", "text/plain; charset=utf-8"))
        return tuple(pairs)


class Route(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matching rule and what to do with the requests it takes: one of `app` and `respond`."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "auth",
            "compression",
            "cors",
            "files",
            "handler",
            "proxy",
            "rate_limit",
            "redirect",
            "rewrite",
            "timeouts",
        }
    )

    name: Annotated[Label | None, _says("The route label in metrics and logs. Default: its path.")] = None
    match: Annotated[Match, _says("Which requests the route takes. Default: all.")] = Match()
    app: Annotated[AppTarget | None, _says("An ASGI application to call, as module:attribute.")] = None
    factory: Annotated[bool, _says("Call the attribute to get the application.")] = False
    respond: Annotated[Respond | None, _says("A fixed response.")] = None

    @property
    def label(self) -> str:
        """Its name, else its path: what its numbers are counted under. Routes may share it."""
        return self.name or self.match.path or "/"


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

    header_bytes: Annotated[Size, _says("Request line and headers together; beyond: 431.")] = 16 * 1024
    header_count: Annotated[int, Meta(ge=1, le=10_000), _says("Number of headers; beyond: 431.")] = 100
    body_bytes: Annotated[
        Size | None, _says("Request body; beyond: 413. none: as much as the app reads.")
    ] = None
    header_timeout_s: Annotated[
        Duration, _says("How long the headers of a request may take; beyond: 408.")
    ] = field(default=10.0, name="header_timeout")
    body_timeout_s: Annotated[Duration, _says("Between two pieces of a body; beyond: 408.")] = field(
        default=30.0, name="body_timeout"
    )
    keep_alive_timeout_s: Annotated[Duration, _says("How long an idle connection is kept.")] = field(
        default=75.0, name="keep_alive_timeout"
    )
    send_timeout_s: Annotated[Duration, _says("How long a client may take no byte of a response.")] = field(
        default=60.0, name="send_timeout"
    )


class Certificate(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate chain and its private key, as PEM files."""

    cert: Annotated[FilePath, _says("The certificate, then the chain above it.")]
    key: Annotated[FilePath, _says("The private key, without a passphrase.")]


class Tls(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listener."""

    LATER: ClassVar[frozenset[str]] = frozenset({"acme", "alpn", "ciphers", "client_ca", "client_cert"})

    certificates: Annotated[
        tuple[Certificate, ...],
        Meta(min_length=1),
        _says("The first one is for clients that name no host."),
    ]
    min_version: Annotated[
        Literal["1.2", "1.3"],
        _says("The oldest version that is spoken."),
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

    idle_s: Annotated[Duration, _says("How long nothing came before the first probe, in whole seconds.")] = (
        field(default=90.0, name="idle")
    )
    interval_s: Annotated[Duration, _says("From one probe to the next, in whole seconds.")] = field(
        default=15.0, name="interval"
    )
    count: Annotated[
        int, Meta(ge=1, le=KEEPALIVE_COUNT_MAX), _says("After so many without an answer the client is gone.")
    ] = 4


class Tcp(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the kernel is told of a listener's connections. TCP_NODELAY is always on, and has no key."""

    defer_accept_s: Annotated[
        Duration | None,
        _says("Accept a connection when its first bytes are there, or after about so long; none: at once."),
    ] = field(default=None, name="defer_accept")
    fastopen: Annotated[
        Annotated[int, Meta(ge=1, le=BACKLOG_MAX)] | None,
        _says("So many connections may come with data in their SYN before it is answered; none: not any."),
    ] = None
    keepalive: Annotated[
        Keepalive | None, _says("Probe connections on which nothing comes; none: never.")
    ] = Keepalive()


class Listener(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that is served, and what is served there."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"handler", "proxy", "proxy_protocol", "forwarded", "http2", "rate_limit", "trusted_proxies"}
    )

    name: Annotated[Label, _says("The listener label in metrics and logs. Default: its address.")] = ""
    bind: Annotated[BindText, _says("Where to listen: host:port, :port, [::]:port, unix:/path or fd:3.")]
    protocol: Annotated[
        Literal["http"],
        Meta(extra={"later": ("tcp", "udp")}),
        _says("What is spoken there."),
    ] = "http"
    backlog: Annotated[
        int,
        Meta(ge=1, le=BACKLOG_MAX),
        _says("Connections that may wait in each accept queue; the kernel cuts it to net.core.somaxconn."),
    ] = 2048
    uds_permissions: Annotated[
        Annotated[int, kind("mode")] | None,
        _says("Permissions of a unix: socket, in octal. Default: by the umask."),
    ] = None
    tcp: Annotated[
        Tcp | None,
        _says("Options of its TCP connections. An inherited socket keeps its own unless this is written."),
    ] = None
    tls: Annotated[Tls | None, _says("Speak TLS.")] = None
    limits: Annotated[Limits, _says("What a client may send, and how long it may take.")] = Limits()
    routes: Annotated[
        tuple[Route, ...],
        Meta(min_length=1),
        _says("Tried in the order written; the first match wins."),
    ]

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Name a listener by its address unless the operator did better."""
        return {"name": fields.get("bind", "")} | fields

    @property
    def address(self) -> Bind:
        """The address, taken apart."""
        return parse_bind(self.bind)

    @property
    def tcp_options(self) -> Tcp | None:
        """The options to set; None: leave the socket as it is."""
        return Tcp() if self.tcp is None and isinstance(self.address, TcpBind) else self.tcp


class Admin(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin endpoint: metrics, probes and status."""

    bind: Annotated[
        BindText | UnsetType | None,
        _says(f"Where it listens; none closes it. Default: {DEFAULT_ADMIN_BIND}, or the next free port."),
    ] = UNSET


class Access(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The access log."""

    path: Annotated[
        Annotated[str, kind("access_path")],
        _says("stdout, stderr or a file, opened again on USR1."),
    ] = "stdout"
    format: Annotated[
        Annotated[str, kind("access_format")],
        _says("text: the combined format; json: an object a line; else atoms as gunicorn has them."),
    ] = "text"
    redact: Annotated[
        tuple[Annotated[str, kind("secret")], ...],
        _says("Headers that are not shown, and query: the values in query strings. In place of the default."),
    ] = USUALLY_HIDDEN
    exclude: Annotated[
        tuple[Annotated[str, kind("path")], ...],
        _says("Paths whose requests are left out, written like a route's."),
    ] = ()


class RequestId(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An id for each request, for the app, the client and the logs."""

    header: Annotated[
        Annotated[str, kind("header_name")],
        _says("The header that carries it, of request and response."),
    ] = "X-Request-ID"
    trust: Annotated[bool, _says("Keep an id that comes with a request; false: always make one.")] = True


class Log(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, and where to."""

    LATER: ClassVar[frozenset[str]] = frozenset({"format"})

    level: Annotated[
        Literal["critical", "error", "warning", "info", "debug"],
        _says("The least severe messages that are written."),
    ] = "info"
    path: Annotated[
        Annotated[str, kind("log_path")] | None,
        _says("A file, opened again on USR1. Default: standard error."),
    ] = None
    config: Annotated[
        dict[str, Any] | None,
        Meta(
            extra={"file": "log_config"},
            extra_json_schema={"x-written": {"type": ["object", "string", "null"]}},
        ),
        _says("A dictionary for logging.config.dictConfig, or the path of a JSON or YAML file with one."),
    ] = None
    access: Annotated[
        Access | bool | None, _says("A line for each request; true: with the defaults. Default: none.")
    ] = None

    @property
    def access_log(self) -> Access | None:
        """The access log, if there is to be one."""
        return Access() if self.access is True else self.access or None


class Metrics(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Room for numbers in the shared segment. A change takes effect with a hot restart."""

    app_values_max: Annotated[
        Annotated[int, Meta(ge=APP_VALUES_MIN, le=VALUE_COUNT_MAX)],
        _says(
            "Values of the app's own metrics that each process can keep: a counter is one, "
            "a histogram one for each of its buckets and another."
        ),
    ] = VALUE_COUNT


class Recycle(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a worker is replaced although nothing is wrong with it."""

    max_requests: Annotated[
        Annotated[int, Meta(ge=0, le=REQUESTS_MAX)] | None,
        _says("After about so many requests; none or 0: any number."),
    ] = None
    max_requests_jitter: Annotated[
        Annotated[int, Meta(ge=0, le=REQUESTS_MAX)] | None,
        _says("By how many more requests workers differ, at most. Default: a tenth of max_requests."),
    ] = None
    lifetime_s: Annotated[
        Duration | None, _says("After so long, and up to a tenth longer; none: however old.")
    ] = field(default=None, name="lifetime")
    max_rss_bytes: Annotated[
        Size | None, _says("When its resident memory is more than this; none: however large.")
    ] = field(default=None, name="max_rss")


class Tracing(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span for each request, sent to an OpenTelemetry collector."""

    endpoint: Annotated[
        Annotated[str, kind("otlp_url")] | None,
        _says("Where spans are sent, as OTLP over HTTP; none: nowhere, and nothing is traced."),
    ] = None
    sample: Annotated[
        float,
        kind("ratio"),
        _says("Of how many requests there is a span, if their caller has not decided it: 0 to 1."),
    ] = 1.0
    follow_parent: Annotated[
        bool, _says("Whether a caller's decision to sample counts; false: `sample` decides for all requests.")
    ] = True
    service_name: Annotated[Label | None, _says("The service that spans belong to. Default: the name.")] = (
        None
    )
    headers: Annotated[
        dict[Annotated[str, kind("header_name")], HeaderValue],
        _says("Headers to send to the collector, such as an authorization."),
    ] = field(default_factory=dict)
    timeout_s: Annotated[Duration, _says("How long it is tried to send a batch of spans.")] = field(
        default=5.0, name="timeout"
    )
    resource: Annotated[dict[Label, Label], _says("More attributes of the service.")] = field(
        default_factory=dict
    )
    query: Annotated[
        Literal["omit", "redact", "keep"],
        _says("What a span has of the query string; redact: the names of its parameters."),
    ] = "omit"
    response_header: Annotated[bool, _says("Put a traceparent header on responses.")] = False
    app_spans: Annotated[
        bool, _says("Give an app that has set up no tracer provider one, so that its spans are sent too.")
    ] = False


class Config(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Penstock configuration."""

    LATER: ClassVar[frozenset[str]] = frozenset({"health", "reload", "upstreams"})

    name: Annotated[
        Annotated[str, kind("name")] | None,
        _says(
            "What the running server is called, in its control socket and process titles. Default: its port."
        ),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=WORKERS_MAX)] | Literal["auto"],
        _says("Worker processes; auto: one per usable core."),
    ] = "auto"
    pin: Annotated[
        bool | None,
        _says("Bind each worker to one core. Default: true, but false under a fractional CPU quota."),
    ] = None
    drain_timeout_s: Annotated[
        Duration, _says("How long a stopping worker may finish what is in flight.")
    ] = field(default=30.0, name="drain_timeout")
    stream_drain_timeout_s: Annotated[
        Duration,
        _says(
            "How long a stopping worker lets endless responses go on before it tells the app to end them. "
            "At most drain_timeout."
        ),
    ] = field(default=STREAM_DRAIN_TIMEOUT_S, name="stream_drain_timeout")
    shutdown_delay_s: Annotated[
        Duration,
        _says("How long a server that is to stop is not ready, but still accepts, before it drains."),
    ] = field(default=0.0, name="shutdown_delay")
    recycle: Annotated[Recycle, _says("When a worker is replaced although nothing is wrong with it.")] = (
        Recycle()
    )
    worker_suspect_timeout_s: Annotated[
        Duration, _says("After so long a blocked worker's new connections go to the others; 0s: never.")
    ] = field(default=1.0, name="worker_suspect_timeout")
    worker_timeout_s: Annotated[Duration, _says("After so long a blocked worker is replaced; 0s: never.")] = (
        field(default=60.0, name="worker_timeout")
    )
    slow_request_s: Annotated[
        Duration,
        _says("Requests that take so long are kept for `penstock status --slow`, as all that fail."),
    ] = field(default=1.0, name="slow_request")
    admin: Annotated[Admin | None, _says("The admin endpoint; none closes its TCP side.")] = Admin()
    control: Annotated[FilePath | None, _says("The control socket. Default: chosen from name or port.")] = (
        None
    )
    pidfile: Annotated[FilePath | None, _says("A file that holds the master's process id.")] = None
    user: Annotated[
        Annotated[str, kind("account")] | None,
        _says("The user that workers and the admin process run as. Default: the one who starts it."),
    ] = None
    group: Annotated[
        Annotated[str, kind("account")] | None,
        _says("Their group. Default: that user's own."),
    ] = None
    preload: Annotated[
        bool, _says("Import the apps before workers are forked, so that they share its memory.")
    ] = False
    app_dir: Annotated[FilePath, _says("Put first on sys.path before an app is imported.")] = "."
    root_path: Annotated[
        Annotated[str, kind("root_path")],
        _says("The prefix under which a proxy in front serves the apps (ASGI root_path)."),
    ] = ""
    lifespan: Annotated[
        Literal["auto", "on", "off"],
        _says("Whether apps take part in the ASGI lifespan protocol; auto: if they can."),
    ] = "auto"
    log: Annotated[Log, _says("What is logged, and where to.")] = Log()
    metrics: Annotated[Metrics, _says("Room for numbers in the shared segment.")] = Metrics()
    tracing: Annotated[Tracing | None, _says("A span for each request, sent to a collector.")] = Tracing()
    request_id: Annotated[
        RequestId | bool | None,
        _says("Give each request an id; true: with the defaults. Default: none."),
    ] = None
    listeners: Annotated[
        tuple[Listener, ...],
        Meta(min_length=1),
        _says("The addresses that are served."),
    ] = ()

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Call streams off before a short drain is over, unless the operator said when."""
        drain_timeout_s = fields.get("drain_timeout_s", STREAM_DRAIN_TIMEOUT_S)
        return {"stream_drain_timeout_s": min(STREAM_DRAIN_TIMEOUT_S, drain_timeout_s)} | fields

    @property
    def request_ids(self) -> RequestId | None:
        """How requests get ids, if they are to."""
        return RequestId() if self.request_id is True else self.request_id or None

    @property
    def admin_address(self) -> Bind | None:
        """Where the admin endpoint listens; None: not on TCP."""
        if self.admin is None or self.admin.bind is None:
            return None
        return parse_bind(DEFAULT_ADMIN_BIND if self.admin.bind is UNSET else self.admin.bind)

    @property
    def admin_is_default(self) -> bool:
        """True when nobody asked for the admin address by name, so another port will do."""
        return self.admin is not None and self.admin.bind is UNSET

    @property
    def first_port(self) -> int | None:
        """The port of the first TCP listener, by which a nameless server is known."""
        ports = (each.address.port for each in self.listeners if isinstance(each.address, TcpBind))
        return next(ports, None)
