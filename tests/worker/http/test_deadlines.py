"""Deadlines, with time told by the test: who is timed out, how, and who is not."""

import asyncio
from typing import Any

import pytest

from tests.worker.http.conftest import echo

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def test_head_must_be_complete_in_time(serve: Any) -> None:
    """
    In all: a byte now and then (slowloris) does not put it off.
    """
    async with serve(echo, header_timeout_s=10.0) as server:
        client = await server.client()
        await server.until(lambda: server.site.connection_count)
        for byte in (GET[at : at + 1] for at in range(8)):
            await client.send(byte, piece=1)
            server.pass_time(1.0)
        assert server.site.sent_bytes == 0
        server.pass_time(4.0)
        (response,) = await client.responses()
    assert response.status == 408
    assert response.headers["connection"] == "close"


async def test_connection_that_says_nothing_is_closed_without_a_word(serve: Any) -> None:
    """
    Browsers connect ahead of need, and take a 408 for the answer to a later request.
    """
    async with serve(echo, header_timeout_s=10.0) as server:
        client = await server.client()
        await server.until(lambda: server.site.connection_count)
        server.pass_time(9.0)
        assert server.site.connection_count == 1
        server.pass_time(2.0)
        assert await client.rest() == b""


async def test_idle_connection_is_closed_after_keep_alive(serve: Any) -> None:
    """
    Counted from the last response, in silence.
    """
    async with serve(echo, header_timeout_s=10.0, keep_alive_s=75.0) as server:
        client = await server.client()
        for _ in range(3):
            await client.send(GET)
            await client.response()
            server.pass_time(60.0)
        await client.send(GET)
        await client.response()
        server.pass_time(74.0)
        assert server.site.connection_count == 1
        server.pass_time(2.0)
        assert await client.rest() == b""


async def test_second_head_has_the_header_timeout_too(serve: Any) -> None:
    """
    Not the rest of the keep-alive time, which is much longer.
    """
    async with serve(echo, header_timeout_s=10.0, keep_alive_s=75.0) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        await client.send(GET[:5], piece=5)
        server.pass_time(11.0)
        (response,) = await client.responses()
    assert response.status == 408


async def test_slow_app_is_not_the_clients_fault(serve: Any) -> None:
    """
    No deadline runs while the app is at work.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(server.site.in_flight)
        server.pass_time(1000.0)
        go.set()
        assert (await client.response()).body == b"done"


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_body_that_stops_is_a_408(serve: Any, framing: bytes) -> None:
    """
    Counted between two pieces; the app sees the disconnect.
    """
    async with serve(echo, body_timeout_s=30.0, body_rate=None) as server:
        client = await server.client()
        await client.send(POST + framing)
        await server.until(server.site.in_flight)
        server.pass_time(20.0)
        await client.send(b"1\r\nx\r\n", piece=6)
        server.pass_time(20.0)
        assert server.site.sent_bytes == 0
        server.pass_time(15.0)
        (response,) = await client.responses()
        await server.until(lambda: server.site.active_count == 0)
    assert response.status == 408


async def test_body_that_the_app_does_not_take_is_not_the_clients_fault(serve: Any) -> None:
    """
    Reading is paused, so no piece can come.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        size = 8 * 1024 * 1024
        sending = asyncio.create_task(client.send(POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size)))
        await server.until(lambda: server.site.received_bytes > 65536)
        server.pass_time(300.0)
        go.set()
        assert (await client.response()).body == b"done"
        await sending


async def test_body_that_waits_for_leave_is_not_timed_out(serve: Any) -> None:
    """
    The client does right to wait for 100 Continue; then its time runs.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        await client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        await server.until(server.site.in_flight)
        server.pass_time(300.0)
        go.set()
        await client.until(b"100 Continue\r\n\r\n")
        server.pass_time(31.0)
        (response,) = await client.responses()
    assert response.status == 408


async def test_unread_body_is_not_waited_for_long(serve: Any) -> None:
    """
    The answer is out; the rest of the body had its chance.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"done"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(POST + b"Content-Length: 10\r\n\r\n")
        await client.response()
        server.pass_time(10.0)
        assert await client.rest() == b""


async def test_client_that_takes_nothing_is_cut(serve: Any) -> None:
    """
    `send` does not wait for ever: it raises, and the connection is gone.
    """
    errors: list[OSError] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        except OSError as error:
            errors.append(error)

    async with serve(app, send_timeout_s=60.0) as server:
        client = await server.client()
        await client.send(GET)
        before = -1
        while before != server.site.sent_bytes:
            before = server.site.sent_bytes
            for _ in range(20):
                await asyncio.sleep(0.001)
        server.pass_time(59.0)
        assert not errors
        server.pass_time(2.0)
        await server.until(lambda: errors)
        await server.until(lambda: server.site.connection_count == 0)


async def test_last_response_that_nobody_takes_is_cut(serve: Any) -> None:
    """
    The app is long done, and the connection closing; that is no reason to keep it.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": bytes(20_000_000)})

    async with serve(app, send_timeout_s=60.0) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await server.until(lambda: server.site.sent_bytes)
        server.pass_time(59.0)
        assert server.site.connection_count == 1
        server.pass_time(62.0)
        await server.until(lambda: server.site.connection_count == 0)


async def test_client_that_takes_its_time_is_not_cut(serve: Any) -> None:
    """
    Any byte taken is a new beginning.
    """
    size = 20_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": bytes(size)})

    async with serve(app, send_timeout_s=60.0, keep_alive_s=75.0) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        taken = len(client.received)
        while taken < size:
            server.pass_time(50.0)
            for _ in range(40):
                if len(client.received) < size:
                    await client._more()
            assert not client.is_eof
            taken = len(client.received)
        assert taken == size


async def test_lingering_has_an_end(serve: Any) -> None:
    """
    A client that does not close its side is left.
    """
    async with serve(echo) as server:
        client = await server.client()
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.response()).status == 400
        assert server.site.connection_count == 1
        server.pass_time(4.0)
        await server.until(lambda: server.site.connection_count == 0)


async def test_nobody_is_timed_out_right_after_a_stall(serve: Any) -> None:
    """
    The loop was blocked for a minute. What the client wrote meanwhile is still
    in the kernel, and must be read before anybody judges its silence.
    """
    async with serve(echo, keep_alive_s=20.0) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        client.sock.send(GET)
        server.site.tick(server.site.now_s + 60.0)
        assert (await client.response()).body == b"done"


async def test_date_follows_the_clock(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Rebuilt by the tick, not by the request.
    """
    async with serve(echo) as server:
        client = await server.client()
        for now_s, date in (
            (784111777.9, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784111778.0, "Sun, 06 Nov 1994 08:49:38 GMT"),
        ):
            monkeypatch.setattr("penstock.worker.http.responses.time.time", lambda now_s=now_s: now_s)
            server.pass_time(0.5)
            await client.send(GET)
            assert (await client.response()).headers["date"] == date
