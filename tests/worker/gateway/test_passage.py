"""Requests through the gateway: the usual ones, and servers and clients that misbehave."""

import asyncio
import re
import time
from typing import Any

import pytest

from penstock.worker.gateway.rules import RetryRules
from tests.worker.gateway.conftest import Backend, Script, Visit

GET = b"GET /x?a=1 HTTP/1.1\r\nHost: shop\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nServer: behind\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello"


async def hello(visit: Visit) -> None:
    """Answer every request in the same words."""
    while True:
        await visit.head()
        await visit.say(HELLO)


def says(*words: bytes) -> Script:
    """Make a script that answers each connection's request with these bytes, and then closes."""

    async def script(visit: Visit) -> None:
        await visit.head()
        for word in words:
            await visit.say(word)
            await asyncio.sleep(0.01)

    return script


async def test_request_and_response_are_the_same_at_the_other_end(passing: Any) -> None:
    """
    But for what concerns a hop, and for what says that there was one.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for _ in range(4):  # The first is read with care, the later ones are remembered.
            await client.send(
                b"GET /x?a=%20b HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nConnection: keep-alive, X-Hop\r\n"
                b"X-Hop: 2\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nX-Under_Score: 3\r\n"
                b"X-Forwarded-For: 6.6.6.6\r\n\r\n"
            )
            response = await client.response()
            assert response.status == 200
            assert response.body == b"hello"
            assert response.headers["Server"] == "behind"
            assert response.headers["Date"] == "today"
            assert response.headers["via"] == "1.1 penstock"
    assert len(backend.visits) == 1
    for request in backend.requests:
        assert request == (
            b"GET /x?a=%20b HTTP/1.1\r\nx-one: 1\r\nhost: shop\r\nx-forwarded-for: 127.0.0.1\r\n"
            b"x-forwarded-proto: http\r\nx-forwarded-host: shop\r\nvia: 1.1 penstock\r\n"
            b"te: trailers\r\nconnection: te\r\n\r\n"
        )


async def test_nobody_can_have_our_headers_taken_off(passing: Any) -> None:
    """
    What Connection names goes before ours come.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        request = (
            GET[:-2] + b"Connection: X-Forwarded-For, Via, X-Forwarded-Proto, Host\r\nVia: 1.0 a\r\n\r\n"
        )
        await gateway.ask(request)
    [request] = backend.requests
    assert b"x-forwarded-for: 127.0.0.1\r\n" in request
    assert b"via: 1.1 penstock\r\n" in request
    assert b"host: shop\r\n" in request


@pytest.mark.parametrize("size", [1, 1000, 70_000, 900_000])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_bodies_both_ways(passing: Any, size: int, is_chunked: bool) -> None:
    """
    Of any length, counted or chunked, whole or in pieces.
    """
    body = bytes(index % 251 for index in range(size))

    async def echo(visit: Visit) -> None:
        head = await visit.head()
        if b"content-length" in head:
            received = await visit.reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
        else:
            received = b""
            while length := int((await visit.reader.readline()), 16):
                received += await visit.reader.readexactly(length)
                await visit.reader.readline()
            await visit.reader.readline()
        await visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(received), 5000):
            piece = received[at : at + 5000]
            await visit.say(b"%x\r\n%b\r\n" % (len(piece), piece))
        await visit.say(b"0\r\nX-Trailer: 1\r\n\r\n")

    async with passing(Backend(echo)) as gateway:
        client = await gateway.client()
        if is_chunked:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, size, 50_000):
                piece = body[at : at + 50_000]
                await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await client.send(b"0\r\n\r\n")
        else:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        response = await client.response()
        assert response.body == body
        assert "X-Trailer" not in response.headers


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((b"",), 502),  # closes at once
        ((b"HTTP/1.1 200 OK\r\nContent-Le",), 502),  # in the middle of its header
        ((b"garbage\r\n\r\n",), 502),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",), 502),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",), 502),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",), 502),
        ((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",), 502),
        ((b"HTTP/1.1 999 What\r\n\r\n",), 502),
        ((b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",), 502),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",), 502),
        ((b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + HELLO,), 502),  # without end
        ((HELLO + HELLO,), 200),  # the second one was not asked for
        ((HELLO[:10], HELLO[10:50], HELLO[50:]), 200),
        ((b"HTTP/1.0 200 OK\r\n\r\nhel", b"lo"), 200),  # ends with the connection
    ],
)
async def test_whatever_a_server_says(passing: Any, words: tuple[bytes, ...], status: int) -> None:
    """
    The client gets one answer that makes sense, and the next request is on a clean connection.
    """
    backend = Backend(says(*words))
    async with passing(backend, retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        while (response := await client.response()).status == 103:
            pass
        assert response.status == status
        if status == 200:
            assert response.body == b"hello"
        backend.script = hello
        await client.send(GET)
        assert (await client.response()).body == b"hello"
        assert client.received == b""


@pytest.mark.parametrize(
    "words",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zz\r\n"),
    ],
)
async def test_a_body_that_is_cut_off_is_never_passed_off_as_whole(
    passing: Any, words: tuple[bytes, ...]
) -> None:
    """
    The client sees that something is missing.
    """
    async with passing(Backend(says(*words))) as gateway:
        client = await gateway.client()
        await client.send(GET)
        received = await client.rest()
        assert b"200 OK" in received
        assert not received.endswith(b"0\r\n\r\n")


