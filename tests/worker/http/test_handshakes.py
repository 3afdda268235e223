"""TLS handshakes that are under way when the worker is to end."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Make the server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def accepted(server: Any) -> Any:
    """Connect and say nothing; return when the server has accepted."""
    client = await server.client()
    await server.until(lambda: len(server.site._handshakes) == 1)
    assert server.site.connection_count == 0
    return client


async def test_handshake_that_ends_during_the_drain_is_answered(
    serve: Any, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    """
    The connection was accepted, so its request is ours to answer.
    """
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with serve(hello, tls=tls) as server:
        client = await accepted(server)
        server.site.begin_drain(1.0)
        empty = asyncio.create_task(server.site.wait_empty())
        server.pass_time(2.0)
        await asyncio.sleep(0)
        assert not empty.done()
        reader, writer = await asyncio.open_connection(
            sock=client.sock.dup(), ssl=trust, server_hostname="localhost"
        )
        writer.write(GET)
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        client.sock.close()
        await asyncio.wait_for(empty, 10.0)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n"])
async def test_handshake_that_fails_holds_nobody_up(serve: Any, tls: ssl.SSLContext, said: bytes) -> None:
    """
    Nobody is told of it; it is only not there any more.
    """
    async with serve(hello, tls=tls) as server:
        client = await accepted(server)
        server.site.begin_drain(1.0)
        await client.send(said)
        client.sock.close()
        await server.until(lambda: not len(server.site._handshakes))
        server.pass_time(0.5)
        await asyncio.wait_for(server.site.wait_empty(), 10.0)


@pytest.mark.parametrize(("first_grace_s", "until_s"), [(None, 3.0), (1.0, 1.0)])
async def test_handshake_that_never_comes_is_not_awaited_for_ever(
    serve: Any, tls: ssl.SSLContext, first_grace_s: float | None, until_s: float
) -> None:
    """
    A port scanner must not hold a roll up, and a browser's spare connection no Ctrl-C.
    """
    async with serve(hello, tls=tls) as server:
        await accepted(server)
        server.site.begin_drain(1.0, first_grace_s)
        empty = asyncio.create_task(server.site.wait_empty())
        server.pass_time(until_s - 0.1)
        await asyncio.sleep(0)
        assert not empty.done()
        server.pass_time(0.2)
        await asyncio.wait_for(empty, 10.0)


async def test_connection_is_no_handshake_any_more_when_it_is_open(
    serve: Any, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with serve(hello, tls=tls) as server:
        host, port = server.address
        _, writer = await asyncio.open_connection(host, port, ssl=trust, server_hostname="localhost")
        await server.until(lambda: server.site.connection_count == 1)
        assert not len(server.site._handshakes)
        writer.close()
        await server.until(lambda: server.site.connection_count == 0)
