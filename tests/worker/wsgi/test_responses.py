"""What a WSGI app may do with a response, and what becomes of it on the wire."""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = "200 OK"
TEXT = ("Content-Type", "text/plain")
DEADLINE_S = 30.0

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def giving(body: Any, *headers: tuple[str, str], status: str = OK) -> App:
    """Make an app that gives this."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, [TEXT, *headers])
        return body() if callable(body) else body  # type: ignore[no-any-return]

    return app


def generated(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    """Make what makes an iterator that is no list."""
    return lambda: iter(pieces)


@pytest.mark.parametrize(
    ("app", "length", "body"),
    [
        (giving([b"hello"]), "5", b"hello"),
        (giving([b"hello"], ("Content-Length", "5")), "5", b"hello"),
        (giving([b"he", b"", b"llo"]), "5", b"hello"),
        (giving((b"he", b"llo")), "5", b"hello"),
        (giving([b"x" * 100_000, b"y"]), "100001", b"x" * 100_000 + b"y"),
        (giving([]), "0", b""),
        (giving(generated()), "0", b""),
        (giving(generated(b"hello"), ("Content-Length", "5")), "5", b"hello"),
        (giving(generated(b"he", b"llo"), ("content-length", "5")), "5", b"hello"),
        (giving(generated(b"he", b"", b"llo")), None, b"hello"),
        (giving([], status="204 No Content"), None, b""),
        (giving([b"x"], status="304 Not Modified"), None, b""),
        (giving([b"gone"], status="404 Nowhere"), "4", b"gone"),
        (giving([b"?"], status="299 Odd"), "1", b"?"),
    ],
)
async def test_a_body_has_its_length_or_comes_in_chunks(
    serve: Any, app: App, length: str | None, body: bytes
) -> None:
    """And the connection stays: the next request is answered as well."""
    async with serve(app) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            response = await client.response()
            assert response.body == body
            assert response.headers.get("content-length", response.headers.get("Content-Length")) == length
            assert response.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    ("app", "length"),
    [
        (giving([b"hello"]), "5"),
        (giving([], ("Content-Length", "5")), "5"),
        (giving(generated(b"hello")), None),
        (giving(lambda: iter(lambda: b"for ever", None)), None),
    ],
)
async def test_head_has_the_head_of_get_and_no_body(serve: Any, app: App, length: str | None) -> None:
    """An endless body is not generated for nobody."""
    async with serve(app) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(HEAD)
            response = await client.response(to_head=True)
            assert response.headers.get("content-length") == length
            assert not client.received


async def test_each_piece_is_sent_before_the_next_is_made(serve: Any) -> None:
    """Nothing is held back: a page whose second half takes its time is half there."""
    has_seen = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response(OK, [TEXT])
        yield b"first"
        assert has_seen.wait(DEADLINE_S)
        yield b"second"

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"first\r\n")
        has_seen.set()
        assert await client.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"


async def test_a_whole_body_is_sent_before_the_app_cleans_up(serve: Any) -> None:
    """What is done in close() may take long, and the client is not to wait for it."""
    has_seen = threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            assert has_seen.wait(DEADLINE_S)

    async with serve(giving(Body, ("Content-Length", "5"))) as server:
        client = await server.client()
        await client.send(GET)
        assert (await client.response()).body == b"hello"
        has_seen.set()


async def test_write_sends_at_once(serve: Any) -> None:
    """For apps that are older than iterables; what they return comes after."""
    has_seen = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response(OK, [TEXT])
        write(b"written")
        write(b"")
        assert has_seen.wait(DEADLINE_S)
        return [b"returned"]

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"written\r\n")
        has_seen.set()
        assert await client.until(b"0\r\n\r\n") == b"8\r\nreturned\r\n0\r\n\r\n"


async def test_the_app_waits_for_a_slow_client(serve: Any) -> None:
    """What waits is bounded, in bytes and in pieces."""
    made = 0
    loop = asyncio.get_running_loop()

    def pieces() -> Iterator[bytes]:
        nonlocal made
        for _ in range(1500):
            made += 1
            yield b"x" * 10_000

    async with serve(giving(pieces)) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: server.site.exchanges() and made > 10)
        seen = -1
        while made != seen:
            seen = made
            for _ in range(50):
                await server.until(lambda: True)
        assert made < 1500
        assert server.site.exchanges()[0].connection.transport.get_write_buffer_size() < 400_000
        await client.until(b"\r\n\r\n")
        received = client.received
        body_bytes = received.count(b"x")
        while not received.endswith(b"0\r\n\r\n"):
            received = await asyncio.wait_for(loop.sock_recv(client.sock, 1 << 20), DEADLINE_S)
            body_bytes += received.count(b"x")
        assert (made, body_bytes) == (1500, 15_000_000)


class Closing:
    """A body that notes where and how often it is closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.closed_in: list[str] = []
        self.iterated_in: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        self.iterated_in.append(threading.current_thread().name)
        return iter(self._pieces)

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


