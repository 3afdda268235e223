"""Requests that ask for another protocol, and the tunnels that come of them: raw clients and raw servers."""

# ruff: noqa: E501 (a message is one line, however long: it is read against its neighbours)

import asyncio
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.gateway.rules import BreakerRules, EjectionRules
from penstock.worker.gateway.spec import StickySpec
from penstock.worker.gateway.terms import TermsSpec
from penstock.worker.streams import end_streams, end_tunnels
from tests.worker.gateway.conftest import Backend, Passing, Script, Visit
from tests.worker.http.conftest import ROUTE, Client

ASK = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER for no time


async def echo(visit: Visit) -> None:
    """Switch, and send back what comes; end when the client ends."""
    await visit.head()
    await visit.say(SWITCH)
    while data := await visit.reader.read(65536):
        await visit.say(data)


def says(words: bytes) -> Script:
    """Make a script that answers with these bytes, and then listens."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(words)
        while await visit.reader.read(65536):
            pass

    return script


async def opened(gateway: Passing, data: bytes = ASK) -> Client:
    """Open a tunnel."""
    client = await gateway.client()
    await client.send(data)
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def tunnels(gateway: Passing) -> list[Any]:
    return [exchange for exchange in gateway.site.exchanges() if exchange.is_tunnel]


async def test_a_tunnel_passes_bytes_as_they_are(passing: Any) -> None:
    """
    With no hop-by-hop header but the two that ask for it, either way.
    """
    backend = Backend(echo)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(
            b"GET /ws?a=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1\r\n"
            b"Upgrade: websocket, h2c\r\nHTTP2-Settings: AAA\r\nSec-WebSocket-Key: k\r\nTE: trailers\r\n\r\n"
        )
        head = await client.until(b"\r\n\r\n")
        assert head.count(b"\r\n") == 6
        for line in (b"upgrade: websocket", b"connection: upgrade", b"via: 1.1 penstock", b"date: "):
            assert b"\r\n" + line in head
        for piece in (b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes(100_000)):
            await client.send(piece)
            received = b""
            while len(received) < len(piece):
                await client._more()
                received, client.received = received + client.received, b""
            assert received == piece
    assert backend.requests == [
        b"GET /ws?a=1 HTTP/1.1\r\nsec-websocket-key: k\r\nhost: a\r\nx-forwarded-for: 127.0.0.1\r\n"
        b"x-forwarded-proto: http\r\nx-forwarded-host: a\r\nvia: 1.1 penstock\r\nte: trailers\r\n"
        b"upgrade: websocket\r\nconnection: te, upgrade\r\n\r\n"
    ]


async def test_what_comes_early_waits_for_the_server_to_agree(passing: Any) -> None:
    """
    A server that has not switched would take it for another request.
    """
    gate = asyncio.Event()
    seen_before = b"?"

    async def script(visit: Visit) -> None:
        nonlocal seen_before
        await visit.head()
        await gate.wait()
        seen_before = bytes(visit.reader._buffer)  # type: ignore[attr-defined]
        for at in range(len(SWITCH)):
            await visit.say(SWITCH[at : at + 1])
        await visit.say(b"first")
        while data := await visit.reader.read(100):
            await visit.say(data)

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(ASK + b"early")
        await gateway.until(lambda: backend.requests)
        await client.send(b", and more")
        gate.set()
        await client.until(b"\r\n\r\n")
        await client.until(b"first")
        await client.until(b"early, and more")
    assert seen_before == b""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200),
        (
            b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: y\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno",
            426,
        ),
        (b"HTTP/1.1 101 S\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 101 S\r\nUpgrade: websocket, other\r\nConnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", 502),
        (b"HTTP/1.1 101 S\r\n\r\n", 502),
        (b"HTTP/1.0 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 502),
        (b"garbage\r\n\r\n", 502),
    ],
)
async def test_any_other_answer_is_an_ordinary_one(passing: Any, words: bytes, status: int) -> None:
    """
    The server never sees what the client sent ahead, and its connection is not used again.
    """
    backend = Backend(says(words))
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(ASK + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        head = (await client.until(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 %d " % status)
        assert (b"upgrade: y\r\nconnection: upgrade\r\n" in head) == (status == 426)
        assert b"connection: close\r\n" in head
        client.finish()
        await client.rest()
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",  # without the option
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",  # without a protocol
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n",
    ],
)
async def test_what_is_not_to_be_switched_to_is_not_passed_on(passing: Any, request_head: bytes) -> None:
    """
    The request is a usual one then; and a 101 all the same is a 502.
    """
    backend = Backend(says(HELLO))
    async with passing(backend) as gateway:
        response = await gateway.ask(request_head)
        assert response.body == b"hello"
        assert b"upgrade" not in backend.requests[0].lower()
        assert b"settings" not in backend.requests[0].lower()
    async with passing(Backend(says(SWITCH))) as gateway:
        assert (await gateway.ask(request_head)).status == 502


async def test_other_protocols_if_they_are_listed(passing: Any) -> None:
    """
    Docker's, with a body before it; the name is passed on as the client has it.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        assert await visit.reader.readexactly(2) == b"{}"
        await visit.say(SWITCH.replace(b"websocket", b"tcp"))
        await visit.say(await visit.reader.readexactly(5))

    backend = Backend(script)
    async with passing(backend, terms=TermsSpec(upgrades=("tcp",))) as gateway:
        client = await opened(
            gateway,
            b"POST /exec HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: TCP\r\n\r\n"
            b"{}",
        )
        await client.send(b"hello")
        await client.until(b"hello")
    assert b"\r\nupgrade: TCP\r\n" in backend.requests[0]
    async with passing(Backend(says(HELLO)), terms=TermsSpec(upgrades=())) as gateway:
        assert (await gateway.ask(ASK)).status == 200


