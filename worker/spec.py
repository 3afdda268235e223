"""
What a worker is told: the whole of its configuration, already judged.

The master builds these from the config file or the command line; nothing here
reads a file, an environment variable or a default that could disagree with
what the operator wrote. Times are seconds, sizes are bytes.
"""

from typing import Literal

import msgspec

from penstock.worker.gateway.spec import UpstreamSpec

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


class GateCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where is counted who waits at a listener's gate: word indexes into the cells of any row."""

    queued: int  # a gauge
    # Two words in a row: turned away at once, and after waiting in vain.
    rejected: int


class WorkerCells(msgspec.Struct, frozen=True, kw_only=True):
    """Where what the process itself takes is counted: word indexes into the cells of any row."""

    cpu_us: int
    # Three words in a row: collections of the youngest, the middle and the oldest objects.
    gc_collections: int


Interface = Literal["auto", "asgi3", "asgi2", "wsgi"]


class AppAction(msgspec.Struct, frozen=True, kw_only=True, tag="app"):
    """Call an application: `module:attribute`, imported by the worker."""

    target: str
    factory: bool = False
    interface: Interface = "auto"  # auto: found out by looking


class RespondAction(msgspec.Struct, frozen=True, kw_only=True, tag="respond"):
    """Answer with fixed bytes; the framing headers are added by the worker."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class FilesAction(msgspec.Struct, frozen=True, kw_only=True, tag="files"):
    """Serve the files below a folder: `root` is absolute. None of `index`, `fallback`: there is none."""

    root: str
    index: str | None = "index.html"
    precompressed: bool = True
    cache_control: str | None = None
    follow_symlinks: bool = False
    fallback: str | None = None
    dotfiles: bool = False
    types: tuple[tuple[str, str], ...] = ()  # by the end of the name: ".x"


class ProxyAction(msgspec.Struct, frozen=True, kw_only=True, tag="proxy"):
    """Pass requests on to a server of an upstream."""

    upstream: str


class RedirectAction(msgspec.Struct, frozen=True, kw_only=True, tag="redirect"):
    """Send the client elsewhere: `to` is a template of a URL."""

    to: str
    code: int = 307


class SplitAction(msgspec.Struct, frozen=True, kw_only=True, tag="split"):
    """Share requests among variants by their weights; `key` says which requests go together."""

    key: str  # "client", "random", "header:x" or "cookie:x"
    variants: "tuple[tuple[int, RouteSpec], ...]"


Action = AppAction | RespondAction | FilesAction | ProxyAction | RedirectAction | SplitAction

# A name, and what its value is to be: a text, "~" and a regular expression, True: any, False: not there.
Wanted = tuple[str, str | bool]


def several(given: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return what may be written as one or as a list, as a tuple; None for what is left out."""
    return (given,) if isinstance(given, str) else given


class MatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which requests a route takes. None, or nothing, matches everything.

    A path ends in "/" for a prefix, starts with "~" for a regular expression,
    and is otherwise exact. A host is lower case, without a port; one that starts
    with "*." is every name below it. Of several, one has to match.
    """

    host: str | tuple[str, ...] | None = None
    path: str | tuple[str, ...] | None = None
    methods: frozenset[str] | None = None
    headers: tuple[Wanted, ...] = ()
    query: tuple[Wanted, ...] = ()
    client: tuple[str, ...] = ()  # addresses, networks and "unix:"

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Its hosts, however many."""
        return several(self.host)

    @property
    def paths(self) -> tuple[str, ...] | None:
        """Its paths, however many."""
        return several(self.path)


# Of headers: "remove", "set" or "add"; the name; a template of the value.
HeaderEdit = tuple[Literal["remove", "set", "add"], str, str]


class RewriteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Another path for whoever answers; first it is stripped, then replaced in, then added to."""

    strip_prefix: str | None = None
    replace: tuple[str, str] | None = None  # a regular expression, and a template
    add_prefix: str | None = None


class EditsSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is changed of a request before it is answered, and of its response."""

    rewrite: RewriteSpec | None = None
    request: tuple[HeaderEdit, ...] = ()
    response: tuple[HeaderEdit, ...] = ()


class CompressionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which codings are offered, with their levels, the preferred one first; for which types and sizes."""

    codings: tuple[tuple[str, int], ...]
    types: tuple[str, ...]
    size_min: int


class RouteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A matching rule and what to do with the requests it takes."""

    name: str
    match: MatchSpec
    action: Action
    cells: RouteCells
    compression: CompressionSpec | None = None
    edits: EditsSpec | None = None

    @property
    def leaves(self) -> "tuple[RouteSpec, ...]":
        """Those by which requests are answered: itself, or its variants."""
        if isinstance(self.action, SplitAction):
            return tuple(route for _, route in self.action.variants)
        return (self,)


class LimitsSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may send, and how long it may take."""

    header_bytes: int = 16 * 1024
    header_count: int = 100
    body_bytes: int | None = None  # None: as much as the app will read
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0  # between two pieces of a body
    body_rate: int | None = 240  # bytes a second at least, all in all; None: as slow as it likes
    keep_alive_s: float = 75.0
    send_timeout_s: float = 60.0  # a client that takes no byte of the response
    concurrency: int | None = None  # requests that apps are at work on at a time, in each worker
    queue_timeout_s: float = 0.0  # how long the others wait for their turn


class ProxiesSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Proxies that are believed (addresses, networks, "unix:" and "*"), and the headers they speak in."""

    trusted: tuple[str, ...]
    family: Literal["x-forwarded", "forwarded"] = "x-forwarded"


class ProxyProtocolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who begins with a PROXY header (addresses, networks, "unix:" and "*"), and what becomes of others."""

    trusted: tuple[str, ...]
    required: bool = True  # False: others are served as they are
    timeout_s: float = 3.0
    # Four words in a row: connections that were closed, by `names.PROXY_REJECTIONS`.
    rejected: int


class WebSocketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What WebSockets of a listener are held to. None: no pings, or none of them is waited for."""

    message_bytes: int = 16 * 1024 * 1024
    queue_count: int = 32  # messages that wait for the app
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    deflate: bool = True


class ListenerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One address that the worker serves, through the shards it is lent."""

    name: str
    address: str  # as configured, and what makes it the same after a reload: "[::]:80", "unix:/run/x.sock"
    protocol: Literal["http"] = "http"
    backlog: int = 2048
    limits: LimitsSpec
    proxies: ProxiesSpec | None = None
    proxy_protocol: ProxyProtocolSpec | None = None
    headers: tuple[tuple[str, str], ...] = ()  # of every response that does not set them itself
    server_header: bool = True
    date_header: bool = True
    websocket: WebSocketSpec | None = None  # None: requests for one are answered as any other
    routes: tuple[RouteSpec, ...]
    # What requests that no route takes are counted under.
    unmatched: RouteCells
    cells: ListenerCells
    gate: GateCells | None = None  # None: not counted

    @property
    def leaves(self) -> tuple[RouteSpec, ...]:
        """The routes by which requests are answered: all, and variants instead of what is split."""
        return tuple(leaf for route in self.routes for leaf in route.leaves)


class LogSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where the worker's log goes. `path` None is standard error."""

    level: str = "info"
    path: str | None = None
    dict_config: dict[str, object] | None = None  # `--log-config`, already parsed
    colors: bool | None = None  # None: on a terminal


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
    reset_contextvars: bool = False  # requests start from an empty context, not from the lifespan's
    threads: int = 10  # at the most, for WSGI apps
    cells: WorkerCells | None = None  # None: not counted
    upstreams: tuple[UpstreamSpec, ...] = ()
    tracing: TracingSpec | None = None
