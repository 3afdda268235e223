"""
From a configuration to what the workers are told.

Gives every listener and route its words in the shared segment, and opens what
workers may not: the certificates. Binds nothing and forks nothing.
"""

import os
import pwd
import ssl
from dataclasses import dataclass
from pathlib import Path as FilePath

from penstock.master.behind import upstream_spec
from penstock.master.config import proxy_protocol
from penstock.master.config.accounts import owner_ids
from penstock.master.config.compression import settled
from penstock.master.config.files import Files
from penstock.master.config.header_changes import HeaderChanges
from penstock.master.config.listener import Listener
from penstock.master.config.model import Config
from penstock.master.config.route import Respond, Route, Variant
from penstock.master.config.route_faults import variant_label
from penstock.master.config.tls import Tls
from penstock.master.config.websocket import WebSocket
from penstock.master.members import FOUND_SERIES_MAX
from penstock.shm import names
from penstock.shm.histogram import WORD_COUNT
from penstock.shm.schema import CELL_COUNT_MAX, Geometry
from penstock.shm.series import SeriesTable
from penstock.worker.spec import (
    UNMATCHED,
    AccessSpec,
    Action,
    AppAction,
    EditsSpec,
    FilesAction,
    GateCells,
    HeaderEdit,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    LogSpec,
    ProxiesSpec,
    ProxyAction,
    ProxyProtocolSpec,
    RequestIdSpec,
    RespondAction,
    RouteCells,
    RouteSpec,
    SplitAction,
    TracingCells,
    TracingSpec,
    WebSocketSpec,
    WorkerCells,
    WorkerSpec,
)
from penstock.worker.tls.context import KeyPair, TlsSettings, open_context

# What listeners and processes count beside their routes is far less than this.
CELLS_BESIDE = 2048
# Responses by class, and a histogram.
CELLS_PER_ROUTE = len(names.CODE_CLASSES) + WORD_COUNT
# Those of a route, a histogram of connecting, and a few dozen words.
CELLS_PER_SERVER = CELLS_PER_ROUTE + WORD_COUNT + 64

TOO_MANY_ROUTES = (
    f"too many routes: the shared segment can have words for the numbers of about "
    f"{CELL_COUNT_MAX // CELLS_PER_ROUTE} pairs of listener and route; "
    "routes of a listener that have the same name share theirs"
)

NO_ROOM = (
    "the running server has no room for the numbers of these routes; "
    "`penstock upgrade` (SIGUSR2) makes it, and loses none"
)


@dataclass(frozen=True)
class Account:
    """Whom workers and the admin process run as. None: as whoever starts the server."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()


def account_of(config: Config) -> Account:
    """Look up the configured user and group. Raises KeyError for one that has just gone."""
    uid, gid = owner_ids(config)
    if uid is None and gid is None:
        return Account()
    if uid in (None, os.getuid()) and gid in (None, os.getgid()):
        return Account()  # Nothing to change, and maybe no right to say so to the kernel.
    return Account(uid, gid, groups_of(uid, gid))


def groups_of(uid: int | None, gid: int | None) -> tuple[int, ...]:
    """List a user's supplementary groups; a number without an entry has none."""
    if uid is None or gid is None:
        return ()
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return ()


def build_spec(
    config: Config, series: SeriesTable, *, name: str, generation: int, account: Account
) -> WorkerSpec:
    """Work out what the workers of a generation are told. Raises SeriesFull."""
    return WorkerSpec(
        generation=generation,
        name=name,
        listeners=tuple(_listener_spec(config, listener, series) for listener in config.listeners),
        log=log_spec(config),
        access=_access_spec(config, series),
        request_id=_request_id_spec(config),
        drain_timeout_s=config.drain_timeout_s,
        stream_drain_timeout_s=config.stream_drain_timeout_s,
        slow_request_s=config.slow_request_s,
        app_dir=config.app_dir,
        root_path=config.root_path,
        uid=account.uid,
        gid=account.gid,
        lifespan=config.lifespan,
        reset_contextvars=config.reset_contextvars,
        threads=config.threads,
        cells=_worker_cells(series),
        upstreams=tuple(
            upstream_spec(name, upstream, series) for name, upstream in config.all_upstreams().items()
        ),
        tracing=_tracing_spec(config, series),
    )


def log_spec(config: Config) -> LogSpec:
    """Say where the log goes, and how it looks."""
    log = config.log
    return LogSpec(level=log.level, path=log.path, dict_config=log.config, colors=log.colors)


def _access_spec(config: Config, series: SeriesTable) -> AccessSpec | None:
    # Also when there is no access log, so that an alert on it always has a number to look at.
    dropped = series.define(names.ACCESS_LOG_DROPPED, "counter")
    access = config.log.access_log
    if access is None:
        return None
    return AccessSpec(
        path=access.path, format=access.format, redact=access.redact, exclude=access.exclude, dropped=dropped
    )


