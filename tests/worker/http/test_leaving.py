"""How connections that cannot move come to their end in a drain: one after the other."""

import asyncio
import itertools
import random
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.leaving import turns
from penstock.worker.http.phases import CLOSING

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
TIMES = st.floats(0.0, 60.0)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


@given(count=st.integers(0, 2000), grace_s=TIMES, spread_s=TIMES)
def test_everyone_has_the_grace_and_nobody_stays_beyond_the_spread(
    count: int, grace_s: float, spread_s: float
) -> None:
    """
    A response may end a connection before it is closed for being idle, and never the other way round.
    """
    ends = list(turns(count, grace_s, spread_s))

    assert len(ends) == count
    for leaves_after_s, closes_after_s in ends:
        assert 0.0 <= leaves_after_s <= spread_s
        assert grace_s <= closes_after_s <= max(grace_s, spread_s)
        assert leaves_after_s <= closes_after_s + 1e-9


@given(count=st.integers(1, 500), grace_s=TIMES, spread_s=TIMES, window_s=TIMES)
def test_no_moment_has_more_than_its_share(
    count: int, grace_s: float, spread_s: float, window_s: float
) -> None:
    """
    Neither of responses nor of closes: clients that all connect anew at once are a burst.
    """
    for ends, over_s in (
        ([leaves for leaves, _ in turns(count, grace_s, spread_s)], spread_s),
        ([closes for _, closes in turns(count, grace_s, spread_s)], spread_s - grace_s),
    ):
        if over_s <= 0.001:
            continue
        for first in ends:
            within = sum(first <= each < first + window_s for each in ends)
            assert within <= count * window_s / over_s + 1.001


async def tls_clients(server: Any, certificate: tuple[Path, Path], count: int) -> list[Any]:
    """Connect so many, and ask once on each."""
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    host, port = server.address
    pairs = []
    for _ in range(count):
        pair = await asyncio.open_connection(host, port, ssl=trust, server_hostname="localhost")
        assert b"close" not in await ask(pair)
        pairs.append(pair)
    return pairs


async def ask(pair: Any) -> bytes:
    """Ask, and give the head of the answer."""
    reader, writer = pair
    writer.write(GET)
    async with asyncio.timeout(10.0):
        head: bytes = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
    return head


def tls_of(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Make the server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_idle_tls_connections_are_closed_evenly(serve: Any, certificate: tuple[Path, Path]) -> None:
    """
    None within the grace, all by the end of the spread, and in no half second many more than in another.
    """
    async with serve(hello, tls=tls_of(certificate)) as server:
        pairs = await tls_clients(server, certificate, 60)
        site = server.site
        site.begin_drain(1.0, spread_s=5.0)
        left = [60]
        for _ in range(11):
            server.pass_time(0.5)
            left.append(sum(each.intake != CLOSING for each in list(site._connections)))
        assert left[1] == 60
        assert left[-1] == 0
        # 60 in 4 seconds are 7.5 in half a second.
        assert max(before - after for before, after in itertools.pairwise(left)) <= 9
        for reader, _ in pairs:
            assert await asyncio.wait_for(reader.read(), 10.0) == b""
        await asyncio.wait_for(site.wait_empty(), 10.0)
        for _, writer in pairs:
            writer.close()


async def test_busy_tls_connections_are_told_one_after_the_other(
    serve: Any, certificate: tuple[Path, Path]
) -> None:
    """
    Each is told by a response, so no request of a client that goes on asking crosses a close.
    """
    async with serve(hello, tls=tls_of(certificate)) as server:
        left = await tls_clients(server, certificate, 20)
        server.site.begin_drain(1.0, spread_s=5.0)
        told: list[int] = []
        for _ in range(11):
            closing = [pair for pair in left if b"connection: close" in await ask(pair)]
            told.append(len(closing))
            for _, writer in closing:
                writer.close()
            left = [pair for pair in left if pair not in closing]
            server.pass_time(0.5)
        assert not left
        assert max(told) <= 3
        await asyncio.wait_for(server.site.wait_empty(), 10.0)


async def test_tls_request_in_flight_is_answered_and_then_ends(
    serve: Any, certificate: tuple[Path, Path]
) -> None:
    """
    Its turn has come while the app was at work, so the response says it.
    """
    gate, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            begun.set()
            await gate.wait()
        await hello(scope, receive, send)

    async with serve(app, tls=tls_of(certificate)) as server:
        ((reader, writer),) = await tls_clients(server, certificate, 1)
        writer.write(GET.replace(b"/x", b"/slow"))
        await begun.wait()
        server.site.begin_drain(1.0, spread_s=5.0)
        server.pass_time(6.0)
        assert server.site.connection_count == 1
        gate.set()
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await asyncio.wait_for(server.site.wait_empty(), 10.0)


@pytest.mark.parametrize("asks", [False, True])
async def test_tls_client_that_does_not_look_holds_no_drain_up(
    serve: Any, certificate: tuple[Path, Path], asks: bool
) -> None:
    """
    A pool of connections looks at one when it is needed again. It then finds a proper close.
    """
    async with serve(hello, tls=tls_of(certificate)) as server:
        client = await asyncio.to_thread(unattended, server.address, certificate, GET)
        with client:
            await asyncio.to_thread(read_until, client, b"hello")
            server.site.begin_drain(1.0)
            if asks:
                client.sendall(GET)
                assert b"connection: close" in await asyncio.to_thread(read_until, client, b"hello")
            empty = asyncio.create_task(server.site.wait_empty())
            for _ in range(12):
                server.pass_time(0.5)
                await asyncio.sleep(0.01)
            await asyncio.wait_for(empty, 10.0)
            assert await asyncio.to_thread(client.recv, 1) == b""


async def test_slow_tls_client_gets_all_of_its_last_response(
    serve: Any, certificate: tuple[Path, Path]
) -> None:
    """
    It is not taken for one that does not look.
    """
    body = random.Random(1).randbytes(2 * 1024 * 1024)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    async with serve(app, tls=tls_of(certificate)) as server:
        server.site.begin_drain(1.0)
        client = await asyncio.to_thread(unattended, server.address, certificate, GET)
        with client:
            await server.until(lambda: server.site.sent_bytes)
            for _ in range(20):
                server.pass_time(0.5)
                await asyncio.sleep(0.01)
            assert (await asyncio.to_thread(read_until, client, body[-1024:])).endswith(body)


def unattended(address: Any, certificate: tuple[Path, Path], request: bytes) -> ssl.SSLSocket:
    """Connect with little room for answers, and ask; nobody reads."""
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    trust.check_hostname = False
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10.0)
    sock.connect(address)
    client = trust.wrap_socket(sock, suppress_ragged_eofs=False)
    client.sendall(request)
    return client


def read_until(client: ssl.SSLSocket, end: bytes) -> bytes:
    """Read up to these bytes."""
    answer = bytearray()
    while not answer.endswith(end):
        part = client.recv(1024 * 1024)
        assert part, "the connection ended too early"
        answer += part
    return bytes(answer)