async def test_a_server_that_is_not_there(passing: Any) -> None:
    """
    Another one is asked; if there is none, it is a 502.
    """
    backend = Backend(hello)
    async with passing("127.0.0.1:1", backend) as gateway:
        for _ in range(4):
            assert (await gateway.ask(GET)).body == b"hello"
    async with passing("127.0.0.1:1") as gateway:
        assert (await gateway.ask(GET)).status == 502
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
        assert (await gateway.ask(post)).status == 502


async def test_a_server_that_never_answers(passing: Any) -> None:
    """
    The client has a 504 in time.
    """

    async def sleep(visit: Visit) -> None:
        await visit.head()
        await visit.reader.read()

    backend = Backend(sleep)
    async with passing(backend, retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await gateway.until(lambda: backend.requests)
        gateway.pass_time(31)
        assert (await client.response()).status == 504


async def test_a_connection_that_went_stale_is_no_failure(passing: Any) -> None:
    """
    A server may close an idle connection just when the next request is on its way.
    """
    turns = 0

    async def once(visit: Visit) -> None:
        nonlocal turns
        await visit.head()
        await visit.say(HELLO)
        await visit.head()
        turns += 1
        if visit.number == 0:
            return  # It had closed before it saw this one.
        await visit.say(HELLO)

    backend = Backend(once)
    async with passing(backend, retry_attempts=0) as gateway:
        client = await gateway.client()
        for _ in range(2):
            await client.send(GET)
            assert (await client.response()).body == b"hello"
        assert turns == 1
        assert len(backend.visits) == 2


POST_EMPTY = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"
POST_SHORT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
PUT_SHORT = POST_SHORT.replace(b"POST", b"PUT")
PUT_LONG = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
ONCE = RetryRules()
AGAIN = RetryRules(non_idempotent=True)


@pytest.mark.parametrize("idle_s", [0.0, 2.0])
@pytest.mark.parametrize(
    ("request_bytes", "rules", "is_once"),
    [
        (POST_EMPTY, ONCE, True),
        (POST_EMPTY, AGAIN, False),
        (POST_SHORT, ONCE, True),
        (POST_SHORT, AGAIN, False),
        (PUT_SHORT, ONCE, False),
        (PUT_LONG, ONCE, True),
    ],
    ids=["POST", "POST again", "short POST", "short POST again", "short PUT", "long PUT"],
)
async def test_what_may_not_be_sent_twice_needs_a_connection_that_was_used_lately(
    passing: Any, idle_s: float, request_bytes: bytes, rules: RetryRules, is_once: bool
) -> None:
    """
    The server may be closing it just then, and nobody would know what became of the request.
    """

    async def script(visit: Visit) -> None:
        while True:
            length = re.search(rb"content-length: (\d+)", (await visit.head()).lower())
            await visit.reader.readexactly(int(length[1]) if length else 0)
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend, retries=rules) as gateway:
        for each in (GET, GET, request_bytes):
            assert (await gateway.ask(each)).body == b"hello"
            for link in gateway.upstream.pools[0].idle:
                link.idle_since_s = time.monotonic() - idle_s
    assert len(backend.visits) == 1 + (is_once and idle_s > 0)


