"""What HTTP asks of a proxy, with raw clients and raw servers; the heads by themselves are in the tests of heads."""

# ruff: noqa: E501 (a message is one line, however long: it is read against its neighbours)

import asyncio
import socket
from typing import Any

import pytest

from penstock.worker.gateway.terms import TermsSpec
from penstock.worker.spec import ProxiesSpec
from tests.worker.gateway.conftest import Backend, Passing, Script, Visit
from tests.worker.http.conftest import Client

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello"


async def hello(visit: Visit) -> None:
    """Answer every request in the same words."""
    while True:
        await visit.head()
        await visit.say(HELLO)


def says(*words: bytes, again: bool = False) -> Script:
    """Make a script that answers with these bytes, one read after the other, and then listens, or goes on."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            for word in words:
                await visit.say(word)
                await asyncio.sleep(0)
            if not again:
                await visit.reader.read()
                return

    return script


async def connect_from(gateway: Passing, address: str) -> Client:
    """Connect from another address of this machine."""
    sock = socket.socket()
    sock.bind((address, 0))
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, gateway.address)
    client = Client(sock)
    gateway.clients.append(client)
    return client


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"GET http://a HTTP/1.1", b"GET / HTTP/1.1"),
        (b"GET http://a?b HTTP/1.1", b"GET /?b HTTP/1.1"),
        (b"GET HTTP://A/b%20c?d=/e HTTP/1.1", b"GET /b%20c?d=/e HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS * HTTP/1.1"),
        (b"OPTIONS http://a HTTP/1.1", b"OPTIONS * HTTP/1.1"),
        (b"TRACE /a HTTP/1.1", b"TRACE /a HTTP/1.1"),
        (b"GET //b/.c;d HTTP/1.1", b"GET //b/.c;d HTTP/1.1"),
        (b"GET http://b/ HTTP/1.1", 400),  # another site than Host
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"CONNECT a:80 HTTP/1.1", 501),
        (b"CONNECT / HTTP/1.1", 501),
        (b"GET * HTTP/1.1", 400),
    ],
)
async def test_which_target_is_asked_for(passing: Any, line: bytes, answer: bytes | int) -> None:
    """
    In origin form, or not at all.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        response = await gateway.ask(line + b"\r\nHost: a\r\n\r\n")
    if isinstance(answer, int):
        assert (response.status, backend.requests) == (answer, [])
    else:
        assert response.status == 200
        assert backend.requests[0].startswith(answer + b"\r\n")


async def test_a_request_that_is_to_go_no_further(passing: Any) -> None:
    """
    It is answered here, also when nothing is up behind; one that may go on is counted down.
    """
    last = b" /a?b HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nMax-Forwards: 0\r\n\r\n"
    async with passing("127.0.0.1:1") as gateway:
        client = await gateway.client()
        for _ in range(3):
            await client.send(b"TRACE" + last)
            response = await client.response()
            assert (response.status, response.headers["content-type"]) == (200, "message/http")
            assert response.body == b"TRACE /a?b HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n"
            await client.send(b"OPTIONS" + last)
            response = await client.response()
            assert (response.status, response.body) == (200, b"")
            assert "GET" in response.headers["allow"]
        await client.send(b"GET" + last)
        assert (await client.response()).status == 502
    backend = Backend(hello)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for method in (b"GET", b"GET", b"GET", b"OPTIONS", b"GET"):
            await client.send(method + b" / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n")
            await client.response()
    assert [b"max-forwards: 4\r\n" in request for request in backend.requests] == [False] * 3 + [True, False]


async def test_a_request_that_goes_in_circles(passing: Any) -> None:
    """
    It ends after some turns, and costs no connection.
    """
    backend = Backend(hello)
    via = b"Via: " + b", ".join([b"1.1 penstock"] * 10) + b"\r\n"
    async with passing(backend) as gateway:
        await gateway.ask(GET)
        for _ in range(3):
            response = await gateway.ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + via + b"\r\n")
            assert response.status == 508
        assert gateway.upstream.pools[0].idle_count == 1
        assert (await gateway.ask(GET)).body == b"hello"
    assert len(backend.visits) == 1


