"""Requests, good and bad: what is answered, whole and byte by byte."""

import json
from typing import Any

import pytest

H = b"Host: example.com\r\n"


async def describe(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what the app saw."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    seen = {
        "method": scope["method"],
        "version": scope["http_version"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
    }
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


GOOD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (b"GET /a/b HTTP/1.1\r\n" + H + b"\r\n", {"method": "GET", "path": "/a/b", "version": "1.1"}),
    "query": (b"GET /a?b=c?d HTTP/1.1\r\n" + H + b"\r\n", {"path": "/a", "query": "b=c?d"}),
    "empty query": (b"GET /? HTTP/1.1\r\n" + H + b"\r\n", {"path": "/", "query": ""}),
    "percent": (
        b"GET /%7Ea%2Fb%20c HTTP/1.1\r\n" + H + b"\r\n",
        {"path": "/~a/b c", "raw_path": "/%7Ea%2Fb%20c"},
    ),
    "utf-8 path": (b"GET /caf%C3%A9 HTTP/1.1\r\n" + H + b"\r\n", {"path": "/café"}),
    "path that is no utf-8": (
        b"GET /%ff HTTP/1.1\r\n" + H + b"\r\n",
        {"path": "/\ufffd", "raw_path": "/%ff"},
    ),
    "percent in query only": (b"GET /a?%41 HTTP/1.1\r\n" + H + b"\r\n", {"path": "/a", "query": "%41"}),
    "no percent sequence": (b"GET /%zz HTTP/1.1\r\n" + H + b"\r\n", {"path": "/%zz"}),
    "absolute form": (b"GET http://Example.com/x?y HTTP/1.1\r\n" + H + b"\r\n", {"path": "/x", "query": "y"}),
    "absolute form, no path": (b"GET http://example.com HTTP/1.1\r\n" + H + b"\r\n", {"path": "/"}),
    "absolute form, only query": (
        b"GET http://example.com?y HTTP/1.1\r\n" + H + b"\r\n",
        {"path": "/", "query": "y"},
    ),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", {"path": "*", "method": "OPTIONS"}),
    "absolute asterisk": (b"OPTIONS http://example.com HTTP/1.1\r\n" + H + b"\r\n", {"path": "*"}),
    "slashes and dots stay": (b"GET //a/../b HTTP/1.1\r\n" + H + b"\r\n", {"path": "//a/../b"}),
    "1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", {"version": "1.0"}),
    "1.0 with Host": (b"GET / HTTP/1.0\r\nHost: a:80\r\n\r\n", {"version": "1.0"}),
    "host with port": (b"GET / HTTP/1.1\r\nHost: a.b:8080\r\n\r\n", {"path": "/"}),
    "host is an IPv6 address": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", {"path": "/"}),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", {"path": "/"}),
    "empty lines before": (b"\r\n\r\nGET / HTTP/1.1\r\n" + H + b"\r\n", {"path": "/"}),
    "names in lower case": (
        b"GET / HTTP/1.1\r\nHOST: a\r\nX-Foo: Bar\r\nx-foo: baz\r\n\r\n",
        {"headers": [["host", "a"], ["x-foo", "Bar"], ["x-foo", "baz"]]},
    ),
    "latin-1 value": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n",
        {"headers": [["host", "a"], ["x", "é"]]},
    ),
    "space around a value": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX:  \t b c \t \r\n\r\n",
        {"headers": [["host", "a"], ["x", "b c"]]},
    ),
    "content length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhello", {"body": "hello"}),
    "content length of zero": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n", {"body": ""}),
    "body that looks like a request": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        {"body": "GET / HTTP/1.1\r\n\r\n"},
    ),
    "chunked": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
        {"body": "hello!"},
    ),
    "trailers are dropped": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nHost: evil\r\nX: y\r\n\r\n",
        {"body": "x", "headers": [["host", "a"], ["transfer-encoding", "chunked"]]},
    ),
    "upgrade is ignored": (
        b"GET / HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        {"path": "/"},
    ),
    "as curl --http2 asks": (
        b"GET /c HTTP/1.1\r\n" + H + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        {"path": "/c"},
    ),
    "upgrade with a body": (
        b"POST / HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\nbody",
        {"body": "body"},
    ),
}

