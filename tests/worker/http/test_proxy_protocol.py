"""Connections that begin with a PROXY header, on a real site: who is told, who is closed, what is counted."""

import asyncio
import json
import resource
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.shm.names import PROXY_REJECTIONS
from penstock.worker.proxy_protocol import prelude
from penstock.worker.proxy_protocol.header import Endpoints, write_v2
from penstock.worker.spec import MatchSpec, ProxiesSpec, ProxyProtocolSpec, RespondAction
from tests.worker.http.conftest import ACTION, PROXY_REJECTED
from tests.worker.proxy_protocol.writing import write_local, write_v1

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
FOUR = Endpoints(("203.0.113.9", 4711), ("10.0.0.1", 443))
SIX = Endpoints(("2001:db8::9", 4711), ("2001:db8::1", 443))
UNIX = Endpoints("/run/client.sock", "/run/server.sock")
SPEC = ProxyProtocolSpec(trusted=("127.0.0.1", "unix:"), rejected=PROXY_REJECTED)
NOBODY = ProxyProtocolSpec(trusted=("10.0.0.0/8",), rejected=PROXY_REJECTED)


async def names(scope: Any, receive: Any, send: Any) -> None:
    """Say between whom the connection is."""
    body = json.dumps([scope["client"], scope["server"], scope["scheme"]]).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


def rejected(server: Any) -> dict[str, int]:
    """Say why how many were closed."""
    counts = zip(PROXY_REJECTIONS, server.cells[PROXY_REJECTED : PROXY_REJECTED + 4], strict=True)
    return {reason: count for reason, count in counts if count}


@pytest.mark.parametrize("piece", [None, 1, 7])
@pytest.mark.parametrize(
    ("header", "client", "local"),
    [
        (write_v1(FOUR), ["203.0.113.9", 4711], ["10.0.0.1", 443]),
        (write_v1(SIX), ["2001:db8::9", 4711], ["2001:db8::1", 443]),
        (write_v2(FOUR), ["203.0.113.9", 4711], ["10.0.0.1", 443]),
        (write_v2(SIX, with_checksum=True), ["2001:db8::9", 4711], ["2001:db8::1", 443]),
        (write_v2(UNIX), None, ["/run/server.sock", None]),
    ],
)
async def test_app_sees_what_was_told(
    serve: Any, header: bytes, client: Any, local: Any, piece: int | None
) -> None:
    """
    However it arrives, and with requests right behind it.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        [first, second] = await server.ask(header + GET + LAST, piece=piece)
        assert json.loads(first.body) == json.loads(second.body) == [client, local, "http"]
        assert rejected(server) == {}


@pytest.mark.parametrize("header", [write_v1(None), write_v2(None), write_local()])
async def test_connection_of_which_nothing_is_told_has_its_own_addresses(serve: Any, header: bytes) -> None:
    """
    A load balancer looks whether we are there.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        await client.send(header + GET)
        told = json.loads((await client.response()).body)
        assert told == [list(client.sock.getsockname()), list(server.address), "http"]


