"""Compressed responses of WSGI apps."""

import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.worker.http.compression import plan
from penstock.worker.spec import CompressionSpec

SPEC = CompressionSpec(codings=(("gzip", 4),), types=("text/*",), size_min=100)
TEXT = b"All work and no play makes Jack a dull boy. " * 100
HTML = [("Content-Type", "text/html")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """Look after each test that no stream has kept memory."""
    before = plan.STREAM_MEMORY._bytes_left
    yield
    assert plan.STREAM_MEMORY._bytes_left == before


def unpacked(body: bytes) -> bytes:
    return zlib.decompress(body, 31)


@pytest.mark.parametrize("size", [100, 5000, 1_000_000])
@pytest.mark.parametrize("declares", [True, False])
async def test_a_whole_body_goes_there_and_back(serve: Any, size: int, declares: bool) -> None:
    """
    In the thread, with the length of what is sent.
    """
    text = (TEXT * (size // len(TEXT) + 1))[:size]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*HTML, *([("Content-Length", str(size))] if declares else [])])
        return [text]

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            response = await client.response()
            assert response.headers["content-encoding"] == "gzip"
            assert response.headers["vary"] == "Accept-Encoding"
            assert unpacked(response.body) == text
        await client.send(GET.replace(b"GET", b"HEAD"))
        head = await client.response(to_head=True)
        assert head.headers["content-encoding"] == "gzip"


async def test_a_stream_reaches_its_client_piece_by_piece(serve: Any) -> None:
    """
    Each piece when the app gives it.
    """
    go_on = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HTML)
        for number in range(3):
            yield b"piece %d\n" % number
            assert go_on.wait(30)
            go_on.clear()

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(GET)
        assert b"content-encoding: gzip" in await client.until(b"\r\n\r\n")
        unpacker = zlib.decompressobj(31)
        for number in range(3):
            text = b""
            while not text.endswith(b"\n"):
                size = int((await client.until(b"\r\n"))[:-2], 16)
                while len(client.received) < size + 2:
                    await client._more()
                text += unpacker.decompress(client.received[:size])
                client.received = client.received[size + 2 :]
            assert text == b"piece %d\n" % number
            go_on.set()
        await client.until(b"0\r\n\r\n")


@pytest.mark.parametrize("count", [2, 300])
async def test_streams_end(serve: Any, count: int) -> None:
    """
    And the connection goes on.
    """

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*HTML, ("ETag", '"x"')])
        return (TEXT for _ in range(count))

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            response = await client.response()
            assert unpacked(response.body) == TEXT * count
            assert response.headers["ETag"] == 'W/"x"'


@pytest.mark.parametrize("headers", [[("Content-Type", "image/png")], [*HTML, ("Content-Encoding", "x")]])
async def test_others_are_left_alone(serve: Any, headers: Any) -> None:
    """
    As of an ASGI app.
    """

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return [TEXT]

    async with serve(app, compression=SPEC) as server:
        [response] = await server.ask(GET)
        assert response.body == TEXT
        assert "vary" not in response.headers


async def test_an_app_that_fails_or_whose_client_goes_keeps_no_coder(serve: Any) -> None:
    """
    The fixture looks for it.
    """

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HTML)
        yield TEXT
        if environ["PATH_INFO"] == "/fails":
            raise ValueError("no more")
        while True:
            yield TEXT

    async with serve(app, compression=SPEC) as server:
        client = await server.client()
        await client.send(GET.replace(b"/ ", b"/fails "))
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        client = await server.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        client.sock.close()
        await server.until(lambda: not server.site.active_count)
