"""
A site that drains and gives its connections away, the test in the master's place.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.channel import Channel
from penstock.worker.giving import GIVE_UP_S, Giver
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.link import MasterLink
from penstock.worker.messages import Give, decode_for_master
from penstock.worker.parking import Parked, ParkingLot
from penstock.worker.spec import (
    AppAction,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    RouteCells,
    RouteSpec,
)

ADDRESS = "127.0.0.1:80"
ACTION = AppAction(target="test:app")
DEADLINE_S = 30.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BIG = 4 * 1024 * 1024


class Stage:
    """A worker that drains, and what it gives away."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate = asyncio.Event()
        self.gate.set()
        self.lot = ParkingLot(self.loop)
        self.site = self._site()
        self.heir_lot = ParkingLot(self.loop)
        self.heir = self._site(self.heir_lot)
        self.master, ours = Channel.pair()
        self.lifeline = os.pipe()
        self.link = MasterLink(
            ours, self.lifeline[0], on_message=lambda _, fds: None, on_master_gone=lambda: None
        )
        self.giver = Giver(self.link, {ADDRESS: self.site})
        self.clients: list[socket.socket] = []
        self.giving: asyncio.Task[None] | None = None

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"hello", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            await send({"type": "http.response.body", "body": b"goodbye"})
            return
        body = b"x" * BIG if scope["path"] == "/big" else b"hello"
        await send({"type": "http.response.body", "body": body})
        if scope["path"] == "/background":
            await asyncio.Event().wait()

    def _site(self, lot: ParkingLot | None = None) -> Site:
        cells = memoryview(bytearray(8 * (16 + 2 * WORD_COUNT))).cast("Q")
        route = RouteSpec(
            name="all", match=MatchSpec(), action=ACTION, cells=RouteCells(requests=8, duration=16)
        )
        spec = ListenerSpec(
            name="web",
            address=ADDRESS,
            limits=LimitsSpec(),
            routes=(route,),
            unmatched=RouteCells(requests=12, duration=16 + WORD_COUNT),
            cells=ListenerCells(
                connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
            ),
        )
        hosted = HostedApp(self.app, _Lifespan())  # type: ignore[arg-type]
        site = Site(spec, apps={ACTION: hosted}, cells=cells, loop=self.loop)
        site.park_in(lot or self.lot)
        return site

    async def client(self) -> socket.socket:
        """Connect to the worker."""
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
        await self.loop.connect_accepted_socket(self.site.connect, theirs)
        self.clients.append(ours)
        return ours

    async def ask(self, client: socket.socket, request: bytes = GET) -> bytes:
        """Ask and read one short answer."""
        await self.loop.sock_sendall(client, request)
        return await self.answer(client)

    async def answer(self, client: socket.socket) -> bytes:
        """Read one short answer."""
        answer = b""
        async with asyncio.timeout(DEADLINE_S):
            while not answer.endswith(b"hello"):
                part = await self.loop.sock_recv(client, 65536)
                assert part, f"the connection ended after {answer!r}"
                answer += part
        return answer

    def drain(self) -> None:
        """Begin to drain and to give."""
        self.lot.sleep()
        self.site.begin_drain(1.0, on_leaving=self.giver.notice)
        self.giving = self.loop.create_task(self.giver.run())

    async def given(self, count: int) -> list[int]:
        """Wait for so many connections at the master; give the descriptors."""
        found: list[int] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < count:
                received = self.master.receive()
                if received is None:
                    await asyncio.sleep(0.001)
                    continue
                message = decode_for_master(received[0])
                assert isinstance(message, Give)
                assert message.listener == ADDRESS
                assert len(message.left_ms) == len(received[1])
                assert all(0 < each <= 80_000 for each in message.left_ms)
                found += received[1]
        assert len(found) == count
        return found

    def inherit(self, fds: list[int]) -> None:
        """Let the sibling take them."""
        lane = self.heir.lane
        assert lane is not None
        lane.take_over([Parked(fd, self.loop.time() + 60) for fd in fds])

    def end(self) -> None:
        """Close everything."""
        if self.giving is not None:
            self.giving.cancel()
        for site in (self.site, self.heir):
            site.abort_all()
        self.lot.close()
        self.heir_lot.close()
        self.link.close()
        self.master.close()
        for fd in self.lifeline:
            os.close(fd)
        for client in self.clients:
            client.close()


