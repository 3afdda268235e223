"""Bodies that come too slowly, with time told by the test."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.body import IncomingBody
from penstock.worker.limits import BODY_RATE_GRACE_S
from tests.worker.http.conftest import echo

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("framing", "piece"),
    [
        (b"Content-Length: 1000\r\n\r\n", b"x" * 10),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"a\r\n0123456789\r\n"),
    ],
)
async def test_body_that_drips_is_a_408(serve: Any, framing: bytes, piece: bytes) -> None:
    """
    Never a pause as long as the timeout, and yet it would hold its place for minutes.
    """
    async with serve(echo, body_rate=240) as server:
        client = await server.client()
        await client.send(POST + framing)
        await server.until(server.site.in_flight)
        for _ in range(4):
            await client.send(piece, piece=len(piece))
            server.pass_time(1.0)
        assert server.site.sent_bytes == 0
        server.pass_time(2.5)
        (response,) = await client.responses()
        await server.until(lambda: not server.site.in_flight())
    assert (response.status, response.headers["connection"]) == (408, "close")


async def test_body_that_is_fast_enough_may_take_as_long_as_it_likes(serve: Any) -> None:
    """
    The rate is that of the whole body: whoever was fast may pause.
    """
    async with serve(echo, body_rate=240, body_timeout_s=30.0) as server:
        client = await server.client()
        await client.send(POST + b"Content-Length: 30000\r\n\r\n")
        await server.until(server.site.in_flight)
        for _ in range(10):
            received = server.site.received_bytes
            await client.send(b"x" * 3000)
            await server.until(lambda received=received: server.site.received_bytes >= received + 3000)
            server.pass_time(11.0)
        assert (await client.response()).status == 200


async def test_body_may_be_as_slow_as_it_likes_without_a_rate(serve: Any) -> None:
    """
    Then only a pause counts.
    """
    async with serve(echo, body_rate=None, body_timeout_s=30.0) as server:
        client = await server.client()
        await client.send(POST + b"Content-Length: 10\r\n\r\n")
        await server.until(server.site.in_flight)
        for _ in range(10):
            await client.send(b"x", piece=1)
            server.pass_time(20.0)
        assert (await client.response()).status == 200


async def test_time_of_an_app_that_does_not_read_is_not_the_clients(serve: Any) -> None:
    """
    While reading is paused a client cannot be fast.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app, body_rate=100_000, body_timeout_s=30.0) as server:
        client = await server.client()
        size = 2 * 1024 * 1024
        sending = asyncio.create_task(
            client.send(POST + b"Content-Length: %d\r\n\r\n" % (size + 1) + bytes(size))
        )
        await server.until(lambda: server.site.received_bytes > 65536)
        server.pass_time(300.0)
        go.set()
        await sending
        await server.until(lambda: server.cells[1] + server.site.received_bytes > size)
        server.pass_time(4.0)
        await client.send(b"x")
        assert (await client.response()).body == b"done"


async def test_time_before_leave_is_not_the_clients(serve: Any) -> None:
    """
    Whoever waits for 100 Continue is as fast as it is told to be.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with serve(app, body_rate=240) as server:
        client = await server.client()
        await client.send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        await server.until(server.site.in_flight)
        server.pass_time(100.0)
        go.set()
        await client.until(b"100 Continue\r\n\r\n")
        server.pass_time(4.0)
        await client.send(b"hello")
        assert (await client.response()).status == 200


async def test_leave_does_not_last_for_ever(serve: Any) -> None:
    """
    From then on the time runs.
    """
    async with serve(echo, body_rate=240) as server:
        client = await server.client()
        await client.send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        await client.until(b"100 Continue\r\n\r\n")
        server.pass_time(7.0)
        (response,) = await client.responses()
    assert response.status == 408


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.integers(0, 5000)), max_size=20), st.integers(1, 1000))
def test_whoever_keeps_to_the_rate_is_never_late(pieces: list[tuple[float, int]], rate: int) -> None:
    """
    And whoever does not is, once the grace is over.
    """
    body = IncomingBody(10**9, size_max=None, trailer_bytes_max=1, trailer_count_max=1)
    now_s, sent_bytes = 0.0, 0
    for pause_s, size in pieces:
        now_s += pause_s
        is_slow = now_s > BODY_RATE_GRACE_S and sent_bytes < rate * now_s * 0.999
        is_fast = now_s < BODY_RATE_GRACE_S or sent_bytes > rate * now_s * 1.001
        due_s = body.due_s(1e9, rate)
        assert not (is_slow and due_s > now_s)
        assert not (is_fast and due_s <= now_s)
        body.take(bytes(size))
        body.heard_s = now_s
        sent_bytes += size
