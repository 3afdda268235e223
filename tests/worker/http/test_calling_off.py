"""Endless responses are called off in a drain, and end properly if their apps let them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from penstock.worker.streams import end_streams

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


async def begin(send: Any, headers: Any = (), piece: bytes = b"begun") -> None:
    """Send the head and one piece."""
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def disconnected(receive: Any) -> None:
    """Wait in `receive` for the end."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def polite(scope: Any, receive: Any, send: Any) -> None:
    """Stream, and say goodbye."""
    await begin(send)
    await disconnected(receive)
    await send({"type": "http.response.body", "body": b"goodbye", "more_body": True})
    assert (await receive())["type"] == "http.disconnect"  # It stays so.
    await send({"type": "http.response.body"})


@asynccontextmanager
async def ending(server: Any, after_s: float = 0.0, until_s: float = 60.0) -> AsyncIterator[None]:
    """Begin a drain now, in which streams are ended."""
    now_s = time.monotonic()
    server.site.begin_drain(1.0)
    task = asyncio.create_task(
        end_streams(server.site.exchanges, after_s=now_s + after_s, until_s=now_s + until_s)
    )
    yield
    assert not task.done()
    task.cancel()


async def test_waiting_app_wakes_and_ends_its_response(serve: Any) -> None:
    """
    The client sees all of it, with a proper end. Its head promised nothing, so the connection then ends
    after a grace, if it does not move.
    """
    async with serve(polite) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"begun\r\n")
        async with ending(server):
            assert await client.until(b"0\r\n\r\n") == b"7\r\ngoodbye\r\n0\r\n\r\n"
            server.pass_time(3.0)
            assert await client.rest() == b""
            await asyncio.wait_for(server.site.wait_empty(), 10.0)


async def test_nobody_is_told_before_the_time(serve: Any) -> None:
    async with serve(polite) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"begun\r\n")
        async with ending(server, after_s=3600.0):
            for _ in range(50):
                await asyncio.sleep(0)
            (stream,) = server.site.exchanges()
            assert stream.is_endless


async def test_app_that_never_asked_for_its_request_gets_it_first(serve: Any) -> None:
    """
    A disconnect does not take a body away that has come.
    """
    seen: list[Any] = []
    told = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await begin(send)
        await told.wait()
        seen.extend([await receive(), await receive()])
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        await client.until(b"begun\r\n")
        (stream,) = server.site.exchanges()
        stream.call_off()
        assert not stream.is_endless  # It is told once.
        told.set()
        await client.until(b"0\r\n\r\n")
    assert seen == [
        {"type": "http.request", "body": b"abc", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_generator_of_a_framework_that_looks_ends_properly(serve: Any) -> None:
    """
    `request.is_disconnected()` is what people write.
    """
    app = FastAPI()

    @app.get("/x")
    async def stream(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while not await request.is_disconnected():
                yield b"more"
                await asyncio.sleep(0.001)
            yield b"goodbye"

        return StreamingResponse(pieces())

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"more\r\n")
        async with ending(server):
            assert (await client.until(b"0\r\n\r\n")).endswith(b"7\r\ngoodbye\r\n0\r\n\r\n")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_event_stream_whose_app_just_returns_is_ended(serve: Any, caplog: Any, version: bytes) -> None:
    """
    Libraries cancel what streams when they hear of a disconnect. The client loses nothing by it.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await begin(send, EVENTS, b"data: 1\n\n")
        await disconnected(receive)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET.replace(b"1.1", version))
        await client.until(b"data: 1\n\n")
        async with ending(server):
            if version == b"1.0":
                assert await client.rest() == b""
            else:
                assert await client.until(b"0\r\n\r\n") == b"\r\n0\r\n\r\n"
    assert not caplog.records


async def test_other_stream_whose_app_just_returns_is_cut(serve: Any, caplog: Any) -> None:
    """
    Half a download must not look like a whole one.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await begin(send, [(b"content-type", b"text/csv")])
        await disconnected(receive)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"begun\r\n")
        async with ending(server):
            assert b"0\r\n\r\n" not in await client.rest()
    assert "before the response was complete" in caplog.text


async def test_event_stream_that_nobody_called_off_is_cut(serve: Any, caplog: Any) -> None:
    """
    The neighbour: outside of a drain, an app that returns too early has a bug.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await begin(send, EVENTS)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        assert b"0\r\n\r\n" not in await client.rest()
    assert "before the response was complete" in caplog.text


@pytest.mark.parametrize("kind", ["length", "waiting", "upload", "background"])
async def test_what_comes_to_an_end_by_itself_is_let_alone(serve: Any, kind: str) -> None:
    """
    A disconnect would break what only needs its time.
    """
    at_work, go, seen = asyncio.Event(), asyncio.Event(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "length":
            await begin(send, [(b"content-length", b"8")])
        elif kind == "upload":
            await begin(send)
        elif kind == "background":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"all"})
        at_work.set()
        await go.wait()
        if kind == "upload":
            for _ in range(2):
                seen.append(await receive())
        if kind != "background":
            if kind == "waiting":
                await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"end"})

    async with serve(app) as server:
        client = await server.client()
        length = b"Content-Length: 6\r\n" if kind == "upload" else b""
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n")
        await at_work.wait()
        assert [each.is_endless for each in server.site.exchanges()] == [False]
        if kind == "upload":
            await client.send(b"abc")
            await server.until(lambda: server.site.exchanges()[0].inbox.body)
            go.set()
            await server.until(lambda: seen)
            await client.send(b"def")
        go.set()
        body = (await client.response()).body
        assert body == {"length": b"begunend", "upload": b"begunend", "background": b"all"}.get(kind, b"end")
    assert [each["type"] for each in seen] in ([], ["http.request", "http.request"])


async def test_many_are_not_told_at_once_and_late_ones_too(serve: Any) -> None:
    """
    Neither their apps nor their clients come all together, and nobody is forgotten.
    """
    told = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal told
        await begin(send)
        await disconnected(receive)
        told += 1
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        early = [await server.client() for _ in range(100)]
        late = await server.client()
        for client in early:
            await client.send(GET)
            await client.until(b"begun\r\n")
        async with ending(server, until_s=1.0):
            await server.until(lambda: told)
            assert told < 100
            await late.send(GET)
            for client in (*early, late):
                await client.until(b"0\r\n\r\n")
    assert told == 101


async def test_client_that_is_gone_meanwhile_is_no_trouble(serve: Any, caplog: Any) -> None:
    async with serve(polite) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"begun\r\n")
        (stream,) = server.site.exchanges()
        client.sock.close()
        stream.call_off()
        await server.until(lambda: not server.site.exchanges())
    assert not caplog.records