def _failing() -> Iterator[bytes]:
    yield b"x"
    raise RuntimeError("halfway")


@pytest.mark.parametrize("request_", [GET, HEAD])
@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b"], _failing()])
async def test_close_is_called_once_and_in_the_thread(
    serve: Any, pieces: Iterable[bytes], request_: bytes
) -> None:
    """Whatever happens: it is where apps give their connections back."""
    body = Closing(pieces)
    async with serve(giving(body)) as server:
        client = await server.client()
        await client.send(request_ + b"")
        await client.until(b"\r\n\r\n")
        await server.until(lambda: body.closed_in)
    assert len(body.closed_in) == 1
    assert body.closed_in == body.iterated_in
    assert body.closed_in[0].startswith("wsgi-")


async def test_close_is_called_when_the_client_has_gone(serve: Any) -> None:
    """The write that follows raises an OSError in the app's own code."""
    seen: list[BaseException] = []

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    body = Closing(pieces())

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response(OK, [TEXT])
        if environ["PATH_INFO"] == "/":
            return body
        try:
            while True:
                write(b"x" * 10_000)
        except OSError as error:
            seen.append(error)
            raise

    async with serve(app) as server:
        for path in (b"/", b"/write"):
            client = await server.client()
            await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            await client.until(b"\r\n\r\n")
            client.sock.close()
            server.clients.remove(client)
        await server.until(lambda: body.closed_in and seen)
        await server.until(lambda: not server.site.exchanges())


