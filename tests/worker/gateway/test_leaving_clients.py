"""
Clients that disappear, at each step and in each way: nobody works for nobody, and nothing is left.
"""

import asyncio
import socket
from typing import Any

import pytest

from tests.worker.gateway.conftest import RESET, Backend, Visit, outcome

GET = b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n"
UPLOAD = b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n"

STEPS = {
    "in its head": GET[:10],
    "while a body is expected": UPLOAD,
    "in its body": UPLOAD + bytes(300_000),
    "asked": GET,
    "asked twice": GET + GET,
    "answered in part": GET,
    "answered with more than it takes": GET,
}


async def hello(visit: Visit) -> None:
    """Answer every request."""
    while True:
        await visit.head()
        await visit.say(HELLO)


def leave(client: Any, *, with_reset: bool) -> None:
    """Be gone."""
    if with_reset:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.sock.close()


@pytest.mark.parametrize("with_reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_client_that_leaves(passing: Any, step: str, with_reset: bool) -> None:
    """
    Its server is let go of, the pool has its place back, and the next client is served.
    """
    reached = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        if step == "answered in part":
            await visit.say(HELLO[:-2])
        reached.set()
        if step == "answered with more than it takes":
            await visit.say(LARGE)
            while True:
                await visit.say(bytes(100_000))
        while await visit.reader.read(65536):
            pass

    backend = Backend(script)
    async with passing(backend, connections_max=1, retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(STEPS[step])
        if step == "in its head":
            await gateway.until(lambda: gateway.site.active_count)
        else:
            await reached.wait()
        if "answered" in step:
            await client.until(b"\r\n\r\n")
        if step == "answered with more than it takes":
            await gateway.until(lambda: not gateway.site.connection_count or _is_blocked(gateway))
        leave(client, with_reset=with_reset)
        if (not with_reset and "answered with" not in step) or step == "asked twice":
            # Half of a close looks like all of it, and it may still read; and a client that asks ahead is
            # not read from. So time tells, or a write.
            await asyncio.sleep(0.01)
            await gateway.until(lambda: gateway.pass_time(5) or not gateway.site.connection_count)
        await gateway.until(lambda: not gateway.site.connection_count)
        await gateway.until(gateway.is_clean)
        backend.script = hello
        assert (await gateway.ask(GET)).body == b"hello"


def _is_blocked(gateway: Any) -> bool:
    return any(each.is_write_blocked or (each.pour and each.pour.left) for each in gateway.site._connections)


@pytest.mark.parametrize("with_reset", [True, False], ids=["reset", "closed"])
async def test_a_client_that_leaves_while_a_connection_is_made_for_it(passing: Any, with_reset: bool) -> None:
    """
    The server's kernel does not answer yet; when it does, the connection is for the next one.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            address = f"127.0.0.1:{sock.getsockname()[1]}"
            async with passing(address, retry_attempts=0, connect_timeout_s=0.3) as gateway:
                client = await gateway.client()
                await client.send(GET)
                await gateway.until(lambda: gateway.upstream.pools[0].busy_count)
                leave(client, with_reset=with_reset)
                await gateway.until(gateway.is_clean)


async def test_a_client_that_leaves_the_queue(passing: Any) -> None:
    """
    Its place is free at once, and whoever stands behind it moves up.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend, connections_max=1, queue_max=2) as gateway:
        pool = gateway.upstream.pools[0]
        clients = [await gateway.client() for _ in range(4)]
        for count, client in enumerate(clients[:3], 1):
            await client.send(GET)
            await gateway.until(lambda count=count: pool.busy_count == count)
        leave(clients[1], with_reset=True)
        await gateway.until(lambda: pool.busy_count == 2)
        await clients[3].send(GET)
        await gateway.until(lambda: pool.busy_count == 3)
        gate.set()
        for each in (0, 2, 3):
            assert (await outcome(clients[each])).body == b"hello"
        assert len(backend.requests) == 3


async def test_a_client_that_sends_no_more_may_still_read(passing: Any) -> None:
    """
    Half a close is not the end, whether the answer is short, long or late.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        await asyncio.sleep(0.01)
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
        await visit.say(bytes(3_000_000))

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(GET)
        client.finish()
        got = await outcome(client)
        assert (len(got.body), got.is_whole) == (3_000_000, True)
        assert await client.rest() == b""


async def test_the_connection_of_a_client_that_sends_no_more_ends_with_the_answer(passing: Any) -> None:
    """
    Also when the answer is one that was seen before, and is passed on without a look.
    """
    gate = asyncio.Event()
    gate.set()

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend) as gateway:
        for count in range(1, 4):
            if count > 1:
                gate.clear()
            client = await gateway.client()
            await client.send(GET)
            await gateway.until(lambda count=count: len(backend.requests) == count)
            client.finish()
            await asyncio.sleep(0.01)
            gate.set()
            assert (await outcome(client)).body == b"hello"
            assert await client.rest() == b""


async def test_a_client_that_sends_no_more_in_its_body_has_made_no_request(passing: Any) -> None:
    """
    It is told so, and the server is let go of.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.reader.read()

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(UPLOAD + b"begin")
        await gateway.until(lambda: backend.requests)
        client.finish()
        assert (await outcome(client)).status == 400
        assert await client.rest() == b""
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
