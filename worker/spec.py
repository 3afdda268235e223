"""
What a worker is told: the whole of its configuration, already judged.

The master builds these from the config file or the command line; nothing here
reads a file, an environment variable or a default that could disagree with
what the operator wrote. Times are seconds, sizes are bytes.
"""

from typing import Literal

import msgspec

# The label of requests that no route took.
UNMATCHED = "-"


class RouteCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where a route's numbers live: word indexes into the cells of any row."""

    # Four words in a row: responses of class 2xx, 3xx, 4xx, 5xx.
    requests: int
    # The first word of a histogram (see shm/histogram.py).
    duration: int


class ListenerCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where a listener's numbers live: word indexes into the cells of any row."""

    connections_total: int
    received_bytes: int
    sent_bytes: int
    # Gauges: connections with a request in flight, and those without.
    connections_active: int
    connections_idle: int


class WorkerCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where what the process itself takes is counted: word indexes into the cells of any row."""

    cpu_us: int
    # Three words in a row: collections of the youngest, the middle and the oldest objects.
    gc_collections: int


class AppAction(msgspec.Struct, frozen=True, kw_only=True, tag="app"):
    """Call an ASGI application: `module:attribute`, imported by the worker."""

    target: str
    factory: bool = False


class RespondAction(msgspec.Struct, frozen=True, kw_only=True, tag="respond"):
    """Answer with fixed bytes; the framing headers are added by the worker."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class ProxyAction(msgspec.Struct, frozen=True, kw_only=True, tag="proxy"):
    """Pass requests on to a server of an upstream."""

    upstream: str


Action = AppAction | RespondAction | ProxyAction


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One server of an upstream: "10.0.0.1:9000", "[::1]:9000", "unix:/run/x.sock"."""

    address: str
    weight: int = 1


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


class MatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which requests a route takes. None matches everything.

    `path` ends in "/" for a prefix, starts with "~" for a regular expression,
    and is otherwise exact. `host` is lower case, without a port.
    """

    host: str | None = None
    path: str | None = None
    methods: frozenset[str] | None = None


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A matching rule and what to do with the requests it takes."""

    name: str
    match: MatchSpec
    action: Action
    cells: RouteCells


class LimitsSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may send, and how long it may take."""

    header_bytes: int = 16 * 1024
    header_count: int = 100
    body_bytes: int | None = None  # None: as much as the app will read
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0  # between two pieces of a body
    keep_alive_s: float = 75.0
    send_timeout_s: float = 60.0  # a client that takes no byte of the response


class ListenerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One address that the worker serves, through the shards it is lent."""

    name: str
    address: str  # as configured, and what makes it the same after a reload: "[::]:80", "unix:/run/x.sock"
    protocol: Literal["http"] = "http"
    backlog: int = 2048
    limits: LimitsSpec
    routes: tuple[RouteSpec, ...]
    # What requests that no route takes are counted under.
    unmatched: RouteCells
    cells: ListenerCells


class LogSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where the worker's log goes. `path` None is standard error."""

    level: str = "info"
    path: str | None = None
    dict_config: dict[str, object] | None = None  # `--log-config`, already parsed


class TracingCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where the numbers of tracing live: word indexes into the cells of any row."""

    exported: int
    # Two words in a row: by a full queue, and on the way to the collector.
    dropped: int


class TracingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where spans go, and of which requests there are any."""

    endpoint: str
    cells: TracingCells
    sample: float = 1.0
    follows_parent: bool = True
    service_name: str | None = None
    service_name_default: str = "penstock"  # if the OTEL_ variables name none either
    headers: dict[str, str] = {}
    timeout_s: float = 5.0
    resource: dict[str, str] = {}
    response_header: bool = False
    query: Literal["omit", "redact", "keep"] = "omit"
    app_spans: bool = False


class AccessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The access log: "stdout", "stderr" or a file; "text", "json" or atoms; what is hidden and left out."""

    path: str = "stdout"
    format: str = "text"
    redact: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dropped: int = 0  # the word that counts lines which could not be written


class RequestIdSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The header that carries request ids, and whether those of clients are kept."""

    header: str
    trust: bool = True


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the workers of one generation share."""

    generation: int
    name: str
    listeners: tuple[ListenerSpec, ...]
    log: LogSpec
    access: AccessSpec | None = None
    request_id: RequestIdSpec | None = None
    drain_timeout_s: float = 30.0
    stream_drain_timeout_s: float = 5.0  # since the drain began; at most drain_timeout_s
    slow_request_s: float = 1.0  # from then on a request is kept as slow
    app_dir: str | None = "."  # put first on sys.path before an app is imported
    root_path: str = ""
    uid: int | None = None
    gid: int | None = None
    lifespan: Literal["auto", "on", "off"] = "auto"
    cells: WorkerCells | None = None  # None: not counted
    upstreams: tuple[UpstreamSpec, ...] = ()
    tracing: TracingSpec | None = None
