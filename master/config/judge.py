"""
Whether a configuration makes sense as a whole: what no single value can show.

Looks at every record that could be built, also in a file with faults
elsewhere, so that one run tells of everything.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path as FilePath

from penstock.master.config import accounts
from penstock.master.config.activation import named_fds
from penstock.master.config.balance import faults_of as balance_faults_of
from penstock.master.config.bind import Bind, FdBind, TcpBind, UnixBind, is_wildcard
from penstock.master.config.certificates import certificate_fault, tls_faults, tls_oddities, validity_oddity
from penstock.master.config.compression import Compression
from penstock.master.config.files import Files, files_fault
from penstock.master.config.health import HealthCheck
from penstock.master.config.judge_health import health_faults, resolve_faults, upstream_faults
from penstock.master.config.listener import Keepalive, Limits, Listener, Tcp
from penstock.master.config.model import Config, Recycle
from penstock.master.config.opentelemetry import MISSING, is_installed
from penstock.master.config.problems import Path, Problem, nearest, path_text, quoted
from penstock.master.config.proxy_protocol import ProxyProtocol
from penstock.master.config.proxy_protocol import fault_of as proxy_protocol_fault
from penstock.master.config.reload import Reload
from penstock.master.config.resilience import Breaker, Ejection, Timeouts
from penstock.master.config.resolve import Resolve
from penstock.master.config.route import Respond, Route, Variant
from penstock.master.config.route_faults import changes_faults, covers, route_faults
from penstock.master.config.telling import Log, Tracing
from penstock.master.config.tls import Certificate, Tls
from penstock.master.config.typed import Walk
from penstock.master.config.units import duration_text, size_text
from penstock.master.config.upstream import Connections, Upstream, is_address
from penstock.master.config.websocket import MESSAGE_BYTES_MAX, WebSocket

# What a route may do.
ACTIONS = ("app", "files", "proxy", "redirect", "respond", "split")
# Responses that have no body, whatever one writes (RFC 9110, section 6.4.1).
BODILESS = {204, 205, 304}
HEADER_BYTES_MIN = 256
HEADER_BYTES_MAX = 16 * 1024 * 1024
# The interpreter alone is more than this.
RSS_BYTES_MIN = 16 * 1024 * 1024
# Workers beat four times a second: with less, a healthy one on a busy core is taken for blocked.
SILENCE_S_MIN = 0.5
# What the kernel takes for TCP_KEEPIDLE and TCP_KEEPINTVL.
KEEPALIVE_S_MAX = 32767
# Nobody waits longer for an edit to show.
RELOAD_DELAY_S_MAX = 60.0
# A batch that is tried for longer only keeps younger ones waiting.
TRACING_TIMEOUT_S_MAX = 60.0
# It waits by doubling, from a second on, and for no SYN longer than this.
DEFER_ACCEPT_S_MAX = 120


def judge(walk: Walk) -> list[str]:
    """Add what is wrong to the walk's problems; answers warnings, each with its place."""
    listeners: list[tuple[Path, Listener]] = []
    routes: dict[Path, list[tuple[Path, Route]]] = {}
    odd: list[str] = []
    upstreams = {str(path[1]) for path in walk.places if path[:1] == ("upstreams",) and len(path) > 1}
    for path, record in walk.records:
        match record:
            case Listener():
                listeners.append((path, record))
                _judge_listener(record, path, walk)
            case Variant():
                _judge_route(record, path, walk)
            case Route():
                routes.setdefault(path[:-2], []).append((path, record))
                _judge_route(record, path, walk)
                if record.proxy is not None and record.compression:
                    told = "means nothing beside 'proxy': what servers send is passed on as it is"
                    inner = (*path, "compression")
                    odd.append(str(Problem(walk.place(inner), inner, told)))
            case Files():
                _judge_files(record, path, walk)
            case Respond():
                _judge_respond(record, path, walk)
            case Limits():
                _judge_limits(record, path, walk)
            case Certificate():
                odd += _judge_certificate(record, path, walk)
            case Tls():
                odd += _judge_tls(record, path, walk)
            case Compression() if record.fault is not None:
                walk.fault(walk.place((*path, "algorithms")), (*path, "algorithms"), record.fault)
            case Log():
                _judge_log(record, path, walk)
            case Tcp():
                _judge_seconds(record.defer_accept_s, DEFER_ACCEPT_S_MAX, (*path, "defer_accept"), walk)
            case Keepalive():
                _judge_seconds(record.idle_s, KEEPALIVE_S_MAX, (*path, "idle"), walk)
                _judge_seconds(record.interval_s, KEEPALIVE_S_MAX, (*path, "interval"), walk)
            case WebSocket():
                _judge_websocket(record, path, walk)
            case ProxyProtocol() if record.timeout_s <= 0:
                inner = (*path, "timeout")
                walk.fault(walk.place(inner), inner, "found 0, expected a duration above 0")
            case Recycle():
                _judge_recycle(record, path, walk)
            case Reload():
                _judge_reload(record, path, walk)
            case Tracing():
                _judge_tracing(record, path, walk)
            case Upstream():
                _judge_upstream(record, path, walk)
            case Connections():
                _judge_connections(record, path, walk)
            case Timeouts():
                _judge_timeouts(record, path, walk)
            case Ejection():
                _judge_ejection(record, path, walk)
            case Breaker():
                _judge_breaker(record, path, walk)
            case HealthCheck():
                health_faults(record, path, walk)
            case Resolve():
                resolve_faults(record, path, walk)
            case Config():
                _judge_config(record, path, walk)
    _judge_addresses(listeners, walk)
    _judge_names([(path, each.name) for path, each in listeners], "listener", walk)
    _judge_changes(listeners, [each for group in routes.values() for each in group], walk)
    for group in routes.values():
        _judge_targets(group, upstreams, walk)
        _judge_names([(path, each.name) for path, each in group if each.name], "route", walk)
    return [*(told for group in routes.values() for told in _shadowed(group, walk)), *odd]