def _twice(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response(OK, [])
    start_response(OK, [])
    return [b"x"]


def _late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    yield b"too early"
    start_response(OK, [])


def _exits(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    sys.exit("leaving")


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (_twice, "start_response was called again, without exc_info"),
        (_late, "a piece of the response came before start_response was called"),
        (lambda environ, start_response: [b"x"], "a piece of the response came before start_response"),
        (lambda environ, start_response: [], "returned without having called start_response"),
        (lambda environ, start_response: None, "'NoneType' object is not iterable"),
        (_exits, "SystemExit: leaving"),
        (giving(["text"]), "a response is made of bytes, and not of str"),
        (giving(generated("text")), "a response is made of bytes, and not of str"),  # type: ignore[arg-type]
        (giving(["a", "b"]), "a response is made of bytes, and not of str"),
        (giving([bytearray(b"x")]), "a response is made of bytes, and not of bytearray"),
        (giving("text"), "a response is made of bytes, and not of str"),
        (giving([b"x"], status="OK"), "the status of a response is such as '200 OK'"),
        (giving([b"x"], status="20 OK"), "the status of a response is such as '200 OK'"),
        (giving([b"x"], status="100 Continue"), "from 200 to 599, and not '100 Continue'"),
        (giving([b"x"], status=200), "is a str such as '200 OK', and not 200"),  # type: ignore[arg-type]
        (giving([b"x"], ("X-A", 1)), "the response header 'X-A' is to be of str, and not int"),  # type: ignore[arg-type]
        (giving([b"x"], (1, "X")), "is to be of str, and not int"),  # type: ignore[arg-type]
        (giving([b"x"], (b"X-A", "b")), "is to be of str, and not bytes"),  # type: ignore[arg-type]
        (giving([b"x"], ("X A", "b")), "invalid name of a response header"),
        (giving([b"x"], ("X-A", "b\r\nX-B: c")), "has a newline or a null byte in it"),
        (giving([b"x"], ("X-A", "\u20ac")), "the response header 'X-A' has characters beyond latin-1"),
        (giving([b"x"], ("Content-Length", "x")), "invalid Content-Length"),
        (giving([b"x"], ("Content-Length", "1"), ("content-length", "2")), "two different Content-Lengths"),
        (giving([b"x"], ("Content-Length", "2")), "1 bytes shorter than its Content-Length"),
        (giving([], ("Content-Length", "2")), "2 bytes shorter than its Content-Length"),
    ],
)
async def test_what_is_wrong_is_a_500_and_a_line_in_the_log(
    serve: Any, app: App, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the app's own lines below it. The thread goes on to the next."""
    async with serve(app, threads=1) as server:
        for _ in range(2):
            client = await server.client()
            await client.send(GET)
            answer = await client.rest()
            # Where its head is on the way already, the connection is cut instead.
            assert answer.startswith(b"HTTP/1.1 500 ") or (said[:8] == "1 bytes " and answer.endswith(b"\nx"))
            await server.until(lambda: not server.site.exchanges())
    assert [record.getMessage()[:24] for record in caplog.records] == ["The app raised in GET / "] * 2
    assert said in caplog.text


async def test_too_much_is_cut_off(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A client would take the rest for the next response."""
    async with serve(giving(generated(b"12", b"3456", b"7"), ("Content-Length", "3"))) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            assert (await client.response()).body == b"123"
    assert caplog.text.count("The response is longer than its Content-Length in GET / ") == 2


async def test_an_app_that_fails_halfway_is_seen_to(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client sees a cut, and not an end."""
    async with serve(giving(_failing)) as server:
        client = await server.client()
        await client.send(GET)
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
    assert "RuntimeError: halfway" in caplog.text


async def test_an_error_page_replaces_what_has_not_begun(serve: Any) -> None:
    """That is what exc_info is for."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            start_response(OK, [TEXT, ("X-A", "b")])
            raise ValueError("no database")
        except ValueError:
            start_response("503 Sorry", [TEXT], sys.exc_info())
            return [b"sorry"]

    async with serve(app) as server:
        [response] = await server.ask(GET)
        assert (response.status, response.body) == (503, b"sorry")
        assert "X-A" not in response.headers


async def test_an_error_page_that_comes_too_late_raises_the_error(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What was sent cannot be taken back."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response(OK, [TEXT])
        yield b"begun"
        try:
            raise ValueError("no database")
        except ValueError:
            start_response("503 Sorry", [TEXT], sys.exc_info())

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
    assert "ValueError: no database" in caplog.text


@pytest.mark.parametrize(
    ("method", "headers", "length"),
    [
        (GET, (), "300000"),
        (GET, (("Content-Length", "5"),), "5"),
        (HEAD, (), "300000"),
    ],
)
async def test_a_file_is_sent(
    serve: Any, tmp_path: Path, method: bytes, headers: tuple[tuple[str, str], ...], length: str
) -> None:
    """From where it stands, with its size; closed afterwards."""
    path = tmp_path / "file"
    path.write_bytes(b"x" + bytes(range(250)) * 1200)
    files: list[io.BufferedReader] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT, *headers])
        file = path.open("rb")
        files.append(file)
        file.read(1)
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    async with serve(app) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(method)
            response = await client.response(to_head=method == HEAD)
            assert response.headers.get("content-length", response.headers.get("Content-Length")) == length
            if method != HEAD:
                assert response.body == (bytes(range(250)) * 1200)[: int(length)]
        await server.until(lambda: all(each.closed for each in files))
    assert len(files) == 2


async def test_what_only_looks_like_a_file_is_read(serve: Any) -> None:
    """Its size is not known."""
    body = io.BytesIO(b"abc" * 1000)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return environ["wsgi.file_wrapper"](body, 7)  # type: ignore[no-any-return]

    async with serve(app) as server:
        [response] = await server.ask(GET)
        assert response.body == b"abc" * 1000
    assert body.closed


async def test_event_streams_are_ended_in_a_drain(serve: Any) -> None:
    """Properly, with the next event: there is no word for it that the app could be told."""
    is_told = threading.Event()

    def events() -> Iterator[bytes]:
        yield b"data: 1\n\n"
        assert is_told.wait(DEADLINE_S)
        while True:
            yield b"data: 2\n\n"

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [("Content-Type", "text/event-stream")])
        return body

    body = Closing(events())
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"1\n\n\r\n")
        [exchange] = server.site.exchanges()
        assert exchange.is_endless
        exchange.call_off()
        is_told.set()
        await client.until(b"0\r\n\r\n")
        await server.until(lambda: body.closed_in)
