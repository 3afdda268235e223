"""The HTTP part of ASGI, version 2.5, sentence by sentence."""

import asyncio
import contextvars
import logging
import socket
import struct
from array import array
from http import HTTPStatus
from typing import Any

import pytest

from penstock.worker.http.extensions import ADVERTISED

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
TRAILED = b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-trailer: 1\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + TRAILED


class Recorder:
    """An app that answers, and keeps what it saw."""

    def __init__(self, *messages: Any) -> None:
        self.messages = messages or (start(), body())
        self.scopes: list[Any] = []
        self.received: list[Any] = []
        self.errors: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        try:
            for message in self.messages:
                await send(message)
        except Exception as error:
            self.errors.append(error)
            raise
        self.received += [await receive(), await receive()]


def start(**keys: Any) -> Any:
    """Make a start."""
    return {"type": "http.response.start", "status": 200} | keys


def body(data: Any = b"", **keys: Any) -> Any:
    """Make a body."""
    return {"type": "http.response.body", "body": data} | keys


# The scope.


async def test_the_scope_of_a_request(serve: Any) -> None:
    """
    Every key, of the type that it is to have.
    """
    app = Recorder()
    request = (
        b"GET /caf%C3%A9%2F/%20?q=%41&b HTTP/1.1\r\nHost: A.example\r\nX-Two: 1\r\n"
        b"x-two: 2\r\nX-Latin: \xe9\r\nX-Empty:\r\nCookie: a=1; b=2\r\n\r\n"
    )
    async with serve(app) as server:
        await server.ask(request)
    [scope] = app.scopes
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/caf\xe9//\x20"
    assert scope["raw_path"] == b"/caf%C3%A9%2F/%20"
    assert scope["query_string"] == b"q=%41&b"
    assert scope["root_path"] == ""
    # In the order in which they came, twice where they came twice, in lower case, and bytes.
    assert [tuple(pair) for pair in scope["headers"]] == [
        (b"host", b"A.example"), (b"x-two", b"1"), (b"x-two", b"2"), (b"x-latin", b"\xe9"), (b"x-empty", b""),
        (b"cookie", b"a=1; b=2"),
    ]  # fmt: skip
    host, port = scope["client"]
    assert (type(host), type(port)) == (str, int)
    assert tuple(scope["server"]) == server.address
    assert scope["extensions"] == ADVERTISED
    assert {"http.response.debug", "http.response.push"}.isdisjoint(scope["extensions"])


async def test_a_unix_socket_is_a_path_without_a_port(serve: Any, tmp_path: Any) -> None:
    """
    And its client is nobody.
    """
    app = Recorder()
    async with serve(app, path=str(tmp_path / "s")) as server:
        await server.ask(GET)
    assert (app.scopes[0]["server"], app.scopes[0]["client"]) == ((str(tmp_path / "s"), None), None)


