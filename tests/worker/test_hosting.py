"""What a worker hosts, and that it forgets nobody when it stops."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.hosting import Hosting
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
