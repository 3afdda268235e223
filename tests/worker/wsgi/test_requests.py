"""What a WSGI app gets of a request: its body as it comes, and its end."""

import asyncio
import contextvars
import io
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.worker.http.outlet import RESET
from penstock.worker.limits import BODY_HIGH_WATER_BYTES

OK = "200 OK"
TEXT = ("Content-Type", "text/plain")
DEADLINE_S = 30.0
READ_BYTES_MAX = 256 * 1024  # by uvloop, in one go

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the body."""
    body = environ["wsgi.input"].read()
    start_response(OK, [TEXT])
    return [body]


def post(body: bytes = b"", *, headers: bytes = b"", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return b"POST / HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, length, body)


def chunked(*pieces: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


READS: dict[str, Callable[[Any], object]] = {
    "read": lambda body: body.read(),
    "read -1": lambda body: body.read(-1),
    "read 5": lambda body: [body.read(5) for _ in range(9)],
    "readline": lambda body: [body.readline() for _ in range(9)],
    "readline 3": lambda body: [body.readline(3) for _ in range(9)],
    "readlines": lambda body: body.readlines(),
    "readlines 8": lambda body: [body.readlines(8) for _ in range(3)],
    "iteration": list,
    "a bit of each": lambda body: [body.read(1), body.readline(), next(body), body.read(0), body.read()],
}
BODY = b"one\ntwo and a half\n\nfour\nfive"


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("request_", [post(BODY), chunked(BODY[:7], BODY[7:8], BODY[8:])])
@pytest.mark.parametrize("piece", [None, 1, 7])
async def test_a_body_reads_as_a_file_does(serve: Any, how: str, request_: bytes, piece: int | None) -> None:
    """However it is framed and however it arrives."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return [repr(READS[how](environ["wsgi.input"])).encode()]

    async with serve(app) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(request_, piece=piece)
            assert (await client.response()).body.decode() == repr(READS[how](io.BytesIO(BODY)))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    reads=st.lists(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 50)), max_size=12
    ),
    is_chunked=st.booleans(),
)
def test_any_reads_of_any_body_agree_with_those_of_a_file(
    serve: Any, pieces: list[bytes], reads: list[tuple[str, int]], is_chunked: bool
) -> None:
    """The reader is put together of blocks that come when they come."""
    body = b"".join(pieces)

    def do_reads(source: Any) -> list[object]:
        return [getattr(source, name)(size) for name, size in reads]

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return [repr(do_reads(environ["wsgi.input"])).encode()]

    async def ask() -> None:
        async with serve(app) as server:
            client = await server.client()
            request = chunked(*pieces) if is_chunked else post(body)
            head, _, rest = request.partition(b"\r\n\r\n")
            await client.send(head + b"\r\n\r\n")
            for at in range(0, len(rest), 13):
                await client.send(rest[at : at + 13])
                await asyncio.sleep(0)
            assert (await client.response()).body.decode() == repr(do_reads(io.BytesIO(body)))

    asyncio.run(ask())


