"""
What a span says of a request and its response, in OpenTelemetry's words for HTTP.

Pure, and without opentelemetry: attributes are plain values by name.
"""

from collections.abc import Mapping
from typing import Any, Literal

from penstock.worker.http.matching import host_name

Attributes = dict[str, str | int | bool]
QueryMode = Literal["omit", "redact", "keep"]

# What the conventions know as methods. Any other is "_OTHER", lest clients make names.
KNOWN_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
DEFAULT_PORTS = {"http": 80, "https": 443}
REDACTED = "REDACTED"


def span_name(method: str, route: str | None) -> str:
    """Name the span of a request: method and route, of which there are few."""
    word = method if method in KNOWN_METHODS else "HTTP"
    return word if route is None else f"{word} {route}"


def request_attributes(scope: Mapping[str, Any], route: str | None, query_mode: QueryMode) -> Attributes:
    """Describe a request by its ASGI scope and the name of its route, if one took it."""
    method: str = scope["method"]
    found: Attributes = {
        "http.request.method": method,
        "url.path": scope["raw_path"].decode("latin-1"),
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    if method not in KNOWN_METHODS:
        found["http.request.method"] = "_OTHER"
        found["http.request.method_original"] = method
    if route is not None:
        found["http.route"] = route
    if scope["query_string"] and query_mode != "omit":
        query = scope["query_string"].decode("latin-1")
        found["url.query"] = query if query_mode == "keep" else redacted(query)
    if scope["client"] is not None:
        found["client.address"] = scope["client"][0]
    host = None
    for name, value in scope["headers"]:
        if name == b"user-agent":
            found["user_agent.original"] = value.decode("latin-1")
        elif name == b"host":
            host = value
    address, port = _server(host, scope)
    if address:
        found["server.address"] = address
        if port is not None:
            found["server.port"] = port
    return found


def attempt_attributes(
    scope: Mapping[str, Any],
    target: bytes,
    *,
    upstream: str,
    address: str,
    resends: int,
    query_mode: QueryMode,
) -> Attributes:
    """Describe a request as it goes to an upstream server: "10.0.0.1:9000", "unix:/run/x.sock"."""
    method: str = scope["method"]
    path, _, query = target.decode("latin-1").partition("?")
    if query and query_mode != "omit":
        path += "?" + (query if query_mode == "keep" else redacted(query))
    found: Attributes = {
        "http.request.method": method,
        "network.protocol.version": "1.1",
        "penstock.upstream": upstream,
    }
    if method not in KNOWN_METHODS:
        found["http.request.method"] = "_OTHER"
        found["http.request.method_original"] = method
    if address.startswith("unix:"):
        found["server.address"] = address.removeprefix("unix:")
        found["network.transport"] = "unix"
        found["url.full"] = f"http://localhost{path}"
    else:
        name, _, port = address.rpartition(":")
        found["server.address"], found["server.port"] = name.strip("[]"), int(port)
        found["url.full"] = f"http://{address}{path}"
    if resends:
        found["http.request.resend_count"] = resends
    return found


def redacted(query: str) -> str:
    """Keep the names of a query's parameters, and not what they hold."""
    return "&".join(
        f"{name}={REDACTED}" if equals else REDACTED
        for name, equals, _ in (part.partition("=") for part in query.split("&"))
    )


def _server(host: bytes | None, scope: Mapping[str, Any]) -> tuple[str, int | None]:
    """Tell whom the client meant: by Host, else the address that it connected to."""
    name = host_name(host)
    if name:
        _, _, digits = (host or b"").strip(b" \t").rpartition(b"]")[2].rpartition(b":")
        has_port = digits.isdigit() and b":" in (host or b"").rpartition(b"]")[2]
        return name.strip("[]"), int(digits) if has_port else DEFAULT_PORTS.get(scope["scheme"])
    address, port = scope["server"] or ("", None)
    return address, port
