"""
Whether health checks and look-ups of names make sense: what no single value can show.
"""

from penstock.master.config.health import HTTP_KEYS, HealthCheck, is_host
from penstock.master.config.problems import Path, quoted
from penstock.master.config.resolve import Resolve
from penstock.master.config.typed import Walk
from penstock.master.config.units import duration_text
from penstock.master.config.upstream import Upstream

# More often no server needs to be asked, and no name.
EVERY_S_MIN = 0.1
# Beyond, a check says nothing of now.
EVERY_S_MAX = 3600.0
# A check holds a descriptor for as long.
TIMEOUT_S_MAX = 60.0


def health_faults(check: HealthCheck, path: Path, walk: Walk) -> None:
    """Add what is wrong with a health check."""
    if check.type == "tcp":
        for key in HTTP_KEYS:
            if (*path, key) in walk.places:
                told = f"found {key!r} beside type: tcp, expected it beside type: http"
                walk.fault(walk.place((*path, key)), (*path, key), told)
    if check.host is not None and not is_host(check.host):
        inner = (*path, "host")
        walk.fault(walk.place(inner), inner, f"found {quoted(check.host)}, expected a host name")
    if any(name.lower() == "host" for name in check.headers):
        inner = (*path, "headers")
        walk.fault(walk.place(inner), inner, "found a host among the headers, expected the key 'host'")
    _judge_span(check.every_s, EVERY_S_MAX, (*path, "every"), walk)
    _judge_span(check.timeout_s, TIMEOUT_S_MAX, (*path, "timeout"), walk)


def resolve_faults(resolve: Resolve, path: Path, walk: Walk) -> None:
    """Add what is wrong with how names are looked up."""
    _judge_span(resolve.min_ttl_s, EVERY_S_MAX, (*path, "min_ttl"), walk)
    _judge_span(resolve.timeout_s, TIMEOUT_S_MAX, (*path, "timeout"), walk)
    if resolve.max_ttl_s < resolve.min_ttl_s:
        inner = (*path, "max_ttl")
        found, least = duration_text(resolve.max_ttl_s), duration_text(resolve.min_ttl_s)
        walk.fault(walk.place(inner), inner, f"found {found}, expected at least {least}, the 'min_ttl'")


def upstream_faults(upstream: Upstream, path: Path, walk: Walk) -> None:
    """Add what is wrong with servers, given how they are checked and looked up."""
    check = upstream.health
    for index, server in enumerate(upstream.each_server()):
        inner = (*path, "servers", index)
        if server.address.startswith("srv:") and upstream.resolving is None:
            told = f"found {quoted(server.address)}, expected an address: this upstream looks no names up"
            walk.fault(walk.place(inner), inner, told)
        if server.address.startswith("srv:") and server.weight != 1:
            told = f"found a weight for {quoted(server.address)}, expected none: the records have weights"
            walk.fault(walk.place(inner), inner, told)
    if check is None or check.port is None:
        return
    if any(server.address.startswith("unix:") for server in upstream.each_server()):
        inner = (*path, "health_check", "port")
        walk.fault(walk.place(inner), inner, "found a port, expected none: a unix: socket has none")


def _judge_span(seconds: float, most_s: float, path: Path, walk: Walk) -> None:
    if not EVERY_S_MIN <= seconds <= most_s:
        least, most = duration_text(EVERY_S_MIN), duration_text(most_s)
        walk.fault(walk.place(path), path, f"found {duration_text(seconds)}, expected {least} to {most}")
