"""Request bodies on their way to the app: limits, flow control, Expect, what nobody reads."""

import asyncio
from typing import Any

import pytest

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


async def read_body(receive: Any) -> bytes:
    """Read as apps do."""
    body = bytearray()
    more_body = True
    while more_body:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more_body = message["more_body"]
    return bytes(body)


async def respond(send: Any, body: bytes, **start: Any) -> None:
    """Answer in one piece."""
    await send({"type": "http.response.start", "status": 200, **start})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes."""
    await respond(send, await read_body(receive))


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Answer without looking at the body."""
    await respond(send, scope["path"].encode())


async def test_body_comes_in_many_pieces(serve: Any) -> None:
    """
    Pieces add up, in a time that grows with their number and not its square.
    """
    body = bytes(range(256)) * 40
    async with serve(echo) as server:
        client = await server.client()
        await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        await client.send(body, piece=7)
        assert (await client.response()).body == body


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Content-Length: 10\r\n\r\n0123456789", 200),
        (HEAD + b"Content-Length: 11\r\n\r\n01234567890", 413),
        (CHUNKED + b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 200),
        (CHUNKED + b"5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n", 413),
    ],
)
async def test_body_limit_is_exact(serve: Any, data: bytes, status: int, piece: int | None) -> None:
    """
    A limit of n takes n bytes and not one more, whatever the framing.
    """
    async with serve(echo, body_bytes=10) as server:
        (response,) = await server.ask(data, piece=piece)
    assert response.status == status


async def test_length_over_the_limit_is_refused_before_the_body(serve: Any) -> None:
    """
    No byte of it has to be sent; the app is not called.
    """
    called = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope)

    async with serve(app, body_bytes=10) as server:
        client = await server.client()
        await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n")
        (response,) = await client.responses()
    assert response.status == 413
    assert not called


async def test_app_sees_the_disconnect_when_the_body_is_refused(serve: Any) -> None:
    """
    The server has answered, so the app must not go on as if it could.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        seen.append(message)
        try:
            await send({"type": "http.response.start", "status": 200})
        except OSError as error:
            seen.append(error)

    async with serve(app) as server:
        client = await server.client()
        await client.send(CHUNKED + b"1\r\nx\r\n")
        await server.until(server.site.in_flight)
        await client.send(b"nonsense\r\n")
        (response,) = await client.responses()
        assert response.status == 400
        await server.until(lambda: len(seen) == 2)
    assert seen[0] == {"type": "http.disconnect"}


async def test_bad_body_cuts_a_response_under_way(serve: Any) -> None:
    """
    There can be no second response: the connection ends without the last chunk.
    """
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serve(app) as server:
        client = await server.client()
        await client.send(CHUNKED + b"1\r\nx\r\n")
        await started.wait()
        await client.send(b"nonsense\r\n")
        answer = await client.rest()
    assert answer.count(b"HTTP/1.1") == 1
    assert b"0\r\n\r\n" not in answer


async def test_reading_stops_when_the_app_does_not_take_the_body(serve: Any) -> None:
    """
    What waits for a slow app is bounded, and then arrives complete.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await respond(send, b"%d" % len(await read_body(receive)))

    size = 32 * 1024 * 1024
    async with serve(app) as server:
        client = await server.client()
        await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        sending = asyncio.create_task(client.send(bytes(size)))
        await server.until(lambda: server.site.received_bytes > 64 * 1024)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert server.site.received_bytes < 1024 * 1024
        assert not sending.done()
        go.set()
        assert (await client.response()).body == b"%d" % size
        await sending


