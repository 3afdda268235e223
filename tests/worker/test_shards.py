"""Lent sockets on a real loop: what is accepted, by whom, and what waits."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
import uvloop

from penstock.worker.shards import LentShards, queued_connections

TCP_INFO_SACKED_OFFSET = 28  # of a listening socket: how many may wait

Scenario = Callable[[], Awaitable[None]]


class Sink(asyncio.Protocol):
    """Counts connections, answers what they say, and tells when there are enough."""

    def __init__(self, taken: "Taken") -> None:
        self._taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._taken.count += 1
        self._taken.changed.set()
        self._taken.transports.append(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Taken:
    """The connections that one worker has accepted."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = asyncio.Event()
        self.transports: list[asyncio.Transport] = []
        self.shards = LentShards(lambda: Sink(self), backlog=64, tls=None)

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.count < count:
                self.changed.clear()
                await self.changed.wait()

    async def adopt(self, **socks: socket.socket) -> None:
        fds = {int(name.removeprefix("s")): os.dup(sock.fileno()) for name, sock in socks.items()}
        self.shards.expect(fds)
        await self.shards.adopt(fds)

    def close(self) -> None:
        self.shards.release_all()
        for transport in self.transports:
            transport.abort()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listen(stack: ExitStack) -> Callable[[], socket.socket]:
    """Make a listening socket as the master does, with a port of its own to reach it alone."""

    def listening() -> socket.socket:
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        sock.setblocking(False)
        return sock

    return listening


@pytest.fixture
def connect(stack: ExitStack) -> Callable[[socket.socket], socket.socket]:
    """Connect without letting the loop run: the kernel answers by itself."""

    def connecting(to: socket.socket) -> socket.socket:
        client = stack.enter_context(socket.socket(to.family))
        client.settimeout(10)
        client.connect(to.getsockname())
        client.setblocking(False)
        return client

    return connecting


Listen = Callable[[], socket.socket]
Connect = Callable[[socket.socket], socket.socket]


def run(scenario: Scenario) -> None:
    async def running() -> None:
        await scenario()
        # Closed handles are let go of in the loop's next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(running())


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (counted alike each time)


async def echo(client: socket.socket, said: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        await loop.sock_sendall(client, said)
        return await loop.sock_recv(client, 100)


def test_connections_are_accepted_on_every_adopted_shard(listen: Listen, connect: Connect) -> None:
    """Also those that came before the adoption."""
    one, other = listen(), listen()

    async def scenario() -> None:
        connect(one)
        worker = Taken()
        await worker.adopt(s0=one, s1=other)
        await worker.reach(1)
        connect(other)
        connect(one)
        await worker.reach(3)
        worker.close()

    run(scenario)


def test_a_released_shard_keeps_its_queue_for_whoever_comes_next(listen: Listen, connect: Connect) -> None:
    """Connections that were accepted stay; those that come later wait, and none is refused."""
    sock = listen()

    async def scenario() -> None:
        first, second = Taken(), Taken()
        await first.adopt(s0=sock)
        kept = connect(sock)
        await first.reach(1)

        first.shards.release(0)
        connect(sock)
        connect(sock)
        assert await echo(kept, b"still here") == b"still here"
        assert queued_connections(sock) == 2

        await second.adopt(s0=sock)
        await second.reach(2)
        assert first.count == 1
        first.close()
        second.close()

    run(scenario)


def test_what_was_waiting_when_the_shard_is_released_waits_on(listen: Listen, connect: Connect) -> None:
    """The order to release and a burst of connections in the same turn of the loop."""
    sock = listen()

    async def scenario() -> None:
        first, second = Taken(), Taken()
        await first.adopt(s0=sock)
        for _ in range(10):
            connect(sock)
        first.shards.release(0)
        await second.adopt(s0=sock)
        await second.reach(10 - first.count)
        assert queued_connections(sock) == 0
        first.close()
        second.close()

    run(scenario)


def test_a_release_that_overtakes_the_adoption_wins(listen: Listen, connect: Connect) -> None:
    """Adopting takes a turn of the loop; the master may have changed its mind by then."""
    sock = listen()

    async def scenario() -> None:
        worker = Taken()
        before = open_fds()
        worker.shards.expect([0])
        adoption = asyncio.ensure_future(worker.shards.adopt({0: os.dup(sock.fileno())}))
        worker.shards.release(0)
        await adoption
        connect(sock)
        assert worker.shards.queued() == 0
        assert queued_connections(sock) == 1
        assert open_fds() == before + 1  # the client's

        await worker.adopt(s0=sock)
        await worker.reach(1)
        worker.close()

    run(scenario)


def test_a_shard_that_is_held_already_is_not_adopted_twice(listen: Listen, connect: Connect) -> None:
    """After a hot restart the master may lend again what the worker never gave back."""
    sock = listen()

    async def scenario() -> None:
        worker = Taken()
        await worker.adopt(s0=sock)
        before = open_fds()
        await worker.adopt(s0=sock)
        assert open_fds() == before
        connect(sock)
        await worker.reach(1)
        worker.shards.release(0)
        connect(sock)
        assert queued_connections(sock) == 1
        worker.close()

    run(scenario)


def test_releasing_what_is_not_held_is_no_error() -> None:
    async def scenario() -> None:
        worker = Taken()
        worker.shards.release(7)
        worker.shards.release_all()

    run(scenario)


def test_releasing_everything_closes_every_duplicate(listen: Listen) -> None:
    socks = [listen() for _ in range(5)]
    before = open_fds()

    async def scenario() -> None:
        worker = Taken()
        await worker.adopt(**{f"s{index}": sock for index, sock in enumerate(socks)})
        worker.shards.release_all()

    run(scenario)
    assert open_fds() == before


def test_the_queue_is_counted_over_all_shards(listen: Listen, connect: Connect) -> None:
    """What a draining worker waits for, and what `status` shows."""
    one, other = listen(), listen()

    async def scenario() -> None:
        worker = Taken()
        await worker.adopt(s0=one, s1=other)
        assert worker.shards.queued() == 0
        for sock in (one, one, other):
            connect(sock)
        assert worker.shards.queued() == 3
        assert [queued_connections(sock) for sock in (one, other)] == [2, 1]
        await worker.reach(3)
        assert worker.shards.queued() == 0
        worker.close()

    run(scenario)


def test_adopting_leaves_the_backlog_as_configured(listen: Listen) -> None:
    """Each adoption calls listen() again, with 100 unless it is told otherwise."""
    sock = listen()

    async def scenario() -> None:
        shards = LentShards(asyncio.Protocol, backlog=37, tls=None)
        shards.expect([0])
        await shards.adopt({0: os.dup(sock.fileno())})
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SACKED_OFFSET + 4)
        assert struct.unpack_from("=I", info, TCP_INFO_SACKED_OFFSET)[0] == 37
        shards.release_all()

    run(scenario)


def test_a_socket_file_stays_when_its_shard_is_released(
    stack: ExitStack, connect: Connect, tmp_path: Path
) -> None:
    """It is the master's: a worker that goes must not take the address with it."""
    path = tmp_path / "s"
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(str(path))
    sock.listen(64)

    async def scenario() -> None:
        first, second = Taken(), Taken()
        await first.adopt(s0=sock)
        connect(sock)
        await first.reach(1)
        first.shards.release(0)
        await asyncio.sleep(0)
        assert path.exists()
        connect(sock)
        assert second.shards.queued() == queued_connections(sock) == 0  # the kernel does not tell
        await second.adopt(s0=sock)
        await second.reach(1)
        first.close()
        second.close()

    run(scenario)
    assert path.exists()
