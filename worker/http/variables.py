"""
What the variables of templates stand for in a request: `{client}`, `{host}` and the like.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.worker.http.matching import host_name
from penstock.worker.http.raw_paths import uri_safe

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

Variable = Callable[["Exchange"], bytes]


def _client(exchange: "Exchange") -> bytes:
    client: tuple[str, int] | None = exchange.scope["client"]
    return b"" if client is None else client[0].encode("latin-1", "replace")


def _authority(exchange: "Exchange") -> bytes:
    headers: list[tuple[bytes, bytes]] = exchange.asked[2]
    return next((value for name, value in headers if name == b"host"), b"")


def _host(exchange: "Exchange") -> bytes:
    return host_name(_authority(exchange)).encode("latin-1")


def _scheme(exchange: "Exchange") -> bytes:
    scheme: str = exchange.scope["scheme"]
    return scheme.encode()


def _method(exchange: "Exchange") -> bytes:
    method: str = exchange.scope["method"]
    return method.encode()


def _path(exchange: "Exchange") -> bytes:
    return uri_safe(exchange.asked[0])


def _query(exchange: "Exchange") -> bytes:
    return uri_safe(exchange.asked[1])


def _request_id(exchange: "Exchange") -> bytes:
    notes = exchange.notes
    return b"" if notes is None or notes.request_id is None else notes.request_id.encode("ascii")


def _route(exchange: "Exchange") -> bytes:
    return exchange.meter.route.encode("latin-1", "replace")


# Path and query are as the client sent them, without the '?'; `host` is without a port, `authority` with it.
VARIABLES: dict[str, Variable] = {
    "authority": _authority,
    "client": _client,
    "host": _host,
    "method": _method,
    "path": _path,
    "query": _query,
    "request_id": _request_id,
    "route": _route,
    "scheme": _scheme,
}
