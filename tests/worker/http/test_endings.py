"""How connections end: by the client, by us, by a drain, and under TLS."""

import asyncio
import contextvars
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.asgi.types import ClientDisconnected

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


class Gate:
    """An app that answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait, then answer."""
        self.calls += 1
        await self.open.wait()
        await hello(scope, receive, send)


# The client ends it.


async def test_app_learns_that_the_client_is_gone(serve: Any) -> None:
    """
    `receive` tells, `send` raises an OSError, and neither is logged as an error.
    """
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append((await receive())["type"])
        try:
            while True:  # Until the kernel has heard the reset.
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "more_body": True})
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                    await asyncio.sleep(0)
        except OSError as error:
            seen.append(type(error))
            raise

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(server.site.in_flight)
        client.sock.close()
        await server.until(lambda: len(seen) == 2)
        await server.until(lambda: server.site.active_count == 0)
    assert seen == ["http.disconnect", ClientDisconnected]


@pytest.mark.parametrize("wrap", ["plain", "cause", "group"])
async def test_disconnect_that_an_app_lets_through_is_no_error(serve: Any, caplog: Any, wrap: str) -> None:
    """
    Frameworks wrap it; a log full of tracebacks of impatient clients helps nobody.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0)
        except OSError as error:
            if wrap == "cause":
                raise RuntimeError("framework") from error
            if wrap == "group":
                raise ExceptionGroup("tasks", [error]) from None
            raise

    caplog.set_level(logging.DEBUG)
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(server.site.in_flight)
        client.sock.close()
        await server.until(lambda: server.site.active_count == 0)
    assert "the client is gone" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_half_closed_client_still_gets_its_answers(serve: Any) -> None:
    """
    `printf ... | nc` closes its side at once and waits; its app sees the disconnect.
    """
    gate = Gate()
    async with serve(gate) as server:
        client = await server.client()
        await client.send(GET * 3)
        client.finish()
        await server.until(lambda: gate.calls)
        gate.open.set()
        assert [response.body for response in await client.responses()] == [b"hello"] * 3


async def test_half_close_reaches_a_waiting_app(serve: Any) -> None:
    """
    A FIN is all that an app which waits for the client's end will ever see of it.
    """
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            seen.append((await receive())["type"])
        await hello(scope, receive, send)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: seen)
        client.finish()
        assert [response.body for response in await client.responses()] == [b"hello"]
    assert seen == ["http.request", "http.disconnect", "http.disconnect"]


async def test_app_that_returns_at_a_half_close_has_not_failed(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Django gives up when it hears of a disconnect, and most who send a FIN are gone indeed.
    """
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while "http.disconnect" not in seen:
            seen.append((await receive())["type"])

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: seen)
        client.finish()
        assert await client.rest() == b""
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_idle_connection_that_the_client_closes_is_forgotten(serve: Any) -> None:
    """
    Nothing is left of it.
    """
    async with serve(hello) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        assert server.site.connection_count == 1
        client.sock.close()
        await server.until(lambda: server.site.connection_count == 0)


async def test_slow_client_makes_send_wait(serve: Any) -> None:
    """
    What waits for it in the process is bounded.
    """
    sent = 0
    total = 200

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(total):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET * 2)
        await server.until(lambda: sent)
        before = -1
        while before != sent:
            before = sent
            for _ in range(20):
                await asyncio.sleep(0.001)
        assert sent < total
        for _ in range(2):
            assert len((await client.response()).body) == total * 100_000


async def test_pipeline_waits_for_a_slow_client(serve: Any) -> None:
    """
    Small responses add up as well: no next request begins while output waits.
    """
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": bytes(60_000)})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET * 1000)
        before = -1
        while before != calls:
            before = calls
            for _ in range(20):
                await asyncio.sleep(0.001)
        assert calls < 1000
        for _ in range(1000):
            assert len((await client.response()).body) == 60_000


# We end it.


async def test_client_that_still_writes_reads_why_it_was_refused(serve: Any) -> None:
    """
    A close with bytes unread would be a reset, which overtakes the answer.
    """
    async with serve(hello) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        await server.until(lambda: server.site.sent_bytes)
        await client.send(b"x" * 100_000)
        (response,) = await client.responses()
        assert response.status == 400
        await client.send(b"x" * 100_000)  # Not even now: it was half-closed.


async def test_client_that_never_stops_writing_is_cut(serve: Any) -> None:
    """
    Reading it out has a bound too.
    """
    async with serve(hello) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        flood = asyncio.create_task(client.send(b"x" * 64 * 1024 * 1024))
        with pytest.raises(ConnectionError):
            await flood
        await server.until(lambda: server.site.connection_count == 0)


async def test_request_after_the_last_is_not_answered(serve: Any) -> None:
    """
    Connection: close means what it says.
    """
    async with serve(hello) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
        assert len(await client.responses()) == 1


# Draining.