async def test_a_chunked_body_has_no_length_and_an_end(serve: Any) -> None:
    """As the environ says, for frameworks that would not read it otherwise."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return [f"{environ.get('CONTENT_LENGTH')} {environ['wsgi.input_terminated']}".encode()]

    async with serve(app) as server:
        assert [each.body for each in await server.ask(chunked(b"x"))] == [b"None True"]
        assert [each.body for each in await server.ask(post(b"xy"))] == [b"2 True"]


@pytest.mark.parametrize("threads", [1, 4])
async def test_the_client_is_told_to_go_on_when_the_app_reads(serve: Any, threads: int) -> None:
    """And not before: an app may refuse an upload that it has not seen."""
    may_read = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            start_response("413 Too much", [TEXT])
            return [b"no"]
        assert may_read.wait(DEADLINE_S)
        return echo(environ, start_response)

    async with serve(app, threads=threads) as server:
        client = await server.client()
        await client.send(post(length=5, headers=b"Expect: 100-continue\r\n"))
        await server.until(server.site.exchanges)
        assert not client.received
        may_read.set()
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hello")
        assert (await client.response()).body == b"hello"

        refused = await server.client()
        await refused.send(post(length=5, headers=b"Expect: 100-continue\r\n").replace(b"POST", b"PUT"))
        assert (await refused.response()).status == 413


@pytest.mark.parametrize("threads", [1, 2])
async def test_the_client_waits_when_the_app_does_not_read(serve: Any, threads: int) -> None:
    """What waits is bounded, of a request that a thread has, and of one that waits for it."""
    may_read = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert may_read.wait(DEADLINE_S)
        return echo(environ, start_response)

    size = 8 * 1024 * 1024
    async with serve(app, threads=threads) as server:
        clients = [await server.client(), await server.client()]
        sending = []
        for client in clients:
            await client.send(post(length=size))
            await server.until(lambda: len(server.site.exchanges()) == clients.index(client) + 1)  # noqa: B023
            sending.append(asyncio.create_task(client.send(b"x" * size)))
        exchanges = server.site.exchanges()
        # That of a request which waits for a thread is not even read.
        await server.until(
            lambda: all(each.inbox.body or each.connection._is_reading_paused for each in exchanges)
        )
        for _ in range(200):
            await asyncio.sleep(0)
        for exchange in exchanges:
            assert len(exchange.inbox.body) <= BODY_HIGH_WATER_BYTES + READ_BYTES_MAX
        assert not any(each.done() for each in sending)
        may_read.set()
        for client in clients:
            assert (await client.response()).body == b"x" * size
        await asyncio.gather(*sending)


async def test_requests_wait_in_order_and_without_their_bodies(serve: Any) -> None:
    """One thread, and many who want it."""
    may_go_on = threading.Event()
    order: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert may_go_on.wait(DEADLINE_S)
        order.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    async with serve(app, threads=1) as server:
        clients = []
        for number in range(20):
            client = await server.client()
            await client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            await server.until(lambda: len(server.site.exchanges()) == number + 1)  # noqa: B023
            clients.append(client)
        await server.until(lambda: server.threads.waiting_count == 19)
        places = sorted(exchange.place for exchange in server.site.exchanges())
        assert places == ["in wsgi-1"] + ["waits for a thread"] * 19
        may_go_on.set()
        for client in clients:
            assert (await client.response()).status == 200
    assert order == [f"/{number}" for number in range(20)]


async def test_a_client_that_is_cut_off_gives_its_place_up(serve: Any) -> None:
    """Nobody calls the app for it, and nothing of it is kept. (One that only sends no more is answered.)"""
    may_go_on = threading.Event()
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        assert may_go_on.wait(DEADLINE_S)
        return echo(environ, start_response)

    async with serve(app, threads=1) as server:
        first = await server.client()
        await first.send(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
        await server.until(lambda: seen)
        for _ in range(10):
            client = await server.client()
            await client.send(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
            await server.until(lambda: server.threads.waiting_count)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.sock.close()
            server.clients.remove(client)
            await server.until(lambda: not server.threads.waiting_count)
        await server.until(lambda: len(server.site.exchanges()) == 1)
        may_go_on.set()
        assert (await first.response()).status == 200
    assert seen == ["/first"]


@pytest.mark.parametrize("how", ["close", "reset", "half-close", "too much", "timeout"])
async def test_a_read_fails_when_there_will_be_no_more(serve: Any, how: str) -> None:
    """With an OSError, which frameworks know, and the thread is free again."""
    seen: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(error)
            raise
        raise AssertionError("it has read a body that was not there")

    async with serve(app, threads=1, body_bytes=100) as server:
        client = await server.client()
        await client.send(chunked(b"x" * 60)[:-5])
        await server.until(lambda: [each for each in server.site.exchanges() if each.place == "in wsgi-1"])
        await server.until(lambda: not server.site.exchanges()[0].inbox.body)
        if how == "half-close":
            client.finish()
        elif how == "too much":
            await client.send(b"ffff\r\n" + b"x" * 200)
        elif how == "timeout":
            server.pass_time(server.site.limits.body_timeout_s + 2)
        else:
            if how == "reset":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.sock.close()
            server.clients.remove(client)
        await server.until(lambda: seen)
        await server.until(lambda: not server.site.exchanges())
        if how not in ("close", "reset"):
            status = {"half-close": 400, "too much": 413, "timeout": 408}[how]
            assert [each.status for each in await client.responses()] == [status]


async def test_a_body_that_nobody_read_does_not_spoil_the_next_request(serve: Any) -> None:
    """Whether it has come or is still on its way."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return [environ["PATH_INFO"].encode()]

    async with serve(app) as server:
        client = await server.client()
        for body in (b"x" * 10, b"x" * 30_000):
            request = post(body)
            await client.send(request[:-5])
            assert (await client.response()).body == b"/"
            await client.send(request[-5:])
        await client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).body == b"/next"


async def test_reading_after_the_response_fails_and_does_not_hang(serve: Any) -> None:
    """What has come since was thrown away."""
    seen: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT, ("Content-Length", "2")])
        yield b"ok"
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(error)

    async with serve(app) as server:
        client = await server.client()
        await client.send(post(length=10))
        assert (await client.response()).body == b"ok"
        await client.send(b"x" * 10)
        await server.until(lambda: seen)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