def _judge_config(config: Config, path: Path, walk: Walk) -> None:
    # Without an APP beside the file, the walk has seen no listeners at all.
    if not config.listeners and "listeners" not in {each[0] for each in walk.places if each}:
        walk.fault(
            walk.place(()), path, "found no 'listeners', expected at least one, or APP on the command line"
        )
    for key in ("worker_suspect_timeout", "worker_timeout"):
        if 0 < getattr(config, f"{key}_s") < SILENCE_S_MIN:
            expected = f"expected at least {SILENCE_S_MIN * 1000:g}ms, or 0s for never"
            walk.fault(
                walk.place((key,)), (key,), f"found {duration_text(getattr(config, f'{key}_s'))}, {expected}"
            )
    if config.stream_drain_timeout_s > config.drain_timeout_s:
        key, most = "stream_drain_timeout", duration_text(config.drain_timeout_s)
        found = duration_text(config.stream_drain_timeout_s)
        walk.fault(walk.place((key,)), (key,), f"found {found}, expected at most {most}, the 'drain_timeout'")
    for key, fault in (
        ("user", accounts.user_fault(config.user)),
        ("group", accounts.group_fault(config.group)),
    ):
        if fault:
            walk.fault(walk.place((key,)), (key,), fault)
    if config.preload and os.geteuid() == 0 and _changes_user(config):
        told = "found true beside a user or group, expected one of them: the import would run as root"
        walk.fault(walk.place(("preload",)), ("preload",), told)


def _changes_user(config: Config) -> bool:
    try:
        return accounts.changes_user(config)
    except KeyError:
        return False  # There is no such user, which is told anyway.


def _judge_listener(listener: Listener, path: Path, walk: Walk) -> None:
    if listener.uds_permissions is not None and not isinstance(listener.address, UnixBind):
        inner = (*path, "uds_permissions")
        walk.fault(
            walk.place(inner),
            inner,
            f"found permissions for {quoted(listener.bind)}, expected a unix: address",
        )
    if listener.tcp is not None and isinstance(listener.address, UnixBind):
        inner = (*path, "tcp")
        walk.fault(
            walk.place(inner), inner, f"found TCP options for {quoted(listener.bind)}, expected a TCP address"
        )
    fault = proxy_protocol_fault(listener.proxy_protocol, listener.trusted_proxies)
    if fault is not None:
        inner = (*path, "proxy_protocol")
        walk.fault(walk.place(inner), inner, fault)
    if any(name.lower() == "date" for name in listener.headers):
        inner = (*path, "headers")
        told = "found a fixed date, expected other headers: a Date is the time of its response"
        walk.fault(walk.place(inner), inner, told)


