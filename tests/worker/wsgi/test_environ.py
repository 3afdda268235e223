"""From a request to an environ."""

from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref import validate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.wsgi.environ import environ_of
from penstock.worker.wsgi.errors import ERRORS


def scope(**changes: Any) -> dict[str, Any]:
    """Make a scope as a site does."""
    return {
        "type": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.7", 5000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "not looked at",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    } | changes


def test_an_environ_has_what_cgi_has() -> None:
    """All of it text."""
    environ = environ_of(
        scope(
            raw_path=b"/caf%C3%A9",
            query_string=b"a=%20b",
            headers=[(b"host", b"shop.example"), (b"x-a", b"\xe9"), (b"content-type", b"text/plain")],
        )
    )

    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "a=%20b",
        "RAW_URI": "/caf%C3%A9?a=%20b",
        "REQUEST_URI": "/caf%C3%A9?a=%20b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "penstock",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.7",
        "REMOTE_PORT": "5000",
        "HTTP_HOST": "shop.example",
        "HTTP_X_A": "\xe9",
        "CONTENT_TYPE": "text/plain",
        "wsgi.url_scheme": "http",
    }


@pytest.mark.parametrize(
    ("root_path", "raw_path", "script_name", "path_info"),
    [
        ("", b"/", "", "/"),
        ("", b"/%2F%25", "", "//%"),
        ("", b"/%FF", "", "/\xff"),
        ("", b"*", "", "/"),
        ("/shop", b"/shop/tea", "/shop", "/tea"),
        ("/shop", b"/shop", "/shop", ""),
        ("/shop", b"/sh%6Fp/tea", "/shop", "/tea"),
        ("/café", "/café/x".encode(), "/caf\xc3\xa9", "/x"),
    ],
)
def test_the_root_path_is_the_script_name(
    root_path: str, raw_path: bytes, script_name: str, path_info: str
) -> None:
    """Together they are the path, as bytes in the disguise of text; `*` is nobody's path."""
    environ = environ_of(scope(root_path=root_path, raw_path=raw_path))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"accept", b"a"), (b"accept", b"b")], {"HTTP_ACCEPT": "a, b"}),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"HTTP_COOKIE": "a=1; b=2"}),
        ([(b"content-length", b"3")], {"CONTENT_LENGTH": "3"}),
        ([(b"transfer-encoding", b"chunked")], {"HTTP_TRANSFER_ENCODING": "chunked"}),
        # What a proxy has judged as X-Forwarded-User must not come as X_Forwarded_User as well.
        ([(b"x_forwarded_user", b"root")], {}),
        ([(b"proxy", b"http://evil.example")], {}),
    ],
)
def test_headers_are_translated(headers: list[tuple[bytes, bytes]], expected: dict[str, str]) -> None:
    """Repeated ones are joined; what would pass for something else is left out."""
    plain = environ_of(scope())
    for _ in range(2):  # The second time it is known.
        environ = environ_of(scope(headers=headers))
        assert {key: value for key, value in environ.items() if key not in plain} == expected


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        (b"shop.example:8080", "http", ("shop.example", "8080")),
        (b"shop.example", "http", ("shop.example", "80")),
        (b"shop.example", "https", ("shop.example", "443")),
        (b"[::1]:81", "http", ("[::1]", "81")),
        (b"[::1]", "http", ("[::1]", "80")),
        (b"", "http", ("localhost", "80")),
        (None, "http", ("localhost", "80")),
    ],
)
def test_a_unix_socket_is_named_by_the_client(
    host: bytes | None, scheme: str, expected: tuple[str, str]
) -> None:
    """It has neither name nor port, and both have to be there."""
    headers = [] if host is None else [(b"host", host)]
    environ = environ_of(scope(server=("/run/x.sock", None), client=None, scheme=scheme, headers=headers))

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)


NAMES = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9a-z]{1,12}", fullmatch=True)
VALUES = st.binary(max_size=20)


@given(
    raw_path=st.binary(max_size=30).map(lambda rest: b"/" + rest),
    query=st.binary(max_size=20),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    root_path=st.sampled_from(["", "/shop"]),
)
def test_any_request_makes_an_environ_that_is_one(
    raw_path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], root_path: str
) -> None:
    """Whatever a client sends: text that is bytes, and the path is that of the request."""
    headers = [each for each in headers if each[0] not in {b"content-length", b"content-type"}]
    environ = environ_of(
        scope(
            raw_path=root_path.encode() + raw_path, query_string=query, headers=headers, root_path=root_path
        )
    )

    for value in environ.values():
        value.encode("latin-1")
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    assert path.encode("latin-1") == unquote_to_bytes(root_path.encode() + raw_path)
    rest = {
        "wsgi.version": (1, 0),
        "wsgi.input": _Input(),
        "wsgi.errors": ERRORS,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    validate.check_environ(environ | rest)  # type: ignore[attr-defined]


class _Input:
    read = readline = readlines = __iter__ = lambda self: None
