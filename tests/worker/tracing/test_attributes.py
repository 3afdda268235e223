"""A span says what OpenTelemetry's conventions for HTTP have words for, and nothing secret."""

from typing import Any

import pytest

from penstock.worker.tracing.attributes import (
    attempt_attributes,
    redacted,
    request_attributes,
    span_name,
)

SCOPE: dict[str, Any] = {
    "method": "GET",
    "scheme": "http",
    "http_version": "1.1",
    "raw_path": b"/shop/%C3%A9t%C3%A9",
    "query_string": b"token=secret&page=2",
    "client": ("192.0.2.7", 50000),
    "server": ("127.0.0.1", 8000),
    "headers": [(b"host", b"shop.example.com:8443"), (b"user-agent", b"curl/8")],
}


def test_request_is_described() -> None:
    """In the stable words."""
    assert request_attributes(SCOPE, "shop", "omit") == {
        "http.request.method": "GET",
        "http.route": "shop",
        "url.path": "/shop/%C3%A9t%C3%A9",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "192.0.2.7",
        "user_agent.original": "curl/8",
        "server.address": "shop.example.com",
        "server.port": 8443,
    }


@pytest.mark.parametrize(
    ("mode", "query"),
    [("omit", None), ("redact", "token=REDACTED&page=REDACTED"), ("keep", "token=secret&page=2")],
)
def test_query_is_shown_as_configured(mode: Any, query: str | None) -> None:
    """It has what nobody wants in a trace."""
    assert request_attributes(SCOPE, "shop", mode).get("url.query") == query


def test_redaction_leaves_names_alone() -> None:
    """A word without a name may be a secret itself."""
    assert redacted("a=1&b=&c&&d=x=y") == "a=REDACTED&b=REDACTED&REDACTED&REDACTED&d=REDACTED"


@pytest.mark.parametrize(
    ("host", "scheme", "address", "port"),
    [
        (b"shop", "http", "shop", 80),
        (b"SHOP", "https", "shop", 443),
        (b"[::1]:8000", "http", "::1", 8000),
        (b"[::1]", "http", "::1", 80),
        (b"shop:", "http", "shop", 80),
        (b"", "http", "127.0.0.1", 8000),
        (None, "http", "127.0.0.1", 8000),
    ],
)
def test_server_is_whom_the_client_meant(host: bytes | None, scheme: str, address: str, port: int) -> None:
    """By Host, else by the address that it connected to."""
    headers = [] if host is None else [(b"host", host)]
    found = request_attributes({**SCOPE, "headers": headers, "scheme": scheme}, None, "omit")
    assert (found["server.address"], found["server.port"]) == (address, port)


def test_unix_socket_has_neither_client_nor_port() -> None:
    """What is not there is left out."""
    scope = {**SCOPE, "client": None, "server": ("/run/app.sock", None), "headers": []}
    found = request_attributes(scope, None, "omit")
    assert found["server.address"] == "/run/app.sock"
    assert not {"server.port", "client.address", "http.route", "user_agent.original"} & set(found)


def test_odd_method_makes_no_name() -> None:
    """Names are grouped by, so a client cannot be let make them."""
    assert span_name("GET", "/v1/") == "GET /v1/"
    assert span_name("GET", None) == "GET"
    assert span_name("PROPFIND", "/dav/") == "HTTP /dav/"
    found = request_attributes({**SCOPE, "method": "PROPFIND"}, None, "omit")
    assert found["http.request.method"] == "_OTHER"
    assert found["http.request.method_original"] == "PROPFIND"


def attempt(address: str, target: bytes = b"/a?token=secret", **changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"resends": 0, "query_mode": "omit", "method": "GET"} | changed
    scope = SCOPE | {"method": given.pop("method")}
    return attempt_attributes(scope, target, upstream="backend", address=address, **given)


@pytest.mark.parametrize(
    ("address", "name", "port", "url"),
    [
        ("10.0.0.1:9000", "10.0.0.1", 9000, "http://10.0.0.1:9000/a"),
        ("[::1]:9000", "::1", 9000, "http://[::1]:9000/a"),
        ("backend.local:80", "backend.local", 80, "http://backend.local:80/a"),
        ("unix:/run/x.sock", "/run/x.sock", None, "http://localhost/a"),
    ],
)
def test_an_attempt_names_the_server(address: str, name: str, port: int | None, url: str) -> None:
    """In the stable words for a client; a UNIX socket by its path."""
    found = attempt(address)
    assert (found["server.address"], found.get("server.port"), found["url.full"]) == (name, port, url)
    assert found.get("network.transport") == ("unix" if port is None else None)
    assert "http.request.resend_count" not in found


def test_an_attempt_shows_the_query_as_configured() -> None:
    """And which attempt it is, and a method that the conventions do not know."""
    assert attempt("a:1", query_mode="redact")["url.full"] == "http://a:1/a?token=REDACTED"
    assert attempt("a:1", query_mode="keep")["url.full"] == "http://a:1/a?token=secret"
    assert attempt("a:1", resends=2)["http.request.resend_count"] == 2
    found = attempt("a:1", method="PROPFIND")
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "PROPFIND")