def _judge_route(route: Route, path: Path, walk: Walk) -> None:
    known = [key for key in ACTIONS if key not in route.ABSENT]
    actions = [key for key in known if getattr(route, key) is not None or (*path, key) in walk.places]
    if len(actions) != 1:
        found = " and ".join(map(repr, actions)) or "no action"
        walk.fault(walk.place(path), path, f"found {found}, expected one of {', '.join(known)}")
    if route.factory and route.app is None and (*path, "app") not in walk.places:
        inner = (*path, "factory")
        walk.fault(walk.place(inner), inner, "found 'factory' without 'app', expected it beside one")


def _judge_changes(
    listeners: list[tuple[Path, Listener]], routes: list[tuple[Path, Route]], walk: Walk
) -> None:
    configs = [record for _, record in walk.records if isinstance(record, Config)]
    # Without one the file has a fault anyway, and maybe that one.
    has_ids = not configs or configs[0].request_ids is not None
    for path, listener in listeners:
        for key in ("request_headers", "response_headers"):
            changes = getattr(listener, key)
            for inner, message in changes_faults(changes, has_request_ids=has_ids) if changes else ():
                walk.fault(walk.place((*path, key, *inner)), (*path, key, *inner), message)
    for path, route in routes:
        # Of one that is not as it was written, more would be told than is wrong.
        is_whole = not any(problem.path[: len(path)] == path for problem in walk.problems)
        for inner, message in route_faults(route, has_request_ids=has_ids) if is_whole else ():
            walk.fault(walk.place((*path, *inner)), (*path, *inner), message)


def _judge_targets(routes: list[tuple[Path, Route]], upstreams: set[str], walk: Walk) -> None:
    variants: list[tuple[Path, Route]] = [
        ((*path, "split", index), variant)
        for path, route in routes
        for index, variant in enumerate(route.split or ())
    ]
    for path, route in (*routes, *variants):
        if route.proxy is not None and not is_address(route.proxy) and route.proxy not in upstreams:
            inner = (*path, "proxy")
            hint = nearest(route.proxy, upstreams)
            told = f"found {quoted(route.proxy)}, expected the name of an upstream, or a server"
            walk.fault(walk.place(inner), inner, f"{told}; {hint}" if hint else told)


def _judge_upstream(upstream: Upstream, path: Path, walk: Walk) -> None:
    first: dict[str, int] = {}
    for index, server in enumerate(upstream.each_server()):
        if server.address in first:
            inner = (*path, "servers", index)
            told = f"found {quoted(server.address)} again, expected each server once; it may have a weight"
            walk.fault(walk.place(inner), inner, told)
        first.setdefault(server.address, index)
    for keys, told in balance_faults_of(upstream):
        if keys == ("balance",) and any(
            each.path[: len(path) + 1] == (*path, "hash") for each in walk.problems
        ):
            continue  # Its hash is there, and wrong in itself.
        walk.fault(walk.place((*path, *keys)), (*path, *keys), told)
    upstream_faults(upstream, path, walk)


def _judge_connections(connections: Connections, path: Path, walk: Walk) -> None:
    for key in ("idle_timeout", "queue_timeout"):
        if getattr(connections, f"{key}_s") <= 0:
            walk.fault(walk.place((*path, key)), (*path, key), "found 0, expected a duration above 0")


def _judge_timeouts(timeouts: Timeouts, path: Path, walk: Walk) -> None:
    for key in ("connect", "send", "first_byte", "idle", "tunnel_idle", "total"):
        if getattr(timeouts, f"{key}_s") == 0:
            walk.fault(walk.place((*path, key)), (*path, key), "found 0, expected a duration above 0")


def _judge_breaker(breaker: Breaker, path: Path, walk: Walk) -> None:
    for key, value in (
        ("failure_ratio", breaker.failure_ratio),
        ("window", breaker.window_s),
        ("open_time", breaker.open_time_s),
    ):
        if value == 0:
            what = "ratio" if key == "failure_ratio" else "duration"
            walk.fault(walk.place((*path, key)), (*path, key), f"found 0, expected a {what} above 0")