async def test_a_gateway_before_itself(passing: Any) -> None:
    """
    The circle of a wrong config file: an answer instead of a storm.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:

        async def around(visit: Visit) -> None:
            reader, writer = await asyncio.open_connection(*gateway.address)
            try:
                writer.write(await visit.head())
                await visit.say(await reader.readuntil(b"\r\n\r\n"))
                await visit.say(await reader.readuntil(b"\n"))
            finally:
                writer.close()

        backend.script = around
        response = await gateway.ask(GET)
        assert response.status == 508
    assert len(backend.requests) == 10


async def test_proxies_that_are_trusted_are_added_to_what_they_say(passing: Any) -> None:
    """
    And what is remembered for one is not said for another, nor of somebody who is none.
    """
    backend = Backend(hello)
    proxies = ProxiesSpec(trusted=("127.0.0.1", "127.0.0.2"))
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        b"X-Real-IP: 192.0.2.7\r\n\r\n"
    )
    async with passing(backend, proxies=proxies, terms=TermsSpec(forwarded="both")) as gateway:
        clients = [await connect_from(gateway, f"127.0.0.{last}") for last in (1, 2, 3)]
        for _ in range(4):
            for client in clients:
                await client.send(request)
                await client.response()
    for number, seen in enumerate(backend.requests):
        last = number % 3 + 1
        if last == 3:
            assert b"x-forwarded-for: 127.0.0.3\r\nx-forwarded-proto: http\r\n" in seen
            assert b"x-real-ip" not in seen
            assert b"forwarded: for=127.0.0.3;host=a;proto=http\r\n" in seen
        else:
            assert (
                b"x-forwarded-for: 6.6.6.6, 192.0.2.7, 127.0.0.%d\r\nx-forwarded-proto: https\r\n" % last
                in seen
            )
            assert b"x-real-ip: 192.0.2.7\r\n" in seen
            assert (
                b"forwarded: for=192.0.2.7;proto=https, for=127.0.0.%d;host=a;proto=http\r\n" % last in seen
            )


async def test_each_server_is_asked_by_its_own_name(passing: Any) -> None:
    """
    Also when the headers come again and are remembered.
    """
    backends = Backend(hello), Backend(hello)
    async with passing(*backends, balance="round_robin", terms=TermsSpec(host="upstream")) as gateway:
        client = await gateway.client()
        for _ in range(10):
            await client.send(GET)
            await client.response()
    for backend in backends:
        assert len(backend.requests) == 5
        assert all(b"\r\nhost: 127.0.0.1:%d\r\n" % backend.port in request for request in backend.requests)


async def test_a_client_of_http_10(passing: Any) -> None:
    """
    It gets no chunks and no interim responses, and its connection is kept if it asks for that.
    """
    chunked = b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    backend = Backend(says(chunked, b"0\r\nX: y\r\n\r\n", again=True))
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(b"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n")
        received = await client.rest()
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"\r\ntransfer-encoding" not in received.lower()
        assert received.endswith(b"\r\n\r\nhello")
        backend.script = hello
        for pool in gateway.upstream.pools:
            pool.tick(gateway.site.now_s + 60)
        client = await gateway.client()
        for _ in range(3):
            await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = await client.response()
            assert (response.body, response.headers["connection"]) == (b"hello", "keep-alive")
    assert f"\r\nhost: 127.0.0.1:{backend.port}\r\n".encode() in backend.requests[0]
    assert b"via: 1.0 penstock\r\n" in backend.requests[0]


async def test_a_server_of_http_10(passing: Any) -> None:
    """
    Its body ends with its connection, and is chunked for a client that keeps its own.
    """
    old = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"

    async def script(visit: Visit) -> None:
        await visit.head()
        if visit.number:
            await visit.say(old + b"Content-Length: 5\r\n\r\nhello")
            await visit.reader.read()
        else:
            await visit.say(old + b"\r\nhel")
            await visit.say(b"lo")

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for number in range(3):
            await client.send(GET)
            response = await client.response()
            assert (response.body, response.headers["via"]) == (b"hello", "1.0 penstock")
            assert ("transfer-encoding" in response.headers) == (number == 0)
    assert len(backend.visits) == 3  # It has no keep-alive that one could rely on.


@pytest.mark.parametrize("wants", [True, False])
@pytest.mark.parametrize("is_split", [True, False])
async def test_trailers_for_those_who_asked(passing: Any, wants: bool, is_split: bool) -> None:
    """
    After the body, never among the headers.
    """
    words = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"0\r\nX-Sum: 1\r\nHost: b\r\n\r\n",
    ]
    backend = Backend(says(*(words if is_split else [b"".join(words)]), again=True))
    async with passing(backend) as gateway:
        client = await gateway.client()
        te = b"Connection: TE\r\nTE: trailers\r\n" if wants else b""
        for _ in range(3):
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + te + b"\r\n")
            head = await client.until(b"\r\n\r\n")
            assert b"x-sum" not in head.lower()
            if wants:
                await client.until(b"hello\r\n0\r\nX-Sum: 1\r\n\r\n")
            elif b"chunked" in head:
                await client.until(b"hello\r\n0\r\n\r\n")
            else:
                await client.until(b"hello")
            assert not client.received


async def test_every_interim_response_but_100_is_passed_on(passing: Any) -> None:
    """
    Nobody asked the server for a 100; a client would take it for ours.
    """
    words = b"".join(b"HTTP/1.1 %d X\r\nA: b\r\n\r\n" % each for each in (100, 102, 103, 104))
    async with passing(Backend(says(words + HELLO))) as gateway:
        client = await gateway.client()
        await client.send(GET)
        for status in (102, 103, 104):
            response = await client.response()
            assert (response.status, response.headers) == (status, {"A": "b", "via": "1.1 penstock"})
        assert (await client.response()).body == b"hello"


async def test_a_final_answer_instead_of_a_hundred_leaves_no_connection_in_doubt(passing: Any) -> None:
    """
    The server answers before the body; whoever comes next has nothing of it.
    """

    async def script(visit: Visit) -> None:
        while b"POST" not in await visit.head():
            await visit.say(HELLO)
        await visit.say(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        await visit.reader.read()

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        await client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body) == (401, b"no")
        await client.send(b"GET /x HTT")  # of the body, as it said
        if "connection" not in response.headers:
            await client.send(GET)
            assert (await client.response()).body == b"hello"
        await gateway.until(lambda: gateway.upstream.pools[0].open_count <= 1)
        assert (await gateway.ask(GET)).body == b"hello"
    assert not any(b"/x" in request for request in backend.requests)


@pytest.mark.parametrize("size", [10_000, 50_000_000])
async def test_an_answer_while_the_body_still_comes(passing: Any, size: int) -> None:
    """
    The client reads it whether it goes on sending or not; a little of that is thrown away, a lot is cut.
    """

    async def script(visit: Visit) -> None:
        if b"POST" not in await visit.head():
            await visit.say(HELLO)
            return
        await visit.reader.readexactly(100)
        await visit.say(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
        while await visit.reader.read(100_000):
            pass

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(100))
        response = await client.response()
        assert (response.status, response.body) == (413, b"no")
        if size == 10_000:
            await client.send(bytes(size - 100) + GET)
            assert (await client.response()).body == b"hello"
        else:
            assert response.headers["connection"] == "close"
            assert await client.rest() in {b"", b"<reset>"}
        await gateway.until(lambda: gateway.upstream.pools[0].open_count <= 1)


@pytest.mark.parametrize("surplus", [b"!", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"\0\r\n\r\n"])
async def test_what_follows_a_response_reaches_nobody(passing: Any, surplus: bytes) -> None:
    """
    Neither this client nor the next one.
    """
    backend = Backend(says(HELLO + surplus))
    async with passing(backend) as gateway:
        client = await gateway.client()
        for _ in range(4):
            await client.send(GET)
            response = await client.response()
            assert (response.status, response.body) == (200, b"hello")
        assert not client.received
    assert len(backend.visits) == 4


async def test_a_body_behind_the_answer_to_head_reaches_nobody(passing: Any) -> None:
    """
    Some servers send one all the same.
    """
    backend = Backend(says(HELLO))
    async with passing(backend) as gateway:
        client = await gateway.client()
        for _ in range(3):
            await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.response(to_head=True)).headers["content-length"] == "5"
        assert not client.received
    assert len(backend.visits) == 3


async def test_bodies_of_any_method(passing: Any) -> None:
    """
    A GET may have one, and a POST none.
    """

    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            if b"content-length: 2" in head:
                assert await visit.reader.readexactly(2) == b"hi"
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for words in (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            await client.send(words)
            assert (await client.response()).body == b"hello"
    lengths = [request.count(b"content-length: ") for request in backend.requests]
    assert lengths == [1, 1, 1, 0]


async def test_a_date_that_is_ours_goes_on(passing: Any) -> None:
    """
    What was made of a head without one is remembered, but not for ever.
    """
    async with passing(Backend(says(HELLO.replace(b"Date: today\r\n", b""), again=True))) as gateway:
        client = await gateway.client()
        pool = gateway.upstream.pools[0]
        for _ in range(2):
            for _ in range(3):
                await client.send(GET)
                assert "date" in (await client.response()).headers
            assert pool.known
            pool.tick(gateway.site.now_s)
            assert not pool.known


@pytest.mark.parametrize("piece", [1, 3])
async def test_byte_by_byte(passing: Any, piece: int) -> None:
    """
    Nothing depends on how bytes are cut on the way, on either side.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        assert await visit.reader.readuntil(b"0\r\n\r\n")
        words = b"HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        for at in range(0, len(words), piece):
            await visit.say(words[at : at + piece])
            await asyncio.sleep(0)

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            piece=piece,
        )
        assert (await client.response()).status == 103
        assert (await client.response()).body == b"hello"