async def test_scopes_are_not_shared(serve: Any) -> None:
    """
    What an app does to the scope of one request is not seen by the next.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = ["list"]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append({key: value.copy() if hasattr(value, "copy") else value for key, value in scope.items()})
        scope["path"] = "/other"
        scope["extensions"]["mine"] = {}
        scope["state"]["mine"] = 1
        scope["state"]["shared"].append("seen by all: the copy is shallow")
        scope["headers"].append((b"x", b"y"))
        await send(start())
        await send(body())

    async with serve(app, lifespan="on") as server:
        client = await server.client()
        for _ in range(3):  # The headers of the third are taken from those that came before.
            await client.send(GET)
            await client.response()
    for scope in seen:
        assert scope["path"] == "/"
        assert scope["headers"] == [(b"host", b"a")]
        assert scope["extensions"] == ADVERTISED
        assert scope["state"] == {"shared": seen[0]["state"]["shared"]}


async def test_each_request_has_a_copy_of_the_context_of_the_lifespan(serve: Any) -> None:
    """
    It sees what was set at startup, and nothing of another request.
    """
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            variable.set("startup")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.append(variable.get())
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(variable.get())
        variable.set("request")
        await send(start())
        await send(body())

    async with serve(app, lifespan="on") as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            await client.response()
    assert seen == ["startup", "startup", "startup"]


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        (b"/x", "/api/x", b"/api/x"),
        (b"/api/x", "/api/x", b"/api/x"),
        (b"/api", "/api", b"/api"),
        (b"/apix", "/api/apix", b"/api/apix"),
        (b"/%61pi/x", "/api/x", b"/%61pi/x"),
    ],
)
async def test_root_path_is_never_there_twice(serve: Any, target: bytes, path: str, raw_path: bytes) -> None:
    """
    `path` has it, whether a proxy took it off or not.
    """
    app = Recorder()
    async with serve(app, root_path="/api") as server:
        await server.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    [scope] = app.scopes
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", path, raw_path)


# Receiving.


@pytest.mark.parametrize("request_", [POST, CHUNKED])
@pytest.mark.parametrize("piece", [None, 1])
async def test_a_body_is_received_without_its_framing(serve: Any, request_: bytes, piece: int | None) -> None:
    """
    However it comes. Its trailers are checked and thrown away: ASGI has no message for them.
    """
    received: list[Any] = []
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        while not received or received[-1]["more_body"]:
            received.append(await receive())
        await send(start())
        await send(body())

    async with serve(app) as server:
        [response] = await server.ask(request_, piece=piece)
    assert response.status == 200
    assert {message["type"] for message in received} == {"http.request"}
    assert all(type(message["body"]) is bytes for message in received)
    assert b"".join(message["body"] for message in received) == b"abc"
    assert b"x-trailer" not in dict(scopes[0]["headers"])


async def test_a_request_without_a_body_is_one_empty_message(serve: Any) -> None:
    """
    Then there is the disconnect, as often as one asks, and at once when the response is complete.
    """
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        await send(start())
        await send(body())
        received.extend([await receive() for _ in range(3)])

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        await server.until(lambda: len(received) == 4)
    assert (
        received
        == [{"type": "http.request", "body": b"", "more_body": False}] + [{"type": "http.disconnect"}] * 3
    )


async def test_a_client_that_goes_is_received_by_all_who_wait(serve: Any) -> None:
    """
    And again by who asks later; who sends gets an OSError, which is not logged as a failure.
    """
    received: list[Any] = []
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        received.extend(await asyncio.gather(receive(), receive()))
        received.append(await receive())
        for message in (start(), body()):
            try:
                await send(message)
            except OSError as error:
                errors.append(error)
        raise errors[0]

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: server.site.active_count)
        # A client that only sends no more may still read: this one is gone.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        await server.until(lambda: errors)
    assert received == [{"type": "http.disconnect"}] * 3
    assert len(errors) == 2


# Sending.

STARTS: dict[str, tuple[Any, str]] = {
    "no headers": (start(), ""),
    "no headers, said so": (start(headers=[]), ""),
    "a list of lists": (start(headers=[[b"x", b"1"], [b"x", b"2"]]), "x: 1\r\nx: 2"),
    "a tuple of tuples": (start(headers=((b"x", b"1"),)), "x: 1"),
    "a generator": (start(headers=(pair for pair in [(b"x", b"1"), (b"y", b"2")])), "x: 1\r\ny: 2"),
    "the items of a dict": (start(headers={b"x": b"1"}.items()), "x: 1"),
    "upper case": (start(headers=[(b"X-A", b"1")]), "X-A: 1"),
    "a transfer encoding": (start(headers=[(b"transfer-encoding", b"gzip, chunked"), (b"x", b"1")]), "x: 1"),
    "obs-text": (start(headers=[(b"x", b"\xe9")]), "x: \xe9"),
    "an empty value": (start(headers=[(b"x", b"")]), "x: "),
    "an enumerated status": (start(status=HTTPStatus.OK), ""),
    "trailers, said not to be": (start(trailers=False), ""),
    "keys of its own": (start(other=1), ""),
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_start_may_be_said_in_many_ways(serve: Any, name: str, is_whole: bool) -> None:
    """
    Headers are any iterable of pairs, and may be left out.
    """
    message, expected = STARTS[name]
    if name == "a generator":
        message = start(headers=(pair for pair in [(b"x", b"1"), (b"y", b"2")]))
    pieces = [body(b"abc")] if is_whole else [body(b"ab", more_body=True), body(b"c")]
    async with serve(Recorder(message, *pieces)) as server:
        client = await server.client()
        await client.send(GET)
        head = (await client.until(b"\r\n\r\n")).decode("latin-1")
        ours = "content-length: 3" if is_whole else "transfer-encoding: chunked"
        _, _, rest = head.partition("GMT\r\n")
        assert rest == (f"{expected}\r\n" if expected else "") + f"{ours}\r\n\r\n"


BODIES: dict[str, Any] = {
    "bytes": b"abcd",
    "bytearray": bytearray(b"abcd"),
    "memoryview": memoryview(b"abcd"),
    "a view of a part": memoryview(b"xabcdx")[1:5],
    "a view with steps": memoryview(b"axbxcxdx")[::2],
    "a view of numbers": memoryview(array("H", b"abcd")),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]])
async def test_a_body_may_be_any_bytes(serve: Any, name: str, headers: Any) -> None:
    """
    Counted by the byte, whatever a view takes for an item; whole, and in pieces.
    """
    data = BODIES[name]
    async with serve(Recorder(start(headers=headers), body(data))) as server:
        [response] = await server.ask(GET)
        assert response.body == b"abcd"
    pieces = (body(data, more_body=True), body(b"" if headers else data))
    async with serve(Recorder(start(headers=headers), *pieces)) as server:
        [response] = await server.ask(GET)
        assert response.body == (b"abcd" if headers else b"abcdabcd")


async def test_a_body_that_is_changed_later_was_sent_as_it_was(serve: Any) -> None:
    """
    Apps read files into one buffer over and over.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-length", b"400000")]))
        buffer = bytearray(100_000)
        for number in range(4):
            buffer[:] = bytes([number]) * len(buffer)
            await send(body(buffer, more_body=True))
        buffer.clear()
        await send(body())

    async with serve(app) as server:
        [response] = await server.ask(GET)
    assert response.body == b"".join(bytes([number]) * 100_000 for number in range(4))