def _judge_ejection(ejection: Ejection, path: Path, walk: Walk) -> None:
    if ejection.base_time_s <= 0:
        inner = (*path, "base_time")
        walk.fault(walk.place(inner), inner, "found 0, expected a duration above 0")
    if ejection.max_time_s < ejection.base_time_s:
        inner, least = (*path, "max_time"), duration_text(ejection.base_time_s)
        told = f"found {duration_text(ejection.max_time_s)}, expected at least {least}, the 'base_time'"
        walk.fault(walk.place(inner), inner, told)
    if ejection.max_ejected <= 0:
        inner = (*path, "max_ejected")
        walk.fault(walk.place(inner), inner, "found 0, expected a ratio above 0; `ejection: none` is off")


def _judge_files(files: Files, path: Path, walk: Walk) -> None:
    fault = files_fault(files)
    if fault is not None:
        key, message = fault
        walk.fault(walk.place((*path, key)), (*path, key), message)


def _judge_respond(respond: Respond, path: Path, walk: Walk) -> None:
    if respond.status in BODILESS and respond.body:
        inner = (*path, "body")
        walk.fault(
            walk.place(inner), inner, f"found a body, expected none: a {respond.status} response has no body"
        )


def _judge_limits(limits: Limits, path: Path, walk: Walk) -> None:
    if not HEADER_BYTES_MIN <= limits.header_bytes <= HEADER_BYTES_MAX:
        inner = (*path, "header_bytes")
        walk.fault(walk.place(inner), inner, f"found {limits.header_bytes} bytes, expected 256 to 16MiB")
    for key in ("header_timeout", "body_timeout", "keep_alive_timeout", "send_timeout"):
        seconds = getattr(limits, f"{key}_s")
        # Keep-alive can be switched off; no response can be read in no time.
        if seconds <= 0 and key != "keep_alive_timeout":
            walk.fault(walk.place((*path, key)), (*path, key), "found 0, expected a duration above 0")
    if limits.body_rate == 0:
        inner = (*path, "body_rate")
        walk.fault(walk.place(inner), inner, "found 0, expected at least 1, or none")
    if limits.queue_timeout_s > 0 and limits.concurrency is None:
        inner = (*path, "queue_timeout")
        walk.fault(walk.place(inner), inner, "found a time to wait, expected 'concurrency' beside it")


def _judge_websocket(websocket: WebSocket, path: Path, walk: Walk) -> None:
    if not 1 <= websocket.message_bytes <= MESSAGE_BYTES_MAX:
        inner = (*path, "max_message")
        walk.fault(walk.place(inner), inner, f"found {websocket.message_bytes} bytes, expected 1 to 2GiB")


def _judge_certificate(certificate: Certificate, path: Path, walk: Walk) -> list[str]:
    fault = certificate_fault(certificate)
    if fault is not None:
        key, message = fault
        walk.fault(walk.place((*path, key)), (*path, key), message)
        return []
    told = validity_oddity(certificate)
    return [] if told is None else [str(Problem(walk.place((*path, "cert")), (*path, "cert"), told))]


def _judge_tls(tls: Tls, path: Path, walk: Walk) -> list[str]:
    for key, message in tls_faults(tls):
        walk.fault(walk.place((*path, key)), (*path, key), message)
    return [str(Problem(walk.place((*path, key)), (*path, key), told)) for key, told in tls_oddities(tls)]


def _judge_log(log: Log, path: Path, walk: Walk) -> None:
    if log.config is not None and log.config.get("version") != 1:
        inner = (*path, "config")
        walk.fault(
            walk.place(inner),
            inner,
            "found no 'version: 1', expected a dictionary for logging.config.dictConfig",
        )


def _judge_recycle(recycle: Recycle, path: Path, walk: Walk) -> None:
    if recycle.max_requests_jitter is not None and recycle.max_requests is None:
        inner = (*path, "max_requests_jitter")
        if (*path, "max_requests") not in walk.places:
            walk.fault(walk.place(inner), inner, "found a jitter, expected 'max_requests' beside it")
    if recycle.lifetime_s is not None and recycle.lifetime_s <= 0:
        inner = (*path, "lifetime")
        walk.fault(walk.place(inner), inner, "found 0, expected a duration above 0")
    if recycle.max_rss_bytes is not None and recycle.max_rss_bytes < RSS_BYTES_MIN:
        inner = (*path, "max_rss")
        # granian counts in MiB, so a bare 512 is a likely mistake.
        told = f"found {recycle.max_rss_bytes} bytes, expected at least {size_text(RSS_BYTES_MIN)}"
        walk.fault(walk.place(inner), inner, told)


