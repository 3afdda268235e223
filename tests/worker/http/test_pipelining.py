"""Many requests on one connection: order, bounds, and every way to cut the bytes."""

import asyncio
import itertools
from typing import Any

import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.worker.limits import PIPELINE_BYTES_MAX

H = b"Host: a\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with path and body; some paths take longer than others."""
    body = b""
    more_body = True
    while more_body:
        message = await receive()
        body += message["body"]
        more_body = message["more_body"]
    for _ in range(len(scope["path"]) % 3):
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": scope["path"].encode() + b":" + body})


def test_answers_come_in_order(serve: Any) -> None:
    """
    Ten thousand requests in one write, answered one after the other.
    """
    count = 10_000

    async def scenario() -> None:
        async with serve(echo) as server:
            client = await server.client()
            data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(count))
            sending = asyncio.create_task(client.send(data))
            for number in range(count):
                assert (await client.response()).body == b"/%d:" % number
            await sending

    uvloop.run(scenario())


async def test_one_request_at_a_time(serve: Any) -> None:
    """
    The second app call begins after the first response ended; what waits is
    bytes, and few.
    """
    running = 0
    most = 0
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        flood = asyncio.create_task(client.send((b"GET / HTTP/1.1\r\n" + H + b"\r\n") * 400_000))
        await server.until(server.site.in_flight)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not flood.done()
        assert server.site.received_bytes <= PIPELINE_BYTES_MAX
        go.set()
        for _ in range(1000):
            assert (await client.response()).status == 200
        flood.cancel()
    assert most == 1


async def test_other_connections_are_served_beside_a_pipeline(serve: Any) -> None:
    """
    A pipeline takes turns with everybody else.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["path"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    served: list[str] = []
    async with serve(app) as server:
        greedy = await server.client()
        modest = await server.client()
        await greedy.send((b"GET /greedy HTTP/1.1\r\n" + H + b"\r\n") * 2000)
        await modest.send(b"GET /modest HTTP/1.1\r\n" + H + b"\r\n")
        await modest.response()
        assert served.index("/modest") < 1000
        for _ in range(2000):
            await greedy.response()


async def test_background_work_does_not_hold_up_the_connection(serve: Any) -> None:
    """
    The next request is answered while the app of the last still runs.
    """
    go = asyncio.Event()
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode()})
        await go.wait()
        ended.append(scope["path"])

    async with serve(app) as server:
        client = await server.client()
        for path in (b"/1", b"/2"):
            await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            assert (await client.response()).body == path
        assert server.site.active_count == 2
        assert len(server.site.in_flight()) == 2
        go.set()
        await server.until(lambda: server.site.active_count == 0)
    assert sorted(ended) == ["/1", "/2"]


async def test_bad_request_behind_background_work(serve: Any) -> None:
    """
    The app that still runs is neither lost nor kept for ever.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
        await go.wait()

    async with serve(app) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        await client.response()
        await client.send(b"GET /#x HTTP/1.1\r\n" + H + b"\r\n")
        assert (await client.response()).status == 400
        client.sock.close()
        await server.until(lambda: server.site.connection_count == 0)
        assert server.site.active_count == 1
        go.set()
        await server.until(lambda: server.site.active_count == 0)


def chunked(body: bytes, sizes: list[int]) -> bytes:
    """Write a body in chunks of these sizes."""
    data = b""
    at = 0
    for size in sizes:
        piece = body[at : at + size]
        if piece:
            data += b"%x\r\n%b\r\n" % (len(piece), piece)
        at += size
    rest = body[at:]
    if rest:
        data += b"%X;ext=1\r\n%b\r\n" % (len(rest), rest)
    return data + b"0\r\nTrailer: x\r\n\r\n"


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a stream of requests, and the bodies of their responses."""
    data = b""
    answers = []
    for number in range(draw(st.integers(1, 5))):
        path = b"/%d" % number + b"x" * draw(st.integers(0, 4))
        kind = draw(st.sampled_from(["none", "length", "chunked", "empty line"]))
        body = b"" if kind in ("none", "empty line") else draw(st.binary(max_size=60))
        if kind == "empty line":
            data += b"\r\n"
        if kind in ("none", "empty line"):
            data += b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
        elif kind == "length":
            data += b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)
        else:
            sizes = draw(st.lists(st.integers(1, 20), max_size=3))
            data += b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
            data += chunked(body, sizes)
        answers.append(path + b":" + body)
    return data, answers


@given(stream=streams(), cuts=st.lists(st.integers(0, 2000), max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_fragmentation_gives_the_same_answers(
    serve: Any, stream: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    """
    TCP may cut a stream anywhere.
    """
    data, answers = stream

    async def scenario() -> list[bytes]:
        async with serve(echo) as server:
            client = await server.client()
            bounds = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
            for start, end in itertools.pairwise(bounds):
                await client.send(data[start:end], piece=end - start)
            client.finish()
            return [response.body for response in await client.responses()]

    assert uvloop.run(scenario()) == answers