async def test_a_server_that_switches_too_early_has_failed(passing: Any) -> None:
    """
    The rest of the body would be taken for the other protocol.
    """
    async with passing(
        Backend(says(SWITCH.replace(b"websocket", b"tcp"))), terms=TermsSpec(upgrades=("tcp",))
    ) as gateway:
        client = await gateway.client()
        await client.send(
            b"POST /exec HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{"
        )
        assert (await client.until(b"\r\n")).split()[1] == b"502"


async def test_it_is_asked_once(passing: Any) -> None:
    """
    Nobody knows what a server has begun that was asked; one that cannot be reached has begun nothing.
    """

    async def leave(visit: Visit) -> None:
        await visit.head()

    backends = Backend(leave), Backend(leave)
    async with passing(*backends, retry_attempts=3) as gateway:
        assert (await gateway.ask(ASK)).status == 502
    assert sum(len(each.requests) for each in backends) == 1
    async with passing("127.0.0.1:1", Backend(echo), balance="round_robin") as gateway:
        for _ in range(2):
            await opened(gateway)


async def test_it_has_a_connection_of_its_own(passing: Any) -> None:
    """
    An idle one may be closing just now, and one that was a tunnel is nobody's.
    """

    async def both(visit: Visit) -> None:
        while b"upgrade" not in await visit.head():
            await visit.say(HELLO)
        await visit.say(SWITCH)
        await visit.reader.read(1)

    backend = Backend(both)
    async with passing(backend) as gateway:
        pool = gateway.upstream.pools[0]
        await gateway.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client = await opened(gateway)
        assert (len(backend.visits), pool.open_count, pool.idle_count, pool.busy_count) == (2, 2, 1, 1)
        client.sock.close()
        await gateway.until(lambda: (pool.open_count, pool.idle_count, pool.busy_count) == (1, 1, 0))