async def test_what_is_left_out_of_a_body_has_its_default(serve: Any) -> None:
    """
    No body is an empty one, and no word of more is the end.
    """
    messages = (start(), {"type": "http.response.body", "more_body": True}, {"type": "http.response.body"})
    async with serve(Recorder(*messages)) as server:
        [response] = await server.ask(GET)
        assert response.body == b""
    async with serve(Recorder(start(), {"type": "http.response.body"})) as server:
        [response] = await server.ask(GET)
        assert response.headers["content-length"] == "0"


async def test_a_start_waits_for_the_body(serve: Any) -> None:
    """
    So an app that fails in between still gives a 500.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        raise ValueError("after the start")

    async with serve(app) as server:
        [response] = await server.ask(GET)
        assert response.status == 500


WRONG: dict[str, tuple[tuple[Any, ...], str]] = {
    "status as text": ((start(status="200"), body()), "a response's status is 200 to 599, not '200'"),
    "status of none": ((start(status=None), body()), "a response's status is 200 to 599"),
    "informational": ((start(status=103), body()), "a response's status is 200 to 599"),
    "a name as text": (
        (start(headers=[("x", b"1")]), body()),
        "names of response headers are bytes, and not str",
    ),
    "a value as text": (
        (start(headers=[(b"x", "1")]), body()),
        "values of response headers are bytes",
    ),
    "one value as text": (
        (start(headers=[(b"x", b"1"), (b"y", "1")]), body()),
        "values of response headers are bytes",
    ),
    "a value as a number": (
        (start(headers=[(b"content-length", 3)]), body(b"abc")),
        "are bytes, and not int",
    ),
    "a body as text": ((start(), body("abc")), "the body of a response is bytes, and not str"),
    "no body": ((start(), body(None)), "the body of a response is bytes, and not NoneType"),
    "a piece as text": ((start(), body(b"a", more_body=True), body("abc")), "is bytes, and not str"),
    "body first": ((body(),), "'http.response.body' out of order: the response has not been started"),
    "start twice": ((start(), start()), "'http.response.start' out of order: the response has been started"),
    "start later": (
        (start(), body(more_body=True), start()),
        "'http.response.start' out of order: the response is under way",
    ),
    "body after the end": ((start(), body(), body()), "out of order: the response is complete"),
    "unknown": (({"type": "http.response.push"},), "there is no message 'http.response.push'"),
    "of a websocket": (({"type": "websocket.accept"},), "there is no message 'websocket.accept'"),
    "a pseudo header": ((start(headers=[(b":status", b"200")]), body()), "invalid name of a response header"),
    "a newline": ((start(headers=[(b"x", b"a\r\nb: c")]), body()), "newline"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_app_that_gets_it_wrong_hears_what_is_wrong(
    serve: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    In words, where it happened; its client gets a 500 if nothing was sent yet.
    """
    caplog.set_level(logging.ERROR)
    messages, said = WRONG[name]
    app = Recorder(*messages)
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: app.errors)
        if name not in ("body after the end", "start later", "a piece as text"):
            assert (await client.response()).status == 500
    assert said in str(app.errors[0])
    assert "The app raised in GET /" in caplog.text


async def test_background_work_may_go_on_after_the_response(serve: Any) -> None:
    """
    The connection serves others meanwhile.
    """
    done = asyncio.Event()
    finished: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"abc"))
        if scope["path"] == "/":
            await done.wait()
            finished.append(True)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        assert (await client.response()).body == b"abc"
        await client.send(GET.replace(b"/ ", b"/other "))
        assert (await client.response()).body == b"abc"
        assert not finished
        done.set()
        await server.until(lambda: finished)
