"""Responses: their framing, what the server adds, and apps that get it wrong."""

import logging
from typing import Any

import pytest

from penstock.worker.http.extensions import ADVERTISED

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET /x HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"


def answering(*pieces: bytes, status: int = 200, headers: Any = ()) -> Any:
    """Make an app that answers with these pieces of body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return app


def length(size: int) -> list[tuple[bytes, bytes]]:
    """Make a Content-Length."""
    return [(b"content-length", b"%d" % size)]


async def test_plain_response(serve: Any) -> None:
    """
    One write: status, Server, Date, the app's headers, the length.
    """
    app = answering(b"hi", status=201, headers=[(b"content-type", b"text/plain"), (b"X-Other", b"1")])
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 Created\r\nserver: penstock\r\ndate: ")
        assert head.endswith(b"GMT\r\ncontent-type: text/plain\r\nX-Other: 1\r\ncontent-length: 2\r\n\r\n")
        await client.until(b"hi")


# App, request, expected framing headers, body, whether the connection stays.
FRAMINGS: dict[str, tuple[Any, bytes, dict[str, str], bytes, bool]] = {
    "length is added": (answering(b"abc"), GET, {"content-length": "3"}, b"abc", True),
    "empty body": (answering(b""), GET, {"content-length": "0"}, b"", True),
    "length is kept": (answering(b"abc", headers=length(3)), GET, {"content-length": "3"}, b"abc", True),
    "length with a leading zero": (
        answering(b"abc", headers=[(b"Content-Length", b"03")]),
        GET,
        {"content-length": "3"},
        b"abc",
        True,
    ),
    "longer than the joined size": (
        answering(b"x" * 200_000),
        GET,
        {"content-length": "200000"},
        b"x" * 200_000,
        True,
    ),
    "stream is chunked": (answering(b"ab", b"", b"c"), GET, {"transfer-encoding": "chunked"}, b"abc", True),
    "stream that ends empty": (answering(b"ab", b""), GET, {"transfer-encoding": "chunked"}, b"ab", True),
    "stream that begins empty": (answering(b"", b"ab"), GET, {"transfer-encoding": "chunked"}, b"ab", True),
    "stream with a length": (
        answering(b"ab", b"c", headers=length(3)),
        GET,
        {"content-length": "3"},
        b"abc",
        True,
    ),
    "chunked by the app's own word": (
        answering(b"ab", b"c", headers=[(b"transfer-encoding", b"chunked")]),
        GET,
        {"transfer-encoding": "chunked"},
        b"abc",
        True,
    ),
    "HEAD": (answering(b"abc"), HEAD, {"content-length": "3"}, b"", True),
    "HEAD with the length of GET": (
        answering(b"", headers=length(7)),
        HEAD,
        {"content-length": "7"},
        b"",
        True,
    ),
    "HEAD without a length": (answering(b""), HEAD, {}, b"", True),
    "HEAD of a stream": (answering(b"ab", b"c"), HEAD, {}, b"", True),
    "204": (answering(b"", status=204), GET, {}, b"", True),
    "204 with a body and a length": (answering(b"abc", status=204, headers=length(3)), GET, {}, b"", True),
    "304": (answering(b"", status=304), GET, {}, b"", True),
    "304 with the length of 200": (
        answering(b"", status=304, headers=length(7)),
        GET,
        {"content-length": "7"},
        b"",
        True,
    ),
    "304 stream": (answering(b"a", b"b", status=304), GET, {}, b"", True),
    "1.0": (answering(b"abc"), OLD, {"content-length": "3", "connection": "close"}, b"abc", False),
    "1.0 kept": (
        answering(b"abc"),
        OLD_KEPT,
        {"content-length": "3", "connection": "keep-alive"},
        b"abc",
        True,
    ),
    "1.0 stream": (answering(b"ab", b"c"), OLD_KEPT, {"connection": "close"}, b"abc", False),
    "1.0 stream with a length": (
        answering(b"ab", b"c", headers=length(3)),
        OLD_KEPT,
        {"content-length": "3", "connection": "keep-alive"},
        b"abc",
        True,
    ),
    "client closes": (
        answering(b"abc"),
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n",
        {"content-length": "3", "connection": "close"},
        b"abc",
        False,
    ),
    "client says keep-alive": (
        answering(b"abc"),
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        {"content-length": "3"},
        b"abc",
        True,
    ),
    "app closes": (
        answering(b"abc", headers=[(b"Connection", b"Close")]),
        GET,
        {"content-length": "3", "connection": "close"},
        b"abc",
        False,
    ),
    "hop-by-hop headers are ours": (
        answering(b"abc", headers=[(b"connection", b"x"), (b"keep-alive", b"y"), (b"upgrade", b"z")]),
        GET,
        {"content-length": "3"},
        b"abc",
        True,
    ),
}


@pytest.mark.parametrize("name", FRAMINGS)
async def test_framing(serve: Any, name: str) -> None:
    """
    The client can tell where a response ends, and whether it may ask again.
    """
    app, request, framing, body, stays = FRAMINGS[name]
    is_head = request.startswith(b"HEAD")
    async with serve(app) as server:
        client = await server.client()
        await client.send(request)
        response = await client.response(to_head=is_head)
        assert response.body == body
        added = {"server": "penstock", "date": response.headers["date"]}
        assert response.headers == added | framing
        if stays:
            await client.send(request)
            await client.response(to_head=is_head)
        else:
            assert await client.rest() == b""


@pytest.mark.parametrize("header", [(b"server", b"mine"), (b"Date", b"today")])
async def test_app_may_bring_server_and_date(serve: Any, header: tuple[bytes, bytes]) -> None:
    """
    The app's own take the place of ours.
    """
    async with serve(answering(b"", headers=[header])) as server:
        client = await server.client()
        await client.send(GET)
        response = await client.response()
    headers = {name.lower(): value for name, value in response.headers.items()}
    assert len(headers) == len(response.headers) == 3
    assert headers[header[0].decode().lower()] == header[1].decode()


async def test_headers_may_be_any_iterable(serve: Any) -> None:
    """
    ASGI says iterable of iterables; lists, tuples and generators all come.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = ([name, value] for name, value in [(b"a", b"1"), (b"connection", b"close")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        (response,) = await server.ask(GET)
    assert response.headers["a"] == "1"
    assert response.headers["connection"] == "close"


WRONG: dict[str, Any] = {
    "newline in a value": answering(b"", headers=[(b"a", b"b\nset-cookie: c")]),
    "return in a value": answering(b"", headers=[(b"a", b"b"), (b"c", b"d\re")]),
    "null in a value": answering(b"", headers=[(b"a", b"b\0")]),
    "newline in a stream's value": answering(b"", b"", headers=[(b"a", b"b\r\n\r\n")]),
    "newline in a server header": answering(b"", headers=[(b"server", b"b\r\nc: d")]),
    "newline in a length": answering(b"", headers=[(b"content-length", b"0\r\nc: d")]),
    "newline in a name": answering(b"", headers=[(b"a\r\nb", b"c")]),
    "colon in a name": answering(b"", headers=[(b"a:", b"c")]),
    "empty name": answering(b"", headers=[(b"", b"c")]),
    "text for bytes": answering(b"", headers=[("a", "b")]),
    "text for a value": answering(b"", headers=[(b"a", "b")]),
    "body too long": answering(b"abcd", headers=length(3)),
    "body too short": answering(b"ab", headers=length(3)),
    "first piece too long": answering(b"abcd", b"", headers=length(3)),
    "length that is none": answering(b"", headers=[(b"content-length", b"x")]),
    "two lengths": answering(b"abc", headers=[*length(3), *length(4)]),
    "status 99": answering(b"", status=99),
    "status 101": answering(b"", status=101),
    "status 600": answering(b"", status=600),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_response_becomes_a_500(serve: Any, caplog: Any, name: str) -> None:
    """
    The app's mistake is raised where it was made and logged; nothing of it
    reaches the wire, and the client hears that the connection ends.
    """
    async with serve(WRONG[name]) as server:
        client = await server.client()
        await client.send(GET)
        (response,) = await client.responses()
    assert response.status == 500
    assert response.headers["connection"] == "close"
    assert "Traceback" in caplog.text
    assert "GET /x" in caplog.text


async def raises(scope: Any, receive: Any, send: Any) -> None:
    """Fail before the response."""
    raise RuntimeError("boom")


async def raises_after_start(scope: Any, receive: Any, send: Any) -> None:
    """Fail when only the status was given."""
    await send({"type": "http.response.start", "status": 200})
    raise RuntimeError("boom")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    """Forget to answer."""


async def returns_after_start(scope: Any, receive: Any, send: Any) -> None:
    """Forget the body."""
    await send({"type": "http.response.start", "status": 200})


@pytest.mark.parametrize("app", [raises, raises_after_start, returns, returns_after_start])
async def test_failure_before_the_first_byte_is_a_500(serve: Any, caplog: Any, app: Any) -> None:
    """
    Said *and* closed: a client that reuses the connection would lose its next request.
    """
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        (response,) = await client.responses()
    assert response.status == 500
    assert response.headers["connection"] == "close"
    assert "GET /x" in caplog.text
    if "raises" in app.__name__:
        assert "boom" in caplog.text


async def test_exceptions_that_run_in_circles_are_logged(serve: Any, caplog: Any) -> None:
    """
    As task groups in middleware make them: a group whose member has it as context.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inner = RuntimeError("boom")
        inner.__context__ = ExceptionGroup("group", [inner])
        raise inner

    async with serve(app) as server:
        (response,) = await server.ask(GET)
    assert response.status == 500
    assert "boom" in caplog.text


@pytest.mark.parametrize("headers", [[], length(100)])
@pytest.mark.parametrize("how", ["raise", "return", "final", "too long"])
async def test_failure_in_a_stream_cuts_the_connection(
    serve: Any, caplog: Any, how: str, headers: Any
) -> None:
    """
    A response that is not complete must not look complete.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        if how == "raise" or (how != "return" and not headers):
            raise RuntimeError("boom")
        if how == "final":
            await send({"type": "http.response.body", "body": b""})
        if how == "too long":
            await send({"type": "http.response.body", "body": b"x" * 97, "more_body": True})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        answer = await client.rest()
    assert answer.count(b"HTTP/1.1") <= 1
    assert b"\r\n0\r\n\r\n" not in answer
    assert b"x" * 97 not in answer
    assert caplog.records[-1].levelno == logging.ERROR


async def test_failure_in_a_stream_without_framing_is_a_reset(serve: Any) -> None:
    """
    To HTTP/1.0 the end of the connection is the end of the body, so a plain one would lie.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("boom")

    async with serve(app) as server:
        client = await server.client()
        await client.send(OLD)
        assert (await client.rest()).endswith(b"<reset>")


async def test_messages_out_of_order_raise(serve: Any) -> None:
    """
    The app is told which message it got wrong.
    """
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def expect_error(message: dict[str, Any]) -> None:
            with pytest.raises(RuntimeError) as caught:
                await send(message)
            errors.append(str(caught.value))

        await expect_error({"type": "http.response.body"})
        await send({"type": "http.response.start", "status": 200})
        await expect_error({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "more_body": True})
        await expect_error({"type": "websocket.send"})
        await send({"type": "http.response.body"})
        await expect_error({"type": "http.response.body"})

    async with serve(app) as server:
        (response,) = await server.ask(GET)
    assert response.status == 200
    assert len(errors) == 4


async def test_failure_after_the_response_is_only_logged(serve: Any, caplog: Any) -> None:
    """
    A background task that raises is no matter of the client's.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(b"fine")(scope, receive, send)
        raise RuntimeError("boom")

    async with serve(app) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            assert (await client.response()).body == b"fine"
        await server.until(lambda: caplog.text.count("RuntimeError: boom") == 2)


async def test_scope_has_what_asgi_asks_for(serve: Any, tmp_path: Any) -> None:
    """
    Addresses, scheme, versions; a client on a UNIX socket has no name.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answering(b"")(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        local = client.sock.getsockname()
        await client.send(GET)
        await client.response()
        address = server.address
    path = str(tmp_path / "s")
    async with serve(app, path=path) as server:
        await server.ask(GET)
    tcp, unix = seen
    assert tcp["type"] == "http"
    assert tcp["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (tcp["client"], tcp["server"], tcp["scheme"]) == (local, address, "http")
    assert "state" not in tcp
    assert tcp["extensions"] == ADVERTISED
    assert tcp["extensions"] is not unix["extensions"]
    assert (unix["client"], unix["server"]) == (None, (path, None))


@pytest.mark.parametrize(
    ("path", "seen_path"),
    [
        ("/x", "/api/x"),
        ("/api/x", "/api/x"),
        ("/api", "/api"),
        ("/apix", "/api/apix"),
        ("/%61pi/y", "/api/y"),
    ],
)
async def test_root_path_is_put_in_front_once(serve: Any, path: str, seen_path: str) -> None:
    """
    Whether or not the proxy in front took it off.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answering(b"")(scope, receive, send)

    async with serve(app, root_path="/api/") as server:
        await server.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    assert seen[0]["root_path"] == "/api"
    assert seen[0]["path"] == seen_path


async def test_state_is_copied_for_each_request(serve: Any) -> None:
    """
    What a request sets there is its own; what startup put there is shared.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["pool"] = ["shared"]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        await answering(b"")(scope, receive, send)

    async with serve(app, lifespan="on") as server:
        for _ in range(2):
            await server.ask(GET)
    assert seen == [{"pool": ["shared"]}] * 2
    assert seen[0]["pool"] is seen[1]["pool"]