async def test_drain_finishes_what_is_in_flight(serve: Any) -> None:
    """
    The last response says so, and then the connection ends.
    """
    gate = Gate()
    async with serve(gate) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: gate.calls)
        server.site.begin_drain(0.0)
        gate.open.set()
        (response,) = await client.responses()
        assert response.body == b"hello"
        assert response.headers["connection"] == "close"
        client.sock.close()
        await server.site.wait_empty()


async def test_drain_answers_all_that_was_pipelined(serve: Any) -> None:
    """
    Requests that we have read are ours to answer; only the last says close.
    """
    gate = Gate()
    async with serve(gate) as server:
        client = await server.client()
        await client.send(GET * 3)
        await server.until(lambda: gate.calls)
        server.site.begin_drain(0.0)
        gate.open.set()
        responses = await client.responses()
        assert ["connection" in response.headers for response in responses] == [False, False, True]


async def test_drain_gives_idle_connections_a_grace(serve: Any) -> None:
    """
    One more request is answered, as the last; who does not ask is closed.
    """
    async with serve(hello) as server:
        asking, silent = await server.client(), await server.client()
        for client in (asking, silent):
            await client.send(GET)
            assert "connection" not in (await client.response()).headers
        server.site.begin_drain(2.0)
        server.pass_time(1.0)
        await asking.send(GET)
        (response,) = await asking.responses()
        assert response.headers["connection"] == "close"
        assert server.site.connection_count == 2 or silent.is_eof is False
        server.pass_time(3.0)
        assert await silent.rest() == b""
        asking.sock.close()
        await server.site.wait_empty()


async def test_drain_waits_for_a_first_request(serve: Any) -> None:
    """
    A connection that was accepted is answered, though it is slow to ask.
    """
    async with serve(hello, header_timeout_s=10.0) as server:
        client, other = await server.client(), await server.client()
        await server.until(lambda: server.site.connection_count == 2)
        server.site.begin_drain(0.0)
        server.pass_time(5.0)
        await client.send(GET)
        (response,) = await client.responses()
        assert response.headers["connection"] == "close"
        server.pass_time(6.0)
        assert await other.rest() == b""
        client.sock.close()
        await server.site.wait_empty()


async def test_drain_waits_for_background_work(serve: Any) -> None:
    """
    A response is not the end of an app.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        await go.wait()

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        client.sock.close()
        await server.until(lambda: server.site.connection_count == 0)
        server.site.begin_drain(0.0)
        empty = asyncio.create_task(server.site.wait_empty())
        await asyncio.sleep(0)
        assert not empty.done()
        go.set()
        await empty


async def test_drain_during_a_stream_ends_after_it(serve: Any) -> None:
    """
    Its head went out before and promised nothing; so the grace applies, then it ends.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"b"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"1\r\na\r\n")
        server.site.begin_drain(1.0)
        go.set()
        await client.until(b"0\r\n\r\n")
        server.pass_time(3.0)
        assert await client.rest() == b""


async def test_abort_cancels_and_cuts(serve: Any) -> None:
    """
    The deadline of a drain: apps are cancelled, and notice.
    """
    cancelled = 0
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cancelled
        if scope["path"] == "/background":
            await hello(scope, receive, send)
        try:
            await waiting.wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    async with serve(app) as server:
        client = await server.client()
        await client.send(b"GET /background HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.response()
        await client.send(GET)
        await server.until(lambda: server.site.active_count == 2)
        server.site.begin_drain(0.0)
        server.site.abort_all()
        await server.site.wait_empty()
        assert await client.rest() == b""
    assert cancelled == 2


async def test_contexts_are_copies_of_the_lifespans(serve: Any) -> None:
    """
    What startup sets every request sees; what a request sets none other does.
    """
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            variable.set("startup")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(variable.get())
        variable.set("request")
        await hello(scope, receive, send)

    async with serve(app, lifespan="on") as server:
        client = await server.client()
        for _ in range(2):
            await client.send(GET)
            await client.response()
    assert seen == ["startup", "startup"]


# TLS, which cannot half-close.


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 200), (b"GET / HTTP/1.1\r\n\r\n", 400)],
)
async def test_tls(serve: Any, certificate: tuple[Path, Path], request_bytes: bytes, status: int) -> None:
    """
    The scheme is https, and the end is a proper close_notify, also after an error.
    """
    schemes: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        schemes.append(scope["scheme"])
        await hello(scope, receive, send)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def talk(address: tuple[str, int]) -> bytes:
        trust = ssl.create_default_context(cafile=str(certificate[0]))
        trust.check_hostname = False
        with (
            socket.create_connection(address, timeout=10) as sock,
            trust.wrap_socket(sock, suppress_ragged_eofs=False) as tls,
        ):
            tls.sendall(request_bytes)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += tls.recv(65536)
            if status == 200:
                while piece := tls.recv(65536):
                    answer += piece
            return answer

    async with serve(app, tls=context) as server:
        answer = await asyncio.to_thread(talk, server.address)
        await server.until(lambda: server.site.connection_count == 0)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert schemes == (["https"] if status == 200 else [])
