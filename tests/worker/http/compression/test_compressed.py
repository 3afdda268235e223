"""Responses of a route that compresses, as a client gets them."""

import asyncio
import logging
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
import zstandard

from penstock.worker.http.compression import plan
from penstock.worker.http.exchange import Exchange
from penstock.worker.spec import CompressionSpec, MatchSpec, RespondAction

SPEC = CompressionSpec(
    codings=(("zstd", 3), ("br", 4), ("gzip", 4)), types=("text/*", "application/json"), size_min=100
)
NAMES = ("zstd", "br", "gzip")
TEXT = b"All work and no play makes Jack a dull boy. " * 100
HTML = [(b"content-type", b"text/html; charset=utf-8")]

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.decompress(data, 31),
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


class Unpacker:
    """Unpacks what has come so far."""

    def __init__(self, coding: str) -> None:
        gzip = zlib.decompressobj(31)
        self.add: Callable[[bytes], bytes] = {
            "gzip": gzip.decompress,
            "br": brotli.Decompressor().process,
            "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
        }[coding]


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """Look after each test that no stream has kept memory."""
    before = plan.STREAM_MEMORY._bytes_left
    yield
    assert plan.STREAM_MEMORY._bytes_left == before


def request(accepted: str | None = "gzip", method: str = "GET", version: str = "1.1", *more: str) -> bytes:
    """Write a request."""
    lines = [f"{method} / HTTP/{version}", "Host: a", *more]
    if accepted is not None:
        lines.append(f"Accept-Encoding: {accepted}")
    return "\r\n".join([*lines, "", ""]).encode()


def answering(*pieces: bytes, status: int = 200, headers: Any = HTML) -> Any:
    """Make an app that answers with these pieces of body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return app


@pytest.mark.parametrize("coding", NAMES)
@pytest.mark.parametrize("size", [100, 5000, 1_000_000])
async def test_a_whole_body_goes_there_and_back(serve: Any, coding: str, size: int) -> None:
    """
    Small ones are compressed at once and large ones in a thread, and either has a length.
    """
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    headers = [*HTML, (b"content-length", b"%d" % size), (b"etag", b'"x"'), (b"accept-ranges", b"bytes")]
    async with serve(answering(text, headers=headers), compression=SPEC) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(request(coding))
            response = await client.response()
            assert response.headers["content-encoding"] == coding
            assert int(response.headers["content-length"]) == len(response.body) < size
            assert UNPACK[coding](response.body) == text
            assert response.headers["vary"] == "Accept-Encoding"
            assert response.headers["etag"] == 'W/"x"'
            assert "accept-ranges" not in response.headers


@pytest.mark.parametrize("accepted", [None, "identity", "deflate", "gzip;q=0, br;q=0, zstd;q=0"])
async def test_who_does_not_want_it_gets_it_plain(serve: Any, accepted: str | None) -> None:
    """
    Caches are told all the same.
    """
    async with serve(answering(TEXT), compression=SPEC) as server:
        [response] = await server.ask(request(accepted))
        assert response.body == TEXT
        assert "content-encoding" not in response.headers
        assert response.headers["vary"] == "Accept-Encoding"


LEFT_ALONE: dict[str, Any] = {
    "type": answering(TEXT, headers=[(b"content-type", b"image/png")]),
    "no type": answering(TEXT, headers=[]),
    "encoded": answering(TEXT, headers=[*HTML, (b"content-encoding", b"x")]),
    "no-transform": answering(TEXT, headers=[*HTML, (b"cache-control", b"no-transform")]),
    "range": answering(TEXT, headers=[*HTML, (b"content-range", b"bytes 0-1/3")], status=206),
    "small": answering(b"x" * 99),
    "small, declared": answering(b"x" * 9, b"y" * 9, headers=[*HTML, (b"content-length", b"18")]),
    "empty": answering(b""),
    "204": answering(b"", status=204),
    "304": answering(b"", status=304),
    "events": answering(TEXT, TEXT, headers=[(b"content-type", b"text/event-stream")]),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
async def test_what_is_to_be_left_alone_is(serve: Any, name: str) -> None:
    """
    To the byte, and without a Vary that it does not need.
    """
    async with serve(LEFT_ALONE[name]) as plain, serve(LEFT_ALONE[name], compression=SPEC) as server:
        [response] = await server.ask(request())
        [expected] = await plain.ask(request())
        response.headers["date"] = expected.headers["date"]
        assert response == expected


async def test_a_body_that_would_grow_is_sent_as_it_is(serve: Any) -> None:
    """
    Noise that calls itself text.
    """
    noise = random.Random(1).randbytes(1000)
    async with serve(answering(noise), compression=SPEC) as server:
        [response] = await server.ask(request())
        assert (response.body, response.headers.get("content-encoding")) == (noise, None)
        [response] = await server.ask(request("gzip, identity;q=0"))
        assert response.headers["content-encoding"] == "gzip"
        assert UNPACK["gzip"](response.body) == noise


async def test_who_refuses_what_is_not_coded_gets_small_ones_coded(serve: Any) -> None:
    """
    That is what was asked for.
    """
    async with serve(answering(b"small"), compression=SPEC) as server:
        [response] = await server.ask(request("gzip, *;q=0"))
        assert UNPACK["gzip"](response.body) == b"small"


@pytest.mark.parametrize("accepted", ["gzip", None])
@pytest.mark.parametrize("pieces", [(TEXT,), (b"",), (b"", b"")])
async def test_head_says_what_get_says(serve: Any, accepted: str | None, pieces: tuple[bytes, ...]) -> None:
    """
    But for the length, which only the body would tell.
    """
    async with serve(answering(TEXT), compression=SPEC) as getting:
        [got] = await getting.ask(request(accepted))
    headers = [*HTML, (b"content-length", b"%d" % len(TEXT))]
    async with serve(answering(*pieces, headers=headers), compression=SPEC) as server:
        client = await server.client()
        await client.send(request(accepted, "HEAD"))
        head = await client.response(to_head=True)
    differing = {"date"} | ({"content-length"} if accepted else set())
    assert {name: value for name, value in got.headers.items() if name not in differing} == {
        name: value for name, value in head.headers.items() if name not in differing
    }
    assert accepted is None or "content-length" not in head.headers


async def test_a_wrong_length_is_still_an_error(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    It would not show in what is sent.
    """
    wrong = answering(TEXT, headers=[*HTML, (b"content-length", b"5")])
    async with serve(wrong, compression=SPEC) as server:
        [response] = await server.ask(request())
        assert response.status == 500
    assert "is longer than its Content-Length" in caplog.text


