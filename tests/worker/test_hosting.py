"""What a worker hosts, and that it forgets nobody when it stops."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.hosting import Hosting
from penstock.worker.proxy_protocol.header import Endpoints, write_v2
from penstock.worker.spec import (
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    LogSpec,
    MatchSpec,
    RespondAction,
    RouteCells,
    RouteSpec,
    WorkerSpec,
)

ADDRESS = "127.0.0.1:0"
ROUTE = RouteCells(requests=5, duration=9)
CELL_COUNT = 9 + WORD_COUNT

SPEC = WorkerSpec(
    generation=1,
    name="test",
    log=LogSpec(),
    listeners=(
        ListenerSpec(
            name="web",
            address=ADDRESS,
            limits=LimitsSpec(),
            routes=(
                RouteSpec(name="-", match=MatchSpec(), action=RespondAction(body=b"hello"), cells=ROUTE),
            ),
            unmatched=ROUTE,
            cells=ListenerCells(
                connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
            ),
        ),
    ),
)


def with_hosting(scenario: Callable[[Hosting, socket.socket], Awaitable[None]]) -> None:
    """Run a scenario against a hosting that accepts on one shard."""

    async def run() -> None:
        cells = memoryview(bytearray(CELL_COUNT * 8)).cast("Q")
        hosting = Hosting(SPEC, cells, {})
        await hosting.start()
        with socket.create_server(("127.0.0.1", 0)) as shard:
            shard.setblocking(False)
            hosting.shards[ADDRESS].expect([0])
            await hosting.shards[ADDRESS].adopt({0: shard.dup().detach()})
            await scenario(hosting, shard)

    uvloop.run(run())


def test_connection_accepted_in_the_turn_of_the_drain_is_answered() -> None:
    """
    The order to drain and the connection come in one turn of the loop, the order first.
    """

    async def scenario(hosting: Hosting, shard: socket.socket) -> None:
        order: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def drain() -> int:
            await order
            await hosting.stop_accepting()
            return await hosting.drain(timeout_s=10.0, idle_grace_s=0.0)

        drained = asyncio.create_task(drain())
        await asyncio.sleep(0)
        # Blocking, so the loop gets no turn between the handshake and the order.
        client = socket.create_connection(shard.getsockname())
        order.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)
        is_overlooked = drained.done()

        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = await loop.sock_recv(client, 65536)
        client.close()
        assert await drained == 0
        assert answer.endswith(b"hello")
        assert not is_overlooked, "answered only because the test let the loop go on"

    with_hosting(scenario)


def test_connections_are_taken_over_with_what_was_told_of_them() -> None:
    """
    One of which nonsense is told is closed: it would be taken for a connection of the load balancer's own.
    """

    async def scenario(hosting: Hosting, shard: socket.socket) -> None:
        told = write_v2(Endpoints(("203.0.113.9", 4711), ("10.0.0.1", 80)))
        clients, fds = [], []
        for _ in range(3):
            client, theirs = socket.socketpair()
            client.setblocking(False)
            theirs.setblocking(False)
            clients.append(client)
            fds.append(theirs.detach())
        hosting.take_over(ADDRESS, (60_000,) * 3, fds, (told, b"", told[:-1]))
        site = hosting.givable[ADDRESS]
        assert site.parked_count == 2
        assert clients[2].recv(1) == b""
        lane = site.lane
        assert lane is not None
        taken = lane.take_out(3)
        assert sorted(each.told for each in taken) == [b"", told]
        for each in taken:
            os.close(each.fd)
        lane.left(2)
        await hosting.stop_accepting()
        for client in clients:
            client.close()

    with_hosting(scenario)