LONG = 16 * 1024

# Name: bytes, status. A good request goes before each, and must be answered first.
BAD: dict[str, tuple[bytes, int]] = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "two hosts of the usual name": (b"GET / HTTP/1.1\r\n" + H + b"host: example.com\r\n\r\n", 400),
    "two hosts in 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "host with a user": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "host with a bad port": (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    "invalid host in 1.0": (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
    "host and target disagree": (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    "target with a user": (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target of another scheme": (b"GET ftp://example.com/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    "asterisk for GET": (b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    "relative target": (b"GET a HTTP/1.1\r\n" + H + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", 400),
    "fragment in query": (b"GET /a?b#c HTTP/1.1\r\n" + H + b"\r\n", 400),
    "target beyond ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n", 400),
    "target that is no utf-8": (b"GET /\xff HTTP/1.1\r\n" + H + b"\r\n", 400),
    "control byte in target": (b"GET /\x01 HTTP/1.1\r\n" + H + b"\r\n", 400),
    "empty target": (b"GET  HTTP/1.1\r\n" + H + b"\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\n" + H + b"\r\n", 400),
    "tab": (b"GET\t/\tHTTP/1.1\r\n" + H + b"\r\n", 400),
    "space at the end": (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", 400),
    "version in the second line": (b"GET /a\r\nb: HTTP/1.1\r\n" + H + b"\r\n", 505),
    "header named like a version": (b"GET /a\r\nHTTP/1.1\r\n\r\n", 505),
    "method in lower case": (b"get / HTTP/1.1\r\n" + H + b"\r\n", 501),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + H + b"\r\n", 501),
    "method that is no token": (b"GE(T / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\n" + H + b"\r\n", 501),
    "RTSP": (b"DESCRIBE /x RTSP/1.0\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/0.9 with a version": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n", 505),
    "HTTP/11": (b"GET / HTTP/11\r\n" + H + b"\r\n", 400),
    "version in lower case": (b"GET / http/1.1\r\n" + H + b"\r\n", 400),
    "bare newlines": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare newline in headers": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
    "space before the first header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "header without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", 400),
    "header without a name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "null byte": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    "length twice": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    "length as a list": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1, 1\r\n\r\nx", 400),
    "length with a sign": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +1\r\n\r\nx", 400),
    "negative length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -1\r\n\r\nx", 400),
    "length in hex": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x1\r\n\r\nx", 400),
    "empty length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\nx", 400),
    "length beyond all bounds": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        400,
    ),
    "length and chunked": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked not last": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked twice": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "gzip, chunked": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "unknown expectation": (b"POST / HTTP/1.1\r\n" + H + b"Expect: tea\r\nContent-Length: 1\r\n\r\nx", 417),
    "chunk size with a prefix": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        400,
    ),
    "chunk size with a sign": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
        400,
    ),
    "chunk size with a space": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
        400,
    ),
    "empty chunk size": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n\r\nx", 400),
    "huge chunk size": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
        400,
    ),
    "chunk that is too long": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        400,
    ),
    "chunk closed by a bare newline": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
        400,
    ),
    "chunk size closed by a bare newline": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        400,
    ),
    "chunk extension without end": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300,
        400,
    ),
    "trailer that is none": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\nfoo\r\n\r\n",
        400,
    ),
    "body cut short": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhell", 400),
    "chunked body cut short": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
        400,
    ),
    "head cut short": (b"GET / HTTP/1.1\r\nHost: exam", 400),
}