def _judge_reload(reload: Reload, path: Path, walk: Walk) -> None:
    for index, directory in enumerate(reload.dirs):
        if not FilePath(directory).is_dir():
            inner = (*path, "dirs", index)
            walk.fault(walk.place(inner), inner, f"found {quoted(directory)}, expected a directory")
    if reload.delay_s > RELOAD_DELAY_S_MAX:
        inner = (*path, "delay")
        told = f"found {duration_text(reload.delay_s)}, expected at most {duration_text(RELOAD_DELAY_S_MAX)}"
        walk.fault(walk.place(inner), inner, told)
    if reload.engine == "inotify" and find_spec("watchfiles") is None:
        inner = (*path, "engine")
        walk.fault(
            walk.place(inner),
            inner,
            "found 'inotify', and watchfiles is missing; pip install penstock[reload]",
        )


def _judge_tracing(tracing: Tracing, path: Path, walk: Walk) -> None:
    if not 0 < tracing.timeout_s <= TRACING_TIMEOUT_S_MAX:
        inner, most = (*path, "timeout"), duration_text(TRACING_TIMEOUT_S_MAX)
        found = duration_text(tracing.timeout_s)
        walk.fault(walk.place(inner), inner, f"found {found}, expected a duration above 0, up to {most}")
    if tracing.endpoint is not None and not is_installed():
        inner = (*path, "endpoint")
        walk.fault(walk.place(inner), inner, f"found {quoted(tracing.endpoint)}, and {MISSING}")


def _judge_seconds(seconds: float | None, most: int, path: Path, walk: Walk) -> None:
    """Judge what the kernel counts in whole seconds."""
    if seconds is None or (seconds == round(seconds) and 1 <= seconds <= most):
        return
    expected = f"expected whole seconds from 1s to {duration_text(most)}"
    walk.fault(walk.place(path), path, f"found {duration_text(seconds)}, {expected}")


def _judge_addresses(listeners: list[tuple[Path, Listener]], walk: Walk) -> None:
    for index, (path, listener) in enumerate(listeners):
        for earlier_path, earlier in listeners[:index]:
            if not _collide(*(_numbered(each.address, walk.environ or {}) for each in (earlier, listener))):
                continue
            inner = (*path, "bind")
            where = f"{path_text(earlier_path)}.bind" if len(earlier_path) else "another"
            same = "the address" if earlier.bind == listener.bind else "an address that overlaps that"
            walk.fault(walk.place(inner), inner, f"found {quoted(listener.bind)}, {same} of {where}")
            break


def _numbered(address: Bind, environ: Mapping[str, str]) -> Bind:
    """Put the number for the name of a socket that came; by either it is the same one."""
    if isinstance(address, FdBind) and isinstance(address.fd, str):
        fds = named_fds(environ, address.fd)
        return FdBind(fds[0]) if len(fds) == 1 else address
    return address


def _collide(first: Bind, second: Bind) -> bool:
    """Say whether the kernel would refuse the second address because of the first."""
    if isinstance(first, TcpBind) and isinstance(second, TcpBind):
        if first.port != second.port:
            return False
        if first.port == 0:
            return first.host == second.host  # Two ports, but one address to tell them apart by.
        if first.host == second.host or "::" in {first.host, second.host}:
            return True
        both_ipv4 = ":" not in first.host + second.host
        return both_ipv4 and (is_wildcard(first.host) or is_wildcard(second.host))
    return first == second


def _judge_names(names: list[tuple[Path, str]], what: str, walk: Walk) -> None:
    first: dict[str, Path] = {}
    for path, name in names:
        inner = (*path, "name")
        # A listener that took its address for a name is told of by its address.
        if name in first and inner in walk.places:
            walk.fault(
                walk.place(inner), inner, f"found {quoted(name)}, the name of {what} {path_text(first[name])}"
            )
        first.setdefault(name, path)


def _shadowed(routes: list[tuple[Path, Route]], walk: Walk) -> Iterator[str]:
    for index, (path, route) in enumerate(routes):
        for earlier_path, earlier in routes[:index]:
            if covers(earlier.match, route.match):
                place = walk.place(path)
                yield (
                    f"{place}: {path_text(path)}: never matches, because "
                    f"{path_text(earlier_path)} takes all of its requests"
                )
                break
