"""
What a configuration says: the one truth behind file, options and environment.

Defaults stand in the records and nowhere else: here the whole, and in `listener`,
`route` and `telling` its parts. Reading text into these records is typed.py's
work, and whether the whole makes sense is judge.py's.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.bind import Bind, TcpBind, parse_bind
from penstock.master.config.compression import KEY_SAYS, Compression
from penstock.master.config.kinds import kind
from penstock.master.config.listener import Listener
from penstock.master.config.record import BindText, Duration, FilePath, Record, Size, says
from penstock.master.config.reload import Reload, for_development
from penstock.master.config.telling import Log, Metrics, RequestId, Tracing
from penstock.master.config.upstream import Upstream, Upstreams, is_address, single

DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_ADMIN_BIND = "127.0.0.1:9180"

# 4 shards a worker and 2 rows a shard: 1,024 workers are 64 MiB of rows, far above any machine yet.
WORKERS_MAX = 1024
# Most downloads of unknown length end before it; after it, 25 of 30 seconds are left for the goodbye.
STREAM_DRAIN_TIMEOUT_S = 5.0
# WSGI apps mostly wait for a database: ten requests at a time keep a core busy if a tenth of their time is
# Python's. Each thread may hold a connection, and 8 workers with 10 stay below the 100 of PostgreSQL.
THREADS = 10
# Beyond that threads wait for the interpreter's lock and for nothing else.
THREADS_MAX = 1000
# Nobody counts further; it only keeps sums within what a counter holds.
REQUESTS_MAX = 10**12


class Admin(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin endpoint: metrics, probes and status."""

    bind: Annotated[
        BindText | UnsetType | None,
        says(f"Where it listens; none closes it. Default: {DEFAULT_ADMIN_BIND}, or the next free port."),
    ] = UNSET