def _request_id_spec(config: Config) -> RequestIdSpec | None:
    wanted = config.request_ids
    return None if wanted is None else RequestIdSpec(header=wanted.header, trust=wanted.trust)


def geometry_of(config: Config, worker_count: int) -> Geometry:
    """Reckon how large the shared segment has to be. Raises ValueError in words."""
    routes = [(each.name, label) for each in config.listeners for label in labels_of(each)]
    pairs = len(set(routes)) + len(config.listeners)
    upstreams = config.all_upstreams().values()
    servers = sum(len(each.servers) + FOUND_SERIES_MAX * any(each.each_name()) for each in upstreams)
    try:
        return Geometry.for_workers(
            worker_count,
            cells=pairs * CELLS_PER_ROUTE + servers * CELLS_PER_SERVER + CELLS_BESIDE,
            values=config.metrics.app_values_max,
        )
    except ValueError:
        raise ValueError(TOO_MANY_ROUTES) from None


def labels_of(listener: Listener) -> list[str]:
    """List what the numbers of a listener's routes are counted under."""
    return [
        variant_label(route, index, leaf) if isinstance(leaf, Variant) else leaf.label
        for route in listener.routes
        for index, leaf in enumerate(route.leaves)
    ]


def _listener_spec(config: Config, listener: Listener, series: SeriesTable) -> ListenerSpec:
    limits = listener.limits
    return ListenerSpec(
        name=listener.name,
        address=str(listener.address),
        protocol=listener.protocol,
        backlog=listener.backlog,
        limits=LimitsSpec(
            header_bytes=limits.header_bytes,
            header_count=limits.header_count,
            body_bytes=limits.body_bytes,
            header_timeout_s=limits.header_timeout_s,
            body_timeout_s=limits.body_timeout_s,
            body_rate=limits.body_rate,
            keep_alive_s=limits.keep_alive_timeout_s,
            send_timeout_s=limits.send_timeout_s,
            concurrency=limits.concurrency,
            queue_timeout_s=limits.queue_timeout_s,
        ),
        websocket=_websocket_spec(listener.websockets),
        headers=listener.header_pairs(),
        server_header=listener.server_header,
        date_header=listener.date_header,
        proxies=_proxies_spec(listener),
        proxy_protocol=_proxy_protocol_spec(listener, series),
        routes=tuple(_route_spec(config, listener, route, series) for route in listener.routes),
        unmatched=_route_cells(listener.name, UNMATCHED, series),
        cells=_listener_cells(listener.name, series),
        gate=_gate_cells(listener.name, series),
    )


def _websocket_spec(websocket: WebSocket | None) -> WebSocketSpec | None:
    if websocket is None:
        return None
    return WebSocketSpec(
        message_bytes=websocket.message_bytes,
        queue_count=websocket.queue_count,
        ping_interval_s=websocket.ping_interval_s or None,
        ping_timeout_s=websocket.ping_timeout_s or None,
        deflate=websocket.deflate,
    )


def _proxies_spec(listener: Listener) -> ProxiesSpec | None:
    if listener.forwarded is None:
        return None
    return ProxiesSpec(trusted=listener.trusted_proxies, family=listener.forwarded)


def _proxy_protocol_spec(listener: Listener, series: SeriesTable) -> ProxyProtocolSpec | None:
    wanted = proxy_protocol.settled(listener.proxy_protocol)
    if wanted is None:
        return None
    labels = (("listener", listener.name),)
    rejected = series.define_group(names.PROXY_REJECTED, "counter", labels, "reason", names.PROXY_REJECTIONS)
    return wanted.spec(listener.trusted_proxies, rejected)


def _route_spec(config: Config, listener: Listener, route: Route, series: SeriesTable | None) -> RouteSpec:
    if route.split is None:
        return _leaf_spec(config, listener, (route,), route.label, series)
    variants = tuple(
        (
            variant.weight,
            _leaf_spec(config, listener, (route, variant), variant_label(route, index, variant), series),
        )
        for index, variant in enumerate(route.split)
    )
    return RouteSpec(
        name=route.label,
        match=route.match.spec(),
        action=SplitAction(key=route.split_by, variants=variants),
        cells=variants[0][1].cells,
    )


def routing_specs(config: Config, listener: Listener) -> tuple[RouteSpec, ...]:
    """Write the routes of a listener as workers get them, but for where their numbers live."""
    return tuple(_route_spec(config, listener, route, None) for route in listener.routes)


def _leaf_spec(
    config: Config, listener: Listener, routes: tuple[Route, ...], label: str, series: SeriesTable | None
) -> RouteSpec:
    """Write a route, or a variant behind the route that has it."""
    compression = settled(config.compression, listener.compression, *(route.compression for route in routes))
    return RouteSpec(
        name=label,
        match=routes[0].match.spec(),
        action=_action(routes[-1]),
        cells=_route_cells(listener.name, label, series),
        compression=None if compression is None else compression.spec(),
        edits=_edits(listener, routes),
    )