async def test_the_app_runs_in_the_context_of_its_request(serve: Any) -> None:
    """What is set for a request is seen in the thread, and by no other request."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        before = VARIABLE.get()
        VARIABLE.set("changed")
        start_response(OK, [TEXT])
        yield f"{before} {VARIABLE.get()}".encode()

    async with serve(app, threads=1) as server:
        server.site.watch_requests(
            opening=lambda exchange, context: context.run(VARIABLE.set, exchange.scope["path"])
        )
        for path in (b"/a", b"/b"):
            [response] = await server.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            assert response.body == path + b" changed"
    assert VARIABLE.get() == "none"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /caf%C3%A9 HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n",
        post(b"hello"),
        post(b""),
        chunked(b"hel", b"lo"),
        chunked(),
    ],
)
@pytest.mark.parametrize("kind", ["list", "generator", "write", "file", "length"])
async def test_the_validator_finds_nothing(
    serve: Any, request_: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """wsgiref.validate asserts what PEP 3333 asks of a server, on every kind of request and response."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"]
        got = body.read(2) + body.readline() + b"".join(body.readlines()) + b"".join(body) + body.read(10)
        environ["wsgi.errors"].flush()
        environ["wsgi.errors"].writelines([])
        answer = got or b"nothing"
        headers = [TEXT, ("Content-Length", str(len(answer)))] if kind == "length" else [TEXT]
        write = start_response(OK, headers)
        if kind == "write":
            write(answer)
            return []
        if kind == "file":
            return environ["wsgi.file_wrapper"](io.BytesIO(answer))  # type: ignore[no-any-return]
        return iter([answer]) if kind in ("generator", "length") else [answer]

    async with serve(validator(app)) as server:
        client = await server.client()
        await client.send(request_)
        response = await client.response(to_head=request_.startswith(b"HEAD"))
        assert response.status == 200
        if b"hel" in request_:
            assert response.body == b"hello"
        await server.until(lambda: not server.site.exchanges())
    assert not caplog.records


async def test_a_stuck_app_does_not_keep_its_site(serve: Any) -> None:
    """When the drain is over its request is let go of; what the thread does afterwards goes nowhere."""
    is_over = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert is_over.wait(DEADLINE_S)
        return echo(environ, start_response)

    async with serve(app, threads=1) as server:
        clients = [await server.client() for _ in range(3)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await server.until(lambda: len(server.site.exchanges()) == 3)
        server.site.begin_drain(0.0)
        server.site.abort_all()
        await server.until(lambda: not server.site.exchanges() and not server.site.connection_count)
        async with asyncio.timeout(DEADLINE_S):
            await server.site.wait_empty()
        is_over.set()


async def test_a_drain_waits_for_threads(serve: Any) -> None:
    """Requests in flight are answered, those that wait for a thread too."""
    is_over = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert is_over.wait(DEADLINE_S)
        return echo(environ, start_response)

    async with serve(app, threads=1) as server:
        clients = [await server.client() for _ in range(3)]
        for client in clients:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await server.until(lambda: len(server.site.exchanges()) == 3)
        server.site.begin_drain(0.0)
        is_over.set()
        for client in clients:
            assert (await client.response()).headers["connection"] == "close"
            client.sock.close()
        server.clients.clear()
        async with asyncio.timeout(DEADLINE_S):
            await server.site.wait_empty()


async def test_pipelined_requests_are_answered_in_order(serve: Any) -> None:
    """One at a time."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, [TEXT])
        return [environ["PATH_INFO"].encode()]

    async with serve(app) as server:
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50))
        assert [each.body for each in await server.ask(requests)] == [b"/%d" % number for number in range(50)]


@pytest.mark.usefixtures("quick_switches")
async def test_many_clients_at_once_each_get_their_own(serve: Any) -> None:
    """Whatever turns the threads take."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        start_response(OK, [TEXT])
        name = environ["PATH_INFO"].encode()
        return [name, body] if len(body) % 2 else iter([name, b"", body])

    async with serve(app, threads=5) as server:

        async def talk(number: int) -> None:
            client = await server.client()
            for index in range(20):
                body = b"%d-%d," % (number, index) * (1 + (number * index) % 50)
                head, _, rest = post(body).partition(b"\r\n\r\n")
                await client.send(head.replace(b" / ", b" /%d " % number) + b"\r\n\r\n")
                await client.send(rest)
                assert (await client.response()).body == b"/%d" % number + body

        await asyncio.gather(*(talk(number) for number in range(20)))
