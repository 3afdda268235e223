"""
Neither side is read faster than the other takes: what waits in the process is counted.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.worker.limits import PASSAGE_BYTES_MAX, SLUICES_MAX, WRITE_HIGH_WATER_BYTES
from tests.worker.gateway.conftest import Backend, Script, Visit, outcome

GET = b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PIECE = bytes(range(256)) * 400
SIZE = len(PIECE) * 300  # 30 MB, more than the sockets on the way can hold
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE


def sends(visit_count: Callable[[int], None], *, is_chunked: bool) -> Script:
    """Make a server that answers with more than a client takes, and tells how much is out."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            if is_chunked:
                await visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            else:
                await visit.say(COUNTED)
            for _ in range(SIZE // len(PIECE)):
                await visit.say(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE)
                visit_count(len(PIECE))
            if is_chunked:
                await visit.say(b"0\r\n\r\n")

    return script


async def steady(gateway: Any, value: Callable[[], int]) -> None:
    """Wait until a number that grows grows no more."""
    for _ in range(3):
        before = -1

        def is_same() -> bool:
            nonlocal before
            same, before = value() == before and before > 0, value()
            return same

        await asyncio.sleep(0.03)
        await gateway.until(is_same)


def waiting(gateway: Any) -> tuple[int, int]:
    """Tell how much lies in this process on its way to clients, and to servers."""
    links = [link for pool in gateway.upstream.pools for link in pool._links]
    connections = gateway.site._connections
    return (
        sum(each.transport.get_write_buffer_size() for each in connections),
        sum(each.transport.get_write_buffer_size() for each in links)
        + sum(len(each.inbox.body) for each in gateway.site.exchanges() if each.inbox is not None),
    )


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_client_that_takes_nothing_stops_its_server(passing: Any, is_chunked: bool) -> None:
    """
    What waits here stays below its limit, and when the client takes it nothing is missing.
    """
    said = 0

    def count(size: int) -> None:
        nonlocal said
        said += size

    async with passing(Backend(sends(count, is_chunked=is_chunked))) as gateway:
        client = await gateway.client()
        for turn in range(2):
            await client.send(GET)
            await gateway.until(lambda turn=turn: said > turn * SIZE)
            await steady(gateway, lambda: said)
            assert said < (turn + 1) * SIZE
            assert waiting(gateway)[0] <= PASSAGE_BYTES_MAX
            got = await outcome(client)
            assert got.is_whole
            assert got.body == PIECE * (SIZE // len(PIECE))
        assert len(gateway.upstream.pools[0]._links) == 1


async def test_a_server_that_takes_nothing_stops_its_client(passing: Any) -> None:
    """
    The other way round: the client is not read from, and then its body is passed on whole.
    """
    gate = asyncio.Event()
    received = 0

    async def script(visit: Visit) -> None:
        nonlocal received
        await visit.head()
        await gate.wait()
        while received < SIZE:
            received += len(await visit.reader.read(1 << 20))
        await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend) as gateway:
        client = await gateway.client()
        sent = 0

        async def upload() -> None:
            nonlocal sent
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // len(PIECE)):
                await client.send(PIECE)
                sent += len(PIECE)

        uploading = asyncio.ensure_future(upload())
        await steady(gateway, lambda: sent)
        assert sent < SIZE
        assert 0 < waiting(gateway)[1] <= PASSAGE_BYTES_MAX
        gate.set()
        assert (await outcome(client)).body == b"hello"
        await uploading
        assert received == SIZE


async def test_a_body_that_comes_before_its_server_is_there_waits_within_bounds(passing: Any) -> None:
    """
    Queued requests keep no more of their bodies than others.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            await gate.wait()
            if b"POST" in head:
                await visit.reader.readexactly(SIZE)
            await visit.say(HELLO)

    backend = Backend(script)
    async with passing(backend, connections_max=1) as gateway:
        first, second = await gateway.client(), await gateway.client()
        await first.send(GET)
        await gateway.until(lambda: backend.requests)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
        uploading = asyncio.ensure_future(second.send(head + bytes(SIZE)))
        await gateway.until(lambda: waiting(gateway)[1] >= WRITE_HIGH_WATER_BYTES)
        await steady(gateway, lambda: waiting(gateway)[1])
        assert waiting(gateway)[1] <= PASSAGE_BYTES_MAX
        gate.set()
        assert (await outcome(first)).body == b"hello"
        assert (await outcome(second)).body == b"hello"
        await uploading


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_client_that_takes_nothing_is_given_up_and_so_is_its_link(
    passing: Any, is_chunked: bool
) -> None:
    """
    It holds its place in the pool no longer than its own deadline for taking something.
    """
    said = 0

    def count(size: int) -> None:
        nonlocal said
        said += size

    backend = Backend(sends(count, is_chunked=is_chunked))
    async with passing(backend, connections_max=1, limits={"send_timeout_s": 20.0}) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await steady(gateway, lambda: said)
        assert gateway.upstream.pools[0].busy_count == 1
        gateway.pass_time(15)
        assert gateway.upstream.pools[0].busy_count == 1
        gateway.pass_time(30)
        await gateway.until(gateway.is_clean)
        got = await outcome(client)
        assert not got.is_whole


async def test_a_client_that_takes_a_little_now_and_then_is_served(passing: Any) -> None:
    """
    Slow is not silent: each look at the clock finds something taken, and the server waits for it.
    """
    said = 0

    def count(size: int) -> None:
        nonlocal said
        said += size

    async with passing(
        Backend(sends(count, is_chunked=False)), idle_response_timeout_s=5.0, limits={"send_timeout_s": 5.0}
    ) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        total = len(client.received)
        for _ in range(5):
            await steady(gateway, lambda: said)
            gateway.pass_time(4)
            # More than a window, or the client's kernel does not tell ours.
            taken = 0
            while taken < 4_000_000:
                client.received = b""
                await client._more()
                taken += len(client.received)
            total += taken
        client.received = b""
        while total < SIZE:
            await client._more()
            total += len(client.received)
            client.received = b""
        assert total == SIZE


async def test_long_bodies_come_whole_whoever_else_is_under_way(passing: Any) -> None:
    """
    More of them at once than go past Python, with lengths around every border; the links are used again.
    """
    sizes = [500_000, 524_288, 600_000, 1_000_000, 1_300_001, 2_097_152]

    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            size = int(head.split(b"/")[1].split()[0])
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            body = (PIECE * (size // len(PIECE) + 1))[:size]
            for at in range(0, size, 77_777):
                await visit.say(body[at : at + 77_777])

    backend = Backend(script)
    async with passing(backend) as gateway:

        async def ask(index: int) -> None:
            client = await gateway.client()
            for each in range(2):
                size = sizes[(index + each) % len(sizes)]
                await client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
                got = await outcome(client)
                assert got.is_whole
                assert got.body == (PIECE * (size // len(PIECE) + 1))[:size]

        await asyncio.gather(*(ask(index) for index in range(SLUICES_MAX + 10)))
        assert len(backend.visits) <= SLUICES_MAX + 10


@pytest.mark.parametrize("end", ["closes", "resets", "sleeps", "says more"])
async def test_a_long_body_that_goes_wrong(passing: Any, end: str) -> None:
    """
    Past Python as well as through it: cut off, never passed off as whole; what is too much is thrown away.
    """
    sleeps = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
        await visit.say(bytes(2_000_000))
        if end == "says more":
            await visit.say(bytes(1_000_000) + HELLO)
        elif end == "resets":
            await asyncio.sleep(0.02)
            await visit.reset()
        if end in {"sleeps", "says more"}:
            sleeps.set()
            await visit.reader.read()

    async with passing(Backend(script), retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        reading = asyncio.ensure_future(outcome(client))
        if end == "sleeps":
            await sleeps.wait()
            [exchange] = gateway.site.exchanges()
            await gateway.until(lambda: exchange.framing.left == 1_000_000)
            gateway.pass_time(62)
        got = await reading
        assert got.status == 200
        assert got.is_whole == (end == "says more")
        if end == "says more":
            assert got.body == bytes(3_000_000)
        await gateway.until(lambda: not gateway.upstream.pools[0].open_count)


async def test_what_a_client_asks_ahead_waits_for_a_long_body(passing: Any) -> None:
    """
    Responses stay in order, whoever writes them.
    """

    async def script(visit: Visit) -> None:
        while True:
            head = await visit.head()
            if b"/long" in head:
                await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
                for _ in range(3):
                    await visit.say(bytes(1_000_000))
            else:
                await visit.say(HELLO)

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send((GET.replace(b"/x", b"/long") + GET) * 3)
        for _ in range(3):
            assert (await outcome(client)).body == bytes(3_000_000)
            assert (await outcome(client)).body == b"hello"