@pytest.mark.parametrize("pieces", [(TEXT, TEXT), (TEXT, b"")])
async def test_a_wrong_length_of_a_stream_cuts_it(
    serve: Any, pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Too long or too short: the client must not take it for whole.
    """
    caplog.set_level(logging.ERROR)
    app = answering(*pieces, headers=[*HTML, (b"content-length", b"5000")])
    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(request())
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
    assert "than its Content-Length" in caplog.text


# Streams.


@pytest.mark.parametrize("coding", NAMES)
@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("size", [10, 3000, 300_000])
async def test_a_stream_goes_there_and_back(serve: Any, coding: str, count: int, size: int) -> None:
    """
    In chunks, of which large ones are compressed in a thread.
    """
    pieces = [(b"%d " % number * size)[:size] for number in range(min(count, 2_000_000 // size))]
    async with serve(answering(*pieces), compression=SPEC) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(request(coding))
            response = await client.response()
            assert response.headers["transfer-encoding"] == "chunked"
            assert UNPACK[coding](response.body) == b"".join(pieces)


@pytest.mark.parametrize("coding", NAMES)
async def test_a_slow_stream_reaches_its_client_piece_by_piece(serve: Any, coding: str) -> None:
    """
    Whenever the app waits, the client has all that it has sent.
    """
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"word %d, " % number, "more_body": True})
            await send({"type": "http.response.body", "body": b"and more\n", "more_body": True})
            await go_on.wait()
            go_on.clear()
        await send({"type": "http.response.body", "body": b"end"})

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(request(coding))
        await client.until(b"\r\n\r\n")
        unpacker = Unpacker(coding)
        for number in range(5):
            text = b""
            while not text.endswith(b"more\n"):
                size = int((await client.until(b"\r\n"))[:-2], 16)
                await server.until(lambda: True)
                while len(client.received) < size + 2:
                    await client._more()
                text += unpacker.add(client.received[:size])
                client.received = client.received[size + 2 :]
            assert text == b"word %d, and more\n" % number
            go_on.set()


async def test_what_an_app_sends_without_a_pause_is_compressed_as_one(serve: Any) -> None:
    """
    A thousand rows of a template are not a thousand flushes.
    """
    async with serve(answering(*[b"row row row "] * 1000), compression=SPEC) as server:
        [response] = await server.ask(request("gzip"))
        assert UNPACK["gzip"](response.body) == b"row row row " * 1000
        assert len(response.body) < 300


async def test_http_1_0_is_served_as_well(serve: Any) -> None:
    """
    Whole bodies with a length, streams to the end of the connection.
    """
    async with serve(answering(TEXT), compression=SPEC) as server:
        [response] = await server.ask(request("gzip", "GET", "1.0"))
        assert UNPACK["gzip"](response.body) == TEXT
        assert response.headers["content-length"] == str(len(response.body))
    async with serve(answering(TEXT, TEXT), compression=SPEC) as server:
        [response] = await server.ask(request("gzip", "GET", "1.0"))
        assert UNPACK["gzip"](response.body) == TEXT * 2
        assert response.headers["connection"] == "close"


async def test_streams_that_find_no_memory_are_sent_as_they_are(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thousand slow clients must not take a gigabyte.
    """
    monkeypatch.setattr(plan.STREAM_MEMORY, "_bytes_left", 0)
    async with serve(answering(TEXT, TEXT), compression=SPEC) as server:
        [response] = await server.ask(request("gzip"))
        assert response.body == TEXT * 2
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize("size", [1000, 300_000])
async def test_an_app_hears_that_its_client_has_gone(serve: Any, size: int) -> None:
    """
    And its coder is not kept.
    """
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        try:
            while True:
                noise = random.randbytes(size)
                await send({"type": "http.response.body", "body": noise, "more_body": True})
                await asyncio.sleep(0)
        except OSError:
            ended.set()

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(request("gzip"))
        await client.until(b"\r\n\r\n")
        client.sock.close()
        async with asyncio.timeout(30):
            await ended.wait()


async def test_an_app_that_fails_in_the_middle_is_cut(serve: Any) -> None:
    """
    Without an end that would make it look whole.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        await send({"type": "http.response.body", "body": TEXT, "more_body": True})
        raise ValueError("no more")

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(request("gzip"))
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


async def test_an_app_that_is_cancelled_while_a_thread_compresses_is_cut(serve: Any) -> None:
    """
    What the thread makes of its piece is lost, so nothing may follow.
    """
    found: list[type[BaseException]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HTML})
        await send({"type": "http.response.body", "body": b"begin", "more_body": True})
        sending = asyncio.ensure_future(
            send({"type": "http.response.body", "body": random.randbytes(5_000_000), "more_body": True})
        )
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        try:
            await send({"type": "http.response.body", "body": b"more"})
        except OSError as error:
            found.append(type(error))

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(request("gzip"))
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        await server.until(lambda: found)


async def test_counters_show_what_was_sent(serve: Any) -> None:
    """
    The bytes of the wire are what an operator pays for.
    """
    async with serve(answering(TEXT * 20), compression=SPEC) as server:
        seen: list[int] = []
        server.site.watch_requests(observer=lambda exchange, elapsed_us, sent: seen.append(sent))
        client = await server.client()
        await client.send(request("gzip"))
        response = await client.response()
        assert len(response.body) < seen[0] < len(response.body) + 300
        assert server.site.sent_bytes == seen[0]


# Fixed answers, and routes without.


@pytest.mark.parametrize("accepted", [None, *NAMES])
async def test_a_fixed_answer_is_compressed_once(serve: Any, accepted: str | None) -> None:
    """
    Before anybody asked.
    """
    action = RespondAction(headers=(("Content-Type", "text/plain"), ("ETag", '"x"')), body=TEXT)
    async with serve(routes=[(MatchSpec(), action)], compression=SPEC) as server:
        [response] = await server.ask(request(accepted))
        head = await server.client()
        await head.send(request(accepted, "HEAD"))
        assert (await head.response(to_head=True)).headers | {"date": ""} == response.headers | {"date": ""}
        assert response.headers["vary"] == "Accept-Encoding"
        assert response.headers.get("content-encoding") == accepted
        assert (UNPACK[accepted](response.body) if accepted else response.body) == TEXT


async def test_a_short_fixed_answer_is_left_alone(serve: Any) -> None:
    """
    As any other.
    """
    action = RespondAction(headers=(("content-type", "text/plain"),), body=b"pong\n")
    async with serve(routes=[(MatchSpec(), action)], compression=SPEC) as server:
        [response] = await server.ask(request())
        assert response.body == b"pong\n"
        assert "vary" not in response.headers


async def test_a_route_without_it_has_the_plain_exchange(serve: Any) -> None:
    """
    So it pays nothing.
    """
    async with serve(answering(TEXT)) as server:
        assert server.site.only_route.exchange is Exchange