# Too slow to feed byte by byte in every round; the boundary is tested so below.
LARGE: dict[str, tuple[bytes, int]] = {
    "long target": (b"GET /" + b"a" * LONG + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    "long target without an end": (b"GET /" + b"a" * LONG, 414),
    "long header": (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * LONG + b"\r\n\r\n", 431),
    "long header without an end": (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * LONG, 431),
    "200 KB of headers": (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 40_000 + b"\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 100 + b"\r\n", 431),
    "bad request line and long header": (b"GET /\r\nX: " + b"a" * LONG + b"\r\n\r\n", 505),
    "too long trailers": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"X: y\r\n" * 3000
        + b"\r\n",
        431,
    ),
}

BEFORE = b"GET /before HTTP/1.1\r\n" + H + b"\r\n"


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("name", GOOD)
async def test_good_request_reaches_the_app(serve: Any, name: str, piece: int | None) -> None:
    """
    What the app sees does not depend on how the bytes arrive.
    """
    data, expected = GOOD[name]
    async with serve(describe) as server:
        (response,) = await server.ask(data, piece=piece)
    assert response.status == 200
    seen = json.loads(response.body)
    assert {key: seen[key] for key in expected} == expected


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("name", BAD)
async def test_bad_request_is_refused_after_the_good_ones(serve: Any, name: str, piece: int | None) -> None:
    """
    One clear answer, then the end; and requests before it get theirs first.
    """
    data, status = BAD[name]
    async with serve(describe) as server:
        before, response = await server.ask(BEFORE + data, piece=piece)
        (alone,) = await server.ask(data, piece=piece)
    assert before.status == 200
    assert json.loads(before.body)["path"] == "/before"
    assert response.status == alone.status == status
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.body.decode().startswith(f"{status} ")


@pytest.mark.parametrize("piece", [None, 1000])
@pytest.mark.parametrize("name", LARGE)
async def test_large_head_is_refused(serve: Any, name: str, piece: int | None) -> None:
    """
    Nobody makes a worker keep more than the limits, and the client reads why,
    though it was still writing when it was refused.
    """
    data, status = LARGE[name]
    async with serve(describe) as server:
        client = await server.client()
        await client.send(data, piece=piece)
        (response,) = await client.responses()
    assert response.status == status


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 431)])
async def test_header_bytes_are_counted_exactly(
    serve: Any, piece: int | None, extra: int, status: int
) -> None:
    """
    A limit of n takes n bytes and not one more, however they come.
    """
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n"
    data = head.replace(b"%b", b"x" * (256 + extra - len(head) + 2))
    async with serve(describe, header_bytes=256) as server:
        (response,) = await server.ask(data, piece=piece)
    assert response.status == status


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(("count", "status"), [(3, 200), (4, 431)])
async def test_headers_are_counted_exactly(serve: Any, piece: int | None, count: int, status: int) -> None:
    """
    The same for their number.
    """
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"
    async with serve(describe, header_count=3) as server:
        (response,) = await server.ask(data, piece=piece)
    assert response.status == status


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"GET / HTTP/1.0\n", b"GET /\r\n", b"G@T / HT"])
async def test_hopeless_start_is_refused_at_once(serve: Any, data: bytes) -> None:
    """
    A client that speaks another protocol is told, not left to the timeout.
    """
    async with serve(describe) as server:
        client = await server.client()
        await client.send(data)
        response = await client.response()
    assert response.status in (400, 505)


async def test_refused_head_request_gets_no_body(serve: Any) -> None:
    """
    A response to HEAD has none, not even when it is an error.
    """
    async with serve(describe) as server:
        client = await server.client()
        await client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        response = await client.response(to_head=True)
        assert response.status == 400
        assert int(response.headers["content-length"]) > 0
        assert await client.rest() == b""


async def test_upgrade_request_is_the_last(serve: Any) -> None:
    """
    The client may go on in another protocol, which must not be read as requests.
    """
    async with serve(describe) as server:
        client = await server.client()
        head = b"GET / HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        await client.send(head + b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n")
        (response,) = await client.responses()
    assert response.headers["connection"] == "close"