class Recycle(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a worker is replaced although nothing is wrong with it."""

    max_requests: Annotated[
        Annotated[int, Meta(ge=0, le=REQUESTS_MAX)] | None,
        says("After about so many requests; none or 0: any number."),
    ] = None
    max_requests_jitter: Annotated[
        Annotated[int, Meta(ge=0, le=REQUESTS_MAX)] | None,
        says("By how many more requests workers differ, at most. Default: a tenth of max_requests."),
    ] = None
    lifetime_s: Annotated[
        Duration | None, says("After so long, and up to a tenth longer; none: however old.")
    ] = field(default=None, name="lifetime")
    max_rss_bytes: Annotated[
        Size | None, says("When its resident memory is more than this; none: however large.")
    ] = field(default=None, name="max_rss")


class Config(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Penstock configuration."""

    LATER: ClassVar[frozenset[str]] = frozenset({"health"})

    name: Annotated[
        Annotated[str, kind("name")] | None,
        says(
            "What the running server is called, in its control socket and process titles. Default: its port."
        ),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=WORKERS_MAX)] | Literal["auto"],
        says("Worker processes; auto: one per usable core. Default: auto, but 1 with reload."),
    ] = "auto"
    pin: Annotated[
        bool | None,
        says("Bind each worker to one core. Default: true, but false under a fractional CPU quota."),
    ] = None
    drain_timeout_s: Annotated[Duration, says("How long a stopping worker may finish what is in flight.")] = (
        field(default=30.0, name="drain_timeout")
    )
    stream_drain_timeout_s: Annotated[
        Duration,
        says(
            "How long a stopping worker lets endless responses go on before it tells the app to end them. "
            "At most drain_timeout."
        ),
    ] = field(default=STREAM_DRAIN_TIMEOUT_S, name="stream_drain_timeout")
    shutdown_delay_s: Annotated[
        Duration,
        says("How long a server that is to stop is not ready, but still accepts, before it drains."),
    ] = field(default=0.0, name="shutdown_delay")
    recycle: Annotated[Recycle, says("When a worker is replaced although nothing is wrong with it.")] = (
        Recycle()
    )
    worker_suspect_timeout_s: Annotated[
        Duration, says("After so long a blocked worker's new connections go to the others; 0s: never.")
    ] = field(default=1.0, name="worker_suspect_timeout")
    worker_timeout_s: Annotated[Duration, says("After so long a blocked worker is replaced; 0s: never.")] = (
        field(default=60.0, name="worker_timeout")
    )
    worker_startup_timeout_s: Annotated[
        Duration,
        says("How long a worker may take to import the apps and start them; 0s: any time."),
    ] = field(default=120.0, name="worker_startup_timeout")
    reload: Annotated[
        Reload | bool | None,
        says("For development: replace the workers when the code changes; true: with the defaults."),
    ] = None
    slow_request_s: Annotated[
        Duration,
        says("Requests that take so long are kept for `penstock status --slow`, as all that fail."),
    ] = field(default=1.0, name="slow_request")
    admin: Annotated[Admin | None, says("The admin endpoint; none closes its TCP side.")] = Admin()
    control: Annotated[FilePath | None, says("The control socket. Default: chosen from name or port.")] = None
    pidfile: Annotated[FilePath | None, says("A file that holds the master's process id.")] = None
    user: Annotated[
        Annotated[str, kind("account")] | None,
        says("The user that workers and the admin process run as. Default: the one who starts it."),
    ] = None
    group: Annotated[
        Annotated[str, kind("account")] | None,
        says("Their group. Default: that user's own."),
    ] = None
    umask: Annotated[
        Annotated[int, kind("umask")] | None,
        says("Mask of the files and sockets that are made, in octal. Default: as it is."),
    ] = None
    preload: Annotated[
        bool, says("Import the apps before workers are forked, so that they share its memory.")
    ] = False
    app_dir: Annotated[FilePath, says("Put first on sys.path before an app is imported.")] = "."
    root_path: Annotated[
        Annotated[str, kind("root_path")],
        says("The prefix under which a proxy in front serves the apps (ASGI root_path)."),
    ] = ""
    lifespan: Annotated[
        Literal["auto", "on", "off"],
        says("Whether apps take part in the ASGI lifespan protocol; auto: if they can."),
    ] = "auto"
    reset_contextvars: Annotated[
        bool, says("Have each request start without the context variables that the lifespan set.")
    ] = False
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=THREADS_MAX)],
        says("How many requests of WSGI apps a worker answers at once, each in a thread."),
    ] = THREADS
    log: Annotated[Log, says("What is logged, and where to.")] = Log()
    metrics: Annotated[Metrics, says("Room for numbers in the shared segment.")] = Metrics()
    tracing: Annotated[Tracing | None, says("A span for each request, sent to a collector.")] = Tracing()
    request_id: Annotated[
        RequestId | bool | None,
        says("Give each request an id; true: with the defaults. Default: none."),
    ] = None
    compression: Annotated[Compression | bool | UnsetType | None, KEY_SAYS] = UNSET
    listeners: Annotated[
        tuple[Listener, ...],
        Meta(min_length=1),
        says("The addresses that are served."),
    ] = ()
    upstreams: Annotated[Upstreams, says("Groups of servers that requests are passed to, by name.")] = field(
        default_factory=dict
    )

    @classmethod
    def completed(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Call streams off before a short drain is over, unless the operator said when; and develop."""
        if fields.get("reload"):
            fields = for_development(fields)
        drain_timeout_s = fields.get("drain_timeout_s", STREAM_DRAIN_TIMEOUT_S)
        return {"stream_drain_timeout_s": min(STREAM_DRAIN_TIMEOUT_S, drain_timeout_s)} | fields

    def all_upstreams(self) -> dict[str, Upstream]:
        """Name every upstream: those of the file, then the servers that routes name themselves."""
        targets = [route.proxy for each in self.listeners for route in each.leaves]
        singles = {target: single(target) for target in targets if target and is_address(target)}
        return {**self.upstreams, **singles}

    @property
    def reloading(self) -> Reload | None:
        """What is watched for changes, if anything is."""
        return Reload() if self.reload is True else self.reload or None

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