async def test_one_that_waits_for_a_connection_gets_a_new_one_too(passing: Any) -> None:
    """
    The one that comes back from another request may be about to close.
    """
    gate = asyncio.Event()

    async def both(visit: Visit) -> None:
        while b"upgrade" not in await visit.head():
            await gate.wait()
            await visit.say(HELLO)
        await visit.say(SWITCH)
        await visit.reader.read(1)

    backend = Backend(both)
    async with passing(backend, connections_max=1) as gateway:
        pool = gateway.upstream.pools[0]
        first, second = await gateway.client(), await gateway.client()
        await first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await gateway.until(lambda: backend.requests)
        await second.send(ASK)
        await gateway.until(lambda: pool.busy_count == 2)
        gate.set()
        assert (await first.response()).body == b"hello"
        assert (await second.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert (len(backend.visits), pool.open_count) == (2, 1)


async def test_an_end_is_passed_on_by_itself(passing: Any) -> None:
    """
    Whoever has said all may go on listening, on either side.
    """
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(SWITCH)
        if visit.number == 0:
            assert await visit.reader.read() == b"question"
            await visit.say(b"answer")
        else:
            await visit.say(b"hello")
            visit.writer.write_eof()
            assert await visit.reader.read() == b"question"
            over.set()

    async with passing(Backend(script)) as gateway:
        client = await opened(gateway)
        await client.send(b"question")
        client.finish()
        assert await client.rest() == b"answer"
        client = await opened(gateway)
        assert await client.rest() == b"hello"
        await client.send(b"question")
        client.finish()
        await over.wait()
        await gateway.until(lambda: not gateway.site.connection_count)


async def test_a_client_that_ended_before_the_server_agreed(passing: Any) -> None:
    """
    Its end is passed on after what it had sent.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await gate.wait()
        await visit.say(SWITCH)
        await visit.say(await visit.reader.read())

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(ASK)
        await gateway.until(lambda: backend.requests)
        client.finish()
        gate.set()
        assert (await client.rest()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_break_is_passed_on_as_one(passing: Any, who: str) -> None:
    """
    An end would say that it was all.
    """
    broken = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(SWITCH)
        if who == "server":
            await visit.reader.readexactly(1)
            visit.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await visit.reset()
            return
        try:
            await visit.reader.read()
        finally:
            broken.set()

    async with passing(Backend(script)) as gateway:
        client = await opened(gateway)
        if who == "server":
            await client.send(b"x")
            assert await client.rest() == b"<reset>"
        else:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.sock.close()
            await broken.wait()
        await gateway.until(lambda: not gateway.site.connection_count)


async def steady(gateway: Passing, number: Any) -> int:
    """Wait until a number has stopped to grow."""
    for _ in range(3):
        before = -1
        while number() != before:
            before = number()
            await asyncio.sleep(0.02)
    return int(number())


async def test_neither_side_is_read_faster_than_the_other_takes(passing: Any) -> None:
    """
    Both write without reading: what waits here stays within bounds, and then all of it arrives.
    """
    size = 50_000_000
    sent = received = 0
    reads = asyncio.Event()

    async def script(visit: Visit) -> None:
        nonlocal sent, received
        await visit.head()
        await visit.say(SWITCH)
        while sent < size:
            await visit.say(bytes(100_000))
            sent += 100_000
        await reads.wait()
        while received < size:
            received += len(await visit.reader.read(1_000_000))

    async def push(client: Client) -> None:
        await client.send(bytes(size))

    async with passing(Backend(script)) as gateway:
        client = await opened(gateway)
        pushing = asyncio.ensure_future(push(client))
        assert await steady(gateway, lambda: sent) < size / 2
        [tunnel] = [exchange.connection for exchange in tunnels(gateway)]
        assert 0 < tunnel.transport.get_write_buffer_size() < 1_000_000
        assert tunnel.far.transport.get_write_buffer_size() < 1_000_000
        total = len(client.received)
        while total < size:
            client.received = b""
            await client._more()
            total += len(client.received)
        reads.set()
        await pushing
        await gateway.until(lambda: received == size)


async def test_a_tunnel_in_which_nothing_moves_is_closed(passing: Any) -> None:
    """
    After its own time, and each byte begins it anew.
    """
    async with passing(Backend(echo), terms=TermsSpec(tunnel_idle_timeout_s=600)) as gateway:
        client = await opened(gateway)
        for _ in range(3):
            gateway.pass_time(500)
            await client.send(b"x")
            await client.until(b"x")
        assert tunnels(gateway)
        gateway.pass_time(601)
        assert await client.rest() == b""


async def test_a_half_that_nobody_ends_does_not_stay_for_ever(passing: Any) -> None:
    """
    The client has said all, and the server does not end.
    """
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(SWITCH + b"bye")
        await over.wait()

    async with passing(Backend(script)) as gateway:
        client = await opened(gateway)
        client.finish()
        await client.until(b"bye")
        [tunnel] = [exchange.connection for exchange in tunnels(gateway)]
        await gateway.until(lambda: tunnel._is_eof)
        gateway.pass_time(30)
        assert tunnels(gateway)
        gateway.pass_time(61)
        await gateway.until(lambda: not tunnels(gateway))
        over.set()


@pytest.mark.parametrize("who", ["client", "server"])
async def test_who_takes_nothing_is_cut(passing: Any, who: str) -> None:
    """
    As in any response.
    """
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(SWITCH)
        if who == "client":
            await visit.say(bytes(30_000_000))
        else:
            await over.wait()

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await opened(gateway)
        if who == "server":
            sending = asyncio.ensure_future(client.send(bytes(30_000_000)))
            await gateway.until(lambda: tunnels(gateway)[0].connection.far.is_write_blocked)
        else:
            await gateway.until(lambda: tunnels(gateway)[0].connection.is_write_blocked)
        gateway.pass_time(200)
        await gateway.until(lambda: not gateway.site.connection_count)
        if who == "server":
            with pytest.raises(ConnectionError):
                await sending
        over.set()


async def test_it_is_counted_as_a_success_and_noted_as_what_it_is(passing: Any) -> None:
    """
    Once when it begins, and with all its bytes when it ends.
    """
    noted: list[tuple[int, int]] = []
    async with passing(Backend(echo)) as gateway:
        site = gateway.site
        site.watch_requests(observer=lambda exchange, _, size: noted.append((exchange.status, size)))
        client = await opened(gateway)
        assert site._cells[ROUTE.requests] == 1
        assert site.active_count == 1
        await client.send(bytes(1000))
        while len(client.received) < 1000:
            await client._more()
        site.tick(site.now_s)
        assert not noted
        client.finish()
        await client.rest()
        await gateway.until(lambda: noted)
        [(status, size)] = noted
        assert status == 101
        assert 1000 < size < 1400
        assert site._cells[ROUTE.requests] == 1


async def test_a_drain_cuts_tunnels_last(passing: Any) -> None:
    """
    They have all the time there is, since nobody can say goodbye in one.
    """
    async with passing(Backend(echo)) as gateway:
        clients = [await opened(gateway) for _ in range(5)]
        now_s = time.monotonic()
        gateway.site.begin_drain(0.0)
        streams = asyncio.ensure_future(end_streams(gateway.site.exchanges, after_s=now_s, until_s=now_s + 9))
        for client in clients:
            await client.send(b"x")
            await client.until(b"x")
        await end_tunnels(gateway.site.exchanges, until_s=now_s + 1.0)
        for client in clients:
            assert await client.rest() == b""
        await gateway.site.wait_empty()
        streams.cancel()


async def test_a_tunnel_under_tls(passing: Any, certificate: tuple[Path, Path]) -> None:
    """
    There are no halves: an end of one side is the end, after all that was on its way.
    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(SWITCH)
        if visit.number == 0:
            await visit.say(await visit.reader.readexactly(100_000))
            return
        assert len(await visit.reader.read()) == 100_000
        over.set()

    backend = Backend(script)
    async with passing(backend, tls=tls) as gateway:
        for number in range(2):
            reader, writer = await asyncio.open_connection(
                *gateway.address, ssl=trusting, server_hostname="localhost"
            )
            writer.write(ASK)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.write(bytes(100_000))
            if number == 0:
                assert len(await reader.read()) == 100_000
            writer.close()
        await over.wait()
        await gateway.until(lambda: not gateway.site.connection_count)
    assert b"x-forwarded-proto: https" in backend.requests[0]


async def test_a_client_that_begins_with_a_tunnel_is_told_its_server_too(passing: Any) -> None:
    """
    With the 101, unless it knows; its next tunnel goes there.
    """
    servers = [Backend(echo), Backend(echo)]
    async with passing(*servers, balance="round_robin", sticky=StickySpec(cookie="srv")) as gateway:
        client = await gateway.client()
        await client.send(ASK)
        head = await client.until(b"\r\n\r\n")
        cookie = head.split(b"set-cookie: ")[1].split(b";")[0]
        for _ in range(3):
            client = await gateway.client()
            await client.send(ASK.replace(b"\r\n\r\n", b"\r\nCookie: " + cookie + b"\r\n\r\n"))
            assert b"set-cookie" not in await client.until(b"\r\n\r\n")
        assert sorted(len(each.requests) for each in servers) == [0, 4]


async def test_a_breaker_holds_for_tunnels_as_well(passing: Any) -> None:
    """
    Those that there are count as requests; and where the circuit is open, none begins.
    """
    rules = BreakerRules(requests_max=1, requests_min=2, open_s=5.0, probes=1)
    backend = Backend(echo)
    async with passing(backend, breaker=rules, ejection=None) as gateway:
        client = await opened(gateway)
        assert (await gateway.ask(ASK)).status == 503
        client.sock.close()
        await gateway.until(gateway.is_clean)
        backend.script = says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        for _ in range(2):
            await gateway.ask(ASK)
            await gateway.until(gateway.is_clean)
        asked = len(backend.requests)
        assert (await gateway.ask(ASK)).headers["retry-after"]
        assert len(backend.requests) == asked
        backend.script = echo
        gateway.pass_time(6)
        client = await opened(gateway)  # the probe: while it is there, it is known to have worked
        client.sock.close()
        await gateway.until(gateway.is_clean)
        await opened(gateway)


async def test_a_tunnel_that_tries_a_server_brings_it_back(passing: Any) -> None:
    """
    With its beginning: its end may be far away.
    """
    rules = EjectionRules(consecutive_failures=1, base_s=5.0, most_s=5.0, ratio_max=1.0)
    backend, other = Backend(says(b"nonsense\r\n\r\n")), Backend(echo)
    async with passing(backend, other, balance="round_robin", ejection=rules) as gateway:
        first = gateway.upstream.pools[0].standing
        for _ in range(2):  # one goes to each
            client = await gateway.client()
            await client.send(ASK)
            await client.until(b"\r\n\r\n")
        assert first.is_ejected
        backend.script = echo
        gateway.pass_time(6)
        client = await opened(gateway)
        assert not first.is_ejected
        client.sock.close()