@pytest.mark.parametrize("parks", [False, True])
async def test_routes_are_chosen_by_the_client_that_was_told(serve: Any, parks: bool) -> None:
    """
    Who is behind the load balancer is who asks, from the first request on and after a pause.
    """
    routes = [
        (MatchSpec(client=("127.0.0.1",)), RespondAction(body=b"balancer")),
        (MatchSpec(client=("203.0.113.0/24",)), ACTION),
        (MatchSpec(), RespondAction(body=b"other")),
    ]
    async with serve(names, routes=routes, parks=parks, proxy_protocol=SPEC) as server:
        for header, body in ((write_v2(SIX), b"other"), (write_local(), b"balancer")):
            client = await server.client()
            await client.send(header + GET)
            assert (await client.response()).body == body
        client = await server.client()
        await client.send(write_v1(FOUR))
        for _ in range(3):
            await client.send(GET)
            told = json.loads((await client.response()).body)
            assert told == [["203.0.113.9", 4711], ["10.0.0.1", 443], "http"]
            if parks:
                server.pass_time(3.0)
                await server.until(lambda: server.site.parked_count == 3)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"PROXY TCP4 203.0.113.256 10.0.0.1 4711 443\r\n" + GET, "malformed"),
        (b"PROXY " + b"x" * 300, "malformed"),
        (write_v2(FOUR)[:14] + b"\xff\xff" + b"\0" * 20, "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "missing"),
        (b"\0" * 5000, "missing"),
    ],
)
async def test_anything_else_is_closed_and_counted(serve: Any, sent: bytes, reason: str) -> None:
    """
    And logged once, with who it was.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        for count in (1, 2):
            client = await server.client()
            await client.send(sent)
            assert (await client.rest()).removesuffix(b"<reset>") == b""
            assert rejected(server) == {reason: count}
        assert server.site.connection_count == 0


async def test_complaint_is_made_once(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    In a minute, since a whole load balancer may be set up wrongly.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        for _ in range(3):
            await server.ask(LAST)
        told = [each.message for each in caplog.records if "PROXY" in each.message]
        assert told == [
            "test: closed a connection of 127.0.0.1: it began without a PROXY header, "
            "which proxies of 'proxy_protocol' have to send"
        ]


@pytest.mark.parametrize("tail", [b"", b"x" * 100_000])
async def test_http_without_a_header_is_told_so(serve: Any, tail: bytes) -> None:
    """
    By an answer that arrives, also when a body comes along.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + tail)
        response = await client.response()
        assert response.status == 400
        assert b"PROXY" in response.body
        assert response.headers["connection"] == "close"
        client.finish()
        assert await client.rest() == b""
        assert rejected(server) == {"missing": 1}
        await server.until(lambda: server.site.connection_count == 0)


async def test_stranger_is_closed_unread(serve: Any) -> None:
    """
    Whatever it says: it must never set an address.
    """
    async with serve(names, proxy_protocol=NOBODY) as server:
        client = await server.client()
        await server.until(lambda: rejected(server) == {"stranger": 1})
        assert (await client.rest()).removesuffix(b"<reset>") == b""
        assert server.site.connection_count == 0


async def test_stranger_is_served_where_headers_are_not_required(serve: Any) -> None:
    """
    As it is, and its header is no request.
    """
    spec = ProxyProtocolSpec(trusted=("10.0.0.0/8",), required=False, rejected=PROXY_REJECTED)
    async with serve(names, proxy_protocol=spec) as server:
        client = await server.client()
        await client.send(GET)
        assert json.loads((await client.response()).body)[0] == list(client.sock.getsockname())
        [response] = await server.ask(write_v1(FOUR) + LAST)
        assert response.status == 400
        assert rejected(server) == {}


async def test_trusted_proxy_that_sends_none_is_not_served_either_way(serve: Any) -> None:
    """
    Else a client behind it could write one.
    """
    spec = ProxyProtocolSpec(trusted=("127.0.0.1",), required=False, rejected=PROXY_REJECTED)
    async with serve(names, proxy_protocol=spec) as server:
        [response] = await server.ask(LAST)
        assert response.status == 400
        assert rejected(server) == {"missing": 1}


async def test_header_has_to_come_in_time(serve: Any) -> None:
    """
    Half of one is none.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        silent, slow, good = [await server.client() for _ in range(3)]
        await slow.send(write_v1(FOUR)[:20])
        await server.until(lambda: server.site.connection_count == 3)
        server.pass_time(2.5)
        await good.send(write_v1(FOUR))
        assert rejected(server) == {}
        server.pass_time(1.0)
        await silent.rest()
        await slow.rest()
        assert rejected(server) == {"timeout": 2}
        await good.send(GET)
        assert (await good.response()).status == 200


async def test_header_that_came_while_the_loop_was_blocked_is_in_time(serve: Any) -> None:
    """
    It is looked for once more before the connection is closed.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        await server.until(lambda: server.site.connection_count == 1)
        client.sock.send(write_v1(FOUR) + GET)
        server.pass_time(10.0)
        assert json.loads((await client.response()).body)[0] == ["203.0.113.9", 4711]