def _edits(listener: Listener, routes: tuple[Route, ...]) -> EditsSpec | None:
    """Sum up what is changed; what is nearer to the action comes later, and has the last word."""
    levels: tuple[Listener | Route, ...] = (listener, *routes)
    rewrites = [route.rewrite for route in routes if route.rewrite is not None]
    edits = EditsSpec(
        rewrite=rewrites[-1].spec() if rewrites else None,
        request=tuple(edit for each in levels for edit in _header_edits(each.request_headers)),
        response=tuple(edit for each in levels for edit in _header_edits(each.response_headers)),
    )
    return None if edits == EditsSpec() else edits


def _header_edits(changes: HeaderChanges | None) -> tuple[HeaderEdit, ...]:
    return () if changes is None else changes.edits()


def _action(route: Route) -> Action:
    if route.app is not None:
        return AppAction(target=route.app, factory=route.factory, interface=route.interface)
    if route.files is not None:
        return _files_action(route.files)
    if route.proxy is not None:
        return ProxyAction(upstream=route.proxy)
    if route.redirect is not None:
        return route.redirect.action()
    respond = route.respond or Respond()
    return RespondAction(status=respond.status, headers=respond.header_pairs(), body=respond.body.encode())


def _files_action(files: Files) -> FilesAction:
    return FilesAction(
        # By its name now: an app may change the directory.
        root=str(FilePath.cwd() / files.root),
        index=files.index,
        precompressed=files.precompressed,
        cache_control=files.cache_control,
        follow_symlinks=files.follow_symlinks,
        fallback=files.fallback,
        dotfiles=files.dotfiles,
        types=tuple(files.types.items()),
    )


def _route_cells(listener: str, route: str, series: SeriesTable | None) -> RouteCells:
    if series is None:
        return RouteCells(requests=0, duration=0)
    labels = (("listener", listener), ("route", route))
    return RouteCells(
        requests=series.define_group(names.REQUESTS, "counter", labels, "code", names.CODE_CLASSES),
        duration=series.define(names.REQUEST_DURATION, "histogram", labels),
    )


def _listener_cells(listener: str, series: SeriesTable) -> ListenerCells:
    labels = (("listener", listener),)
    active, idle = names.CONNECTION_STATES
    return ListenerCells(
        connections_total=series.define(names.CONNECTIONS_TOTAL, "counter", labels),
        received_bytes=series.define(names.RECEIVED_BYTES, "counter", labels),
        sent_bytes=series.define(names.SENT_BYTES, "counter", labels),
        connections_active=series.define(names.CONNECTIONS, "gauge", (*labels, ("state", active))),
        connections_idle=series.define(names.CONNECTIONS, "gauge", (*labels, ("state", idle))),
    )


def _gate_cells(listener: str, series: SeriesTable) -> GateCells:
    labels = (("listener", listener),)
    return GateCells(
        queued=series.define(names.REQUESTS_QUEUED, "gauge", labels),
        rejected=series.define_group(
            names.REQUESTS_REJECTED, "counter", labels, "reason", names.REJECTION_REASONS
        ),
    )


def _worker_cells(series: SeriesTable) -> WorkerCells:
    return WorkerCells(
        cpu_us=series.define(names.WORKER_CPU_US, "counter"),
        gc_collections=series.define_group(
            names.GC_COLLECTIONS, "counter", (), "generation", names.GC_GENERATIONS
        ),
    )


def _tracing_spec(config: Config, series: SeriesTable) -> TracingSpec | None:
    tracing = config.tracing
    if tracing is None or tracing.endpoint is None:
        return None
    return TracingSpec(
        endpoint=tracing.endpoint,
        cells=TracingCells(
            exported=series.define(names.SPANS_EXPORTED, "counter"),
            dropped=series.define_group(names.SPANS_DROPPED, "counter", (), "reason", names.DROP_REASONS),
        ),
        sample=tracing.sample,
        follows_parent=tracing.follow_parent,
        service_name=tracing.service_name,
        service_name_default=config.name or "penstock",
        headers=tracing.headers,
        timeout_s=tracing.timeout_s,
        resource=tracing.resource,
        response_header=tracing.response_header,
        query=tracing.query,
        app_spans=tracing.app_spans,
    )


def tls_contexts(config: Config) -> dict[str, ssl.SSLContext]:
    """
    Open the certificates of every listener, by the listener's name.

    In the master, before the fork: workers may have dropped the right to read
    keys, and with one context they share session tickets. Raises OSError,
    ssl.SSLError, ValueError; the config was judged, so only a file that changed
    since does.
    """
    return {
        listener.name: open_context(_tls_settings(listener.name, listener.tls))
        for listener in config.listeners
        if listener.tls is not None
    }


def _tls_settings(listener: str, tls: Tls) -> TlsSettings:
    return TlsSettings(
        listener=listener,
        pairs=tuple(KeyPair(each.cert, each.key, each.password) for each in tls.certificates),
        min_version=tls.min_version,
        ciphers=tls.ciphers,
        client_ca=tls.client_ca,
        client_cert=tls.client_cert,
    )