async def test_what_is_not_idempotent_is_asked_once(passing: Any) -> None:
    """
    Nobody is charged twice.
    """
    backend = Backend(says(b""))
    async with passing(backend, retry_attempts=3) as gateway:
        assert (await gateway.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")).status == 502
        assert len(backend.requests) == 1
        assert (await gateway.ask(GET)).status == 502
        assert len(backend.requests) == 1 + 4


async def test_interim_responses_are_passed_on(passing: Any) -> None:
    """
    Early hints, more than one.
    """
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n"
    async with passing(Backend(says(early + early, early + HELLO))) as gateway:
        client = await gateway.client()
        await client.send(GET)
        for _ in range(3):
            hints = await client.response()
            assert (hints.status, hints.headers) == (103, {"Link": "</a.css>", "via": "1.1 penstock"})
        assert (await client.response()).body == b"hello"


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"HEAD"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", b"GET"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET"),
    ],
)
async def test_responses_without_a_body(passing: Any, head: bytes, method: bytes) -> None:
    """
    They end with their head, whatever length it tells of, and the connection goes on.
    """

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await visit.say(head)

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for _ in range(3):
            await client.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            response = await client.response(to_head=True)
            assert response.status == int(head.split()[1])
            assert response.headers.get("content-length") == ("500" if b"500" in head else None)
        assert len(backend.visits) == 1


async def test_expectations_are_met_here(passing: Any) -> None:
    """
    The client is told to go on when there is somebody to send its body to.
    """

    async def script(visit: Visit) -> None:
        head = await visit.head()
        assert b"expect" not in head
        assert await visit.reader.readexactly(2) == b"hi"
        await visit.say(HELLO)

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        assert (await client.response()).body == b"hello"


async def test_an_answer_before_the_whole_request(passing: Any) -> None:
    """
    It reaches the client, and the connection to the server is not used again.
    """
    backend = Backend(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"))
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin")
        response = await client.response()
        assert (response.status, response.body) == (413, b"no")
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)


@pytest.mark.parametrize("when", ["before", "connecting", "asked", "answering"])
async def test_a_client_that_leaves(passing: Any, when: str) -> None:
    """
    At whatever moment: nothing is left lent, and nobody works for nobody.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        if when == "answering":
            await visit.say(HELLO[:-2])
        gate.set()
        await visit.reader.read()

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        if when == "before":
            await client.send(GET[:10])
        elif when == "connecting":
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123")
        else:
            await client.send(GET)
            await gate.wait()
        client.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # a reset
        client.sock.close()
        gateway.clients.clear()
        await gateway.until(lambda: not gateway.site.connection_count)
        await gateway.until(gateway.is_clean)


async def test_requests_wait_for_a_connection_and_not_for_ever(passing: Any) -> None:
    """
    One connection, three requests, room for one to wait: one is refused at once, one in time.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend, connections_max=1, queue_max=1, queue_timeout_s=1.0) as gateway:
        clients = [await gateway.client() for _ in range(3)]
        for client in clients:
            await client.send(GET)
            await gateway.until(lambda: gateway.upstream.pools[0].busy_count >= 1)
        refused = await clients[2].response()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        gateway.pass_time(2)
        assert (await clients[1].response()).status == 503
        await clients[1].send(GET)
        gate.set()
        assert (await clients[0].response()).body == b"hello"
        assert (await clients[1].response()).body == b"hello"
        assert len(backend.visits) == 1


async def test_neither_side_is_read_faster_than_the_other_takes(passing: Any) -> None:
    """
    A client that reads nothing makes the server wait, and memory stays bounded.
    """
    sent = 0

    async def script(visit: Visit) -> None:
        nonlocal sent
        await visit.head()
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            await visit.say(bytes(100_000))
            sent += 100_000

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(GET)
        before = -1

        def is_steady() -> bool:
            nonlocal before
            same, before = sent == before and sent > 0, sent
            return same

        for _ in range(3):
            await asyncio.sleep(0.05)
            await gateway.until(is_steady)
        assert sent < 30_000_000  # socket buffers on the way, and no more
        size = len(await client.until(b"\r\n\r\n"))
        assert size
        total = len(client.received)
        client.received = b""
        while total < 100_000_000:
            await client._more()
            total += len(client.received)
            client.received = b""
        assert total == 100_000_000


async def test_the_pool_closes_what_is_idle(passing: Any) -> None:
    """
    Before the server does, so that requests do not meet a closing door.
    """
    async with passing(Backend(hello), idle_timeout_s=4.0) as gateway:
        await gateway.ask(GET)
        pool = gateway.upstream.pools[0]
        assert (pool.open_count, pool.idle_count) == (1, 1)
        gateway.pass_time(6)
        await gateway.until(lambda: pool.open_count == 0)
        assert pool.idle_count == 0


async def test_pipelined_requests_are_answered_in_order(passing: Any) -> None:
    """
    One after the other, over as few connections.
    """

    async def number(visit: Visit) -> None:
        while True:
            head = await visit.head()
            path = head.split(b" ")[1]
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    backend = Backend(number)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % each for each in range(50)))
        for each in range(50):
            assert (await client.response()).body == b"/%d" % each
        assert len(backend.visits) == 1