async def test_oldest_makes_room(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever means it sends the header at once.
    """
    monkeypatch.setattr(prelude, "PROXY_WAITING_MAX", 2)
    async with serve(names, proxy_protocol=SPEC) as server:
        clients = []
        for count in (1, 2, 2):
            clients.append(await server.client())
            await server.until(lambda: server.site.connection_count == count)  # noqa: B023 (called here)
        assert await clients[0].rest() == b""
        assert rejected(server) == {"timeout": 1}
        for client in clients[1:]:
            await client.send(write_v1(FOUR) + GET)
            assert (await client.response()).status == 200


@pytest.mark.parametrize(
    ("sent", "with_reset", "counted"),
    [
        (b"", False, {}),
        (b"", True, {}),
        (b"PROXY TCP4 20", False, {"malformed": 1}),
        (b"PROXY TCP4 20", True, {}),
    ],
)
async def test_peer_that_goes_away_leaves_nothing_behind(
    serve: Any, sent: bytes, with_reset: bool, counted: dict[str, int]
) -> None:
    """
    A TCP health check opens and closes, and is nothing to complain of.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        await client.send(sent)
        await server.until(lambda: server.site.connection_count == 1)
        await asyncio.sleep(0.01)
        if with_reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sock.close()
        await server.until(lambda: server.site.connection_count == 0)
        assert rejected(server) == counted


@pytest.mark.parametrize("match", [MatchSpec(), MatchSpec(client=("2001:db8::/32", "127.0.0.1"))])
async def test_header_comes_before_the_handshake(
    serve: Any, certificate: tuple[Path, Path], match: MatchSpec
) -> None:
    """
    Of which not a byte may be taken with it. Routes may ask for the client, or not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with serve(names, routes=[(match, ACTION)], proxy_protocol=SPEC, tls=context) as server:
        for header, told in ((write_v2(SIX), ["2001:db8::9", 4711]), (write_local(), None)):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
            client = await server.client()
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            await client.send(header + outgoing.read())
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(await asyncio.get_running_loop().sock_recv(client.sock, 65536))
            tls.write(GET)
            await client.send(outgoing.read())
            answer = b""
            while not answer.endswith(b'"https"]'):
                try:
                    answer += tls.read()
                except ssl.SSLWantReadError:
                    incoming.write(await asyncio.get_running_loop().sock_recv(client.sock, 65536))
            assert json.loads(answer.partition(b"\r\n\r\n")[2])[0] == (
                told or list(client.sock.getsockname())
            )
        assert rejected(server) == {}


async def test_clear_text_to_a_tls_port_without_a_header_is_answered(
    serve: Any, certificate: tuple[Path, Path]
) -> None:
    """
    And TLS without one is closed, at the first byte.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with serve(names, proxy_protocol=SPEC, tls=context) as server:
        [response] = await server.ask(LAST)
        assert response.status == 400
        client = await server.client()
        await client.send(b"\x16\x03\x01")
        assert (await client.rest()).removesuffix(b"<reset>") == b""
        # After a header it is the handshake that fails, as it does elsewhere.
        client = await server.client()
        await client.send(write_v1(FOUR) + b"\x16\x03\x01\x00\x01\x00")
        client.finish()
        await client.rest()
        await server.until(lambda: not len(server.site._handshakes))
        assert rejected(server) == {"missing": 2}


async def test_unix_socket_is_trusted_by_name(serve: Any, tmp_path: Path) -> None:
    """
    Whoever connects to it has no address.
    """
    path = str(tmp_path / "x.sock")
    async with serve(names, path=path, proxy_protocol=SPEC) as server:
        [response] = await server.ask(write_v2(FOUR) + LAST)
        assert json.loads(response.body)[:2] == [["203.0.113.9", 4711], ["10.0.0.1", 443]]


@pytest.mark.parametrize(
    ("trusted", "client"), [("203.0.113.9", ["6.6.6.6", 0]), ("127.0.0.1", ["203.0.113.9", 4711])]
)
async def test_forwarded_headers_are_believed_of_whom_was_told(serve: Any, trusted: str, client: Any) -> None:
    """
    Not of the load balancer, which has not written them.
    """
    proxies = ProxiesSpec(trusted=(trusted,))
    async with serve(names, proxy_protocol=SPEC, proxies=proxies) as server:
        request = LAST.replace(b"Host", b"X-Forwarded-For: 6.6.6.6\r\nHost")
        [response] = await server.ask(write_v1(FOUR) + request)
        assert json.loads(response.body)[0] == client


async def test_what_was_told_survives_parking(serve: Any) -> None:
    """
    Before the first request and between two; another connection on the same descriptor has none of it.
    """
    async with serve(names, parks=True, proxy_protocol=SPEC) as server:
        client, fresh, plain = [await server.client() for _ in range(3)]
        await fresh.send(write_v2(SIX))
        await client.send(write_v1(FOUR) + GET)
        await plain.send(write_v1(None) + GET)
        await client.response()
        await plain.response()
        for _ in range(2):
            server.pass_time(3.0)
            await server.until(lambda: server.site.parked_count == 3)
            for each, told in (
                (client, ["203.0.113.9", 4711]),
                (fresh, ["2001:db8::9", 4711]),
                (plain, list(plain.sock.getsockname())),
            ):
                await each.send(GET)
                assert json.loads((await each.response()).body)[0] == told
        client.sock.close()
        fresh.sock.close()
        await server.until(lambda: server.site.connection_count == 1)
        assert server.lot._told == {}


async def test_drain_waits_for_a_header(serve: Any) -> None:
    """
    The connection was accepted, so its request is ours to answer; but not if the header never comes.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client, silent = [await server.client() for _ in range(2)]
        await server.until(lambda: server.site.connection_count == 2)
        server.site.begin_drain(1.0)
        empty = asyncio.create_task(server.site.wait_empty())
        await client.send(write_v1(FOUR))
        await asyncio.sleep(0.01)
        await client.send(GET)
        response = await client.response()
        assert response.headers["connection"] == "close"
        assert json.loads(response.body)[0] == ["203.0.113.9", 4711]
        assert not empty.done()
        server.pass_time(4.0)
        await asyncio.wait_for(empty, 10.0)
        await silent.rest()


async def test_stop_waits_less(serve: Any) -> None:
    """
    A spare connection must not hold a Ctrl-C up.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        await server.until(lambda: server.site.connection_count == 1)
        server.site.begin_drain(0.0, 1.0)
        server.pass_time(1.5)
        await asyncio.wait_for(server.site.wait_empty(), 10.0)
        assert await client.rest() == b""


async def test_accepting_goes_on_when_there_are_descriptors_again(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Without a busy loop, and with a line in the log.
    """
    async with serve(names, proxy_protocol=SPEC) as server:
        client = await server.client()
        other = socket.socket()
        other.setblocking(False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (other.fileno(), limits[1]))
        try:
            await server.until(lambda: server.site.connection_count == 1)
            with pytest.raises(BlockingIOError):
                other.connect(server.address)
            await server.until(lambda: "cannot accept connections: Too many open files" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(other, write_v1(FOUR) + GET)
        assert b"203.0.113.9" in await asyncio.wait_for(loop.sock_recv(other, 65536), 30.0)
        other.close()
        client.sock.close()