async def test_continue_is_sent_when_the_app_asks(serve: Any) -> None:
    """
    Only `receive` asks the client for its body.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        await client.send(HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
        await server.until(server.site.in_flight)
        assert server.site.sent_bytes == 0
        go.set()
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hello" + NEXT)
        response = await client.response()
        assert response.body == b"hello"
        assert "connection" not in response.headers
        assert (await client.response()).status == 200


async def test_no_continue_when_the_body_is_there(serve: Any) -> None:
    """
    A client that did not wait needs no leave.
    """
    async with serve(echo) as server:
        client = await server.client()
        await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        assert (await client.response()).body == b"hello"


async def test_answer_without_continue_ends_the_connection(serve: Any) -> None:
    """
    Whether the body still comes nobody can know, so nothing may follow.
    """
    async with serve(deaf) as server:
        client = await server.client()
        await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        (response,) = await client.responses()
    assert response.status == 200
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("piece", [None, 1])
async def test_short_body_that_nobody_read_is_thrown_away(serve: Any, body: bytes, piece: int | None) -> None:
    """
    The next request is found behind it.
    """
    async with serve(deaf) as server:
        client = await server.client()
        await client.send(HEAD + body + NEXT, piece=piece)
        assert (await client.response()).body == b"/"
        assert (await client.response()).body == b"/next"


async def test_long_body_that_nobody_read_ends_the_connection(serve: Any) -> None:
    """
    Reading gigabytes to save a connection is no bargain; the client gets its answer.
    """
    async with serve(deaf) as server:
        client = await server.client()
        await client.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(200_000))
        (response,) = await client.responses()
    assert response.body == b"/"
    assert response.headers["connection"] == "close"


async def test_stream_ends_the_connection_when_a_long_body_was_not_read(serve: Any) -> None:
    """
    Its head could not know, so the end comes without a word; the response is whole.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(1000))
        response = await client.response()
        assert response.body == b"ab"
        assert await client.rest() == b""


async def test_endless_chunked_body_that_nobody_reads_ends_the_connection(serve: Any) -> None:
    """
    Its length is unknown, so it is read for a while and then given up.
    """
    async with serve(deaf) as server:
        client = await server.client()
        await client.send(CHUNKED)
        assert (await client.response()).body == b"/"
        await client.send((b"1000\r\n" + bytes(4096) + b"\r\n") * 20)
        assert await client.rest() == b""


async def test_bad_rest_of_an_answered_body_gets_no_second_answer(serve: Any) -> None:
    """
    One request, one response.
    """
    async with serve(deaf) as server:
        client = await server.client()
        await client.send(CHUNKED)
        assert (await client.response()).body == b"/"
        await client.send(b"nonsense\r\n")
        assert await client.rest() == b""


async def test_app_may_read_the_body_while_it_answers(serve: Any) -> None:
    """
    Both ways at once, as streaming apps do.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        more_body = True
        while more_body:
            message = await receive()
            more_body = message["more_body"]
            await send(
                {"type": "http.response.body", "body": message["body"].upper(), "more_body": more_body}
            )

    async with serve(app) as server:
        client = await server.client()
        await client.send(CHUNKED + b"3\r\nabc\r\n")
        await client.until(b"3\r\nABC\r\n")
        await client.send(b"2\r\nde\r\n")
        await client.until(b"2\r\nDE\r\n")
        await client.send(b"0\r\n\r\n" + NEXT)
        await client.until(b"0\r\n\r\n")
        await client.until(b"HTTP/1.1 200")


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD + b"Content-Length: 10\r\n\r\n0123456789"]
)
async def test_disconnect_is_told_again_and_again(serve: Any, data: bytes, piece: int | None) -> None:
    """
    After the response every `receive` returns at once, for any number of tasks.
    """
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        waiting = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # One that gives up must not take the others along.
        await asyncio.sleep(0)
        await respond(send, b"")
        for task in waiting[1:]:
            seen.append((await task)["type"])
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])

    async with serve(app) as server:
        client = await server.client()
        await client.send(data, piece=piece)
        assert (await client.response()).status == 200
        await server.until(lambda: len(seen) == 4)
    assert seen == ["http.disconnect"] * 4


@pytest.mark.parametrize("piece", [None, 1])
async def test_answer_to_a_body_that_is_the_clients_last_word_ends_the_connection(
    serve: Any, piece: int | None
) -> None:
    """
    A body that is all there makes a request like any other, but a FIN behind it does not.
    """
    bodies: list[bytes] = []
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(await read_body(receive))
        await go_on.wait()
        await respond(send, b"done")

    async with serve(app) as server:
        client = await server.client()
        await client.send(HEAD + b"Content-Length: 10\r\n\r\n0123456789", piece=piece)
        await server.until(lambda: bodies)
        client.finish()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go_on.set()
        assert (await client.response()).body == b"done"
        assert await client.rest() == b""
    assert bodies == [b"0123456789"]


@pytest.mark.parametrize("data", [HEAD + b"Content-Length: 2\r\n\r\nab", CHUNKED + b"2\r\nab\r\n0\r\n\r\n"])
async def test_what_follows_a_body_is_answered_after_it(serve: Any, data: bytes) -> None:
    """
    Nothing of the next request is lost or taken for the body, whatever came in one piece.
    """
    async with serve(echo) as server:
        found = await server.ask(data + data + data)
        assert [response.body for response in found] == [b"ab"] * 3