class _Lifespan:
    """What a site wants of one that is off."""

    def __init__(self) -> None:
        import contextvars  # noqa: PLC0415 (nobody else here needs it)

        self.context = contextvars.copy_context()
        self.state: dict[str, Any] = {}


def play(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a scenario on uvloop."""

    async def run() -> None:
        stage = Stage()
        try:
            await scenario(stage)
        finally:
            stage.end()
            for _ in range(5):
                await asyncio.sleep(0)

    uvloop.run(run())


def test_what_is_idle_is_given_parked_or_not() -> None:
    """
    More than one message holds, and each goes on at the sibling's.
    """

    async def scenario(stage: Stage) -> None:
        clients = [await stage.client() for _ in range(300)]
        for client in clients[::2]:
            await stage.ask(client)
        stage.site.tick(stage.site.now_s + 2.5)
        clients += [await stage.client() for _ in range(20)]
        for client in clients[-10:]:
            await stage.ask(client)
        assert stage.site.parked_count > 0
        stage.drain()
        fds = await stage.given(320)
        await asyncio.wait_for(stage.site.wait_empty(), DEADLINE_S)
        stage.inherit(fds)
        for client in clients:
            assert b"connection: close" not in await stage.ask(client)
        assert stage.heir.connection_count == 320

    play(scenario)


def test_bytes_of_a_next_request_go_along() -> None:
    async def scenario(stage: Stage) -> None:
        clients = [await stage.client() for _ in range(10)]
        for client in clients:
            await stage.ask(client)
        for client in clients[:5]:
            client.send(GET[:9])  # Before the drain, and the loop has not turned since.
        stage.drain()
        for client in clients[5:]:
            client.send(GET[:9])
        fds = await stage.given(10)
        stage.inherit(fds)
        for client in clients:
            client.send(GET[9:])
            await stage.answer(client)

    play(scenario)


def test_request_under_way_is_answered_and_then_moves() -> None:
    """
    Also one whose app goes on after its response.
    """

    async def scenario(stage: Stage) -> None:
        plain, background = await stage.client(), await stage.client()
        stage.gate.clear()
        plain.send(GET)
        background.send(GET.replace(b"/", b"/background", 1))
        async with asyncio.timeout(DEADLINE_S):
            while len(stage.site.in_flight()) < 2:
                await asyncio.sleep(0)
        stage.drain()
        await asyncio.sleep(0.01)
        assert stage.site.connection_count == 2
        stage.gate.set()
        for client in (plain, background):
            assert b"connection: close" not in await stage.answer(client)
        stage.inherit(await stage.given(2))
        assert stage.site.active_count == 1
        for client in (plain, background):
            await stage.ask(client)

    play(scenario)


def test_pipelined_rest_is_answered_here_and_told_to_end() -> None:
    """
    What was read cannot move.
    """

    async def scenario(stage: Stage) -> None:
        client = await stage.client()
        stage.gate.clear()
        client.send(GET * 3 + GET[:9])
        async with asyncio.timeout(DEADLINE_S):
            while not stage.site.in_flight():
                await asyncio.sleep(0)
        stage.drain()
        stage.gate.set()
        answers = b""
        async with asyncio.timeout(DEADLINE_S):
            while part := await stage.loop.sock_recv(client, 65536):
                answers += part
        assert answers.count(b"hello") == 3
        assert answers.count(b"connection: close") == 1

    play(scenario)


def test_connection_stays_until_its_client_has_taken_all() -> None:
    """
    What waits to be sent would be lost.
    """

    async def scenario(stage: Stage) -> None:
        client = await stage.client()
        client.send(GET.replace(b"/", b"/big", 1))
        stage.gate.clear()
        async with asyncio.timeout(DEADLINE_S):
            while not stage.site.in_flight():
                await asyncio.sleep(0)
        stage.drain()
        stage.gate.set()
        await asyncio.sleep(0.05)
        assert stage.site.connection_count == 1
        received = 0
        async with asyncio.timeout(DEADLINE_S):
            while received < BIG:
                received += len(await stage.loop.sock_recv(client, 2**20))
        stage.inherit(await stage.given(1))
        await stage.ask(client)

    play(scenario)


def test_connection_of_a_stream_moves_when_the_stream_was_ended() -> None:
    """
    Its client asks again on the same connection, and a sibling answers.
    """

    async def scenario(stage: Stage) -> None:
        client = await stage.client()
        await stage.loop.sock_sendall(client, GET.replace(b"/", b"/stream", 1))
        assert b"hello" in await stage.loop.sock_recv(client, 65536)
        stage.drain()
        (stream,) = stage.site.exchanges()
        assert stream.is_endless
        stream.call_off()
        stage.inherit(await stage.given(1))
        assert await stage.loop.sock_recv(client, 65536) == b"7\r\ngoodbye\r\n0\r\n\r\n"
        await stage.ask(client)

    play(scenario)


def test_half_closed_and_half_sent_do_not_move() -> None:
    async def scenario(stage: Stage) -> None:
        ended, half = await stage.client(), await stage.client()
        stage.gate.clear()
        ended.send(GET)
        ended.shutdown(socket.SHUT_WR)
        half.send(GET[:9])
        async with asyncio.timeout(DEADLINE_S):
            while stage.site.active_count < 2 or not any(each._is_eof for each in stage.site._connections):
                await asyncio.sleep(0)
        stage.drain()
        stage.gate.set()
        await stage.answer(ended)
        assert await asyncio.wait_for(stage.loop.sock_recv(ended, 1), DEADLINE_S) == b""
        half.send(GET[9:])
        assert b"connection: close" not in await stage.answer(half)
        stage.inherit(await stage.given(1))
        await stage.ask(half)

    play(scenario)


def test_what_comes_back_is_tried_again_and_then_ends_here() -> None:
    """
    No connection waits for ever for somebody to take it.
    """

    async def scenario(stage: Stage) -> None:
        silent, asking = await stage.client(), await stage.client()
        for client in (silent, asking):
            await stage.ask(client)
        stage.drain()
        lane = stage.site.lane
        assert lane is not None
        assert stage.giving is not None
        returned = 0
        async with asyncio.timeout(GIVE_UP_S + DEADLINE_S):
            while not stage.giving.done():
                if stage.master.fileno() >= 0 and (received := stage.master.receive()) is not None:
                    lane.take_over([Parked(fd, stage.loop.time() + 60) for fd in received[1]])
                    stage.giver.refused()
                    returned += 1
                await asyncio.sleep(0.001)
        assert returned >= 3
        while (received := stage.master.receive()) is not None:  # What was given just before that.
            lane.take_over([Parked(fd, stage.loop.time() + 60) for fd in received[1]])
        stage.site.stop_giving(1.0)
        stage.lot.wake_up()
        assert b"connection: close" in await stage.ask(asking)
        stage.lot.tick(stage.loop.time() + 3)
        assert await asyncio.wait_for(stage.loop.sock_recv(silent, 1), DEADLINE_S) == b""

    play(scenario)


@pytest.mark.parametrize("is_reading", [True, False])
def test_master_that_reads_slowly_gets_all_in_the_end(is_reading: bool) -> None:
    """
    What it has not read stays here, not in a queue.
    """

    async def scenario(stage: Stage) -> None:
        clients = [await stage.client() for _ in range(50)]
        stage.master._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        stage.link._channel._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        if not is_reading:
            while not stage.link._channel.has_outgoing:
                stage.link.send(Give("filler", (1,) * 100))
        stage.drain()
        await asyncio.sleep(0.05)
        while not is_reading and stage.link._channel.has_outgoing:
            assert stage.site.connection_count == 50
            stage.master.receive()
            await asyncio.sleep(0)
        fds: list[int] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(fds) < 50:
                received = stage.master.receive()
                fds += received[1] if received is not None else []
                await asyncio.sleep(0)
        stage.inherit(fds)
        for client in clients:
            await stage.ask(client)

    play(scenario)
