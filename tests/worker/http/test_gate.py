"""The gate: how many requests are with apps at a time, who waits, and who is turned away."""

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.gate import Gate, Verdict
from penstock.worker.http.outlet import RESET
from penstock.worker.spec import GateCells

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Held:
    """An app that answers when it is let go, and knows how many it is at work on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.now = self.most = self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"done"})
        finally:
            self.now -= 1


async def test_requests_beyond_the_limit_are_turned_away_at_once(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    With a 503 that says when to come again, on a connection that stays; and it is counted and logged.
    """
    app = Held()
    async with serve(app, concurrency=1) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await server.until(lambda: app.calls == 1)
        for _ in range(2):
            await second.send(GET)
            refused = await second.response()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "connection" not in refused.headers
        app.go.set()
        assert (await first.response()).status == 200
        await second.send(GET)
        assert (await second.response()).status == 200
        assert server.cells[8 + 3] == 2  # 5xx of the route
    assert app.most == 1
    (record,) = [each for each in caplog.records if "turned away" in each.message]
    assert record.levelno == logging.WARNING


async def test_others_wait_for_their_turn_in_order(serve: Any) -> None:
    """
    Nobody overtakes, and never are there more at work than allowed.
    """
    order: list[str] = []
    go = asyncio.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        order.append(scope["path"])
        await go.acquire()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app, concurrency=2, queue_timeout_s=30.0) as server:
        clients = [await server.client() for _ in range(6)]
        for number, client in enumerate(clients):
            await client.send(GET.replace(b"/ ", b"/%d " % number))
            await server.until(lambda number=number: len(order) + server.site.gate.queued_count == number + 1)
        assert order == ["/0", "/1"]
        assert server.site.gate.queued_count == 4
        for number in range(6):
            go.release()
            assert (await clients[number].response()).status == 200
            assert len(order) <= number + 3
        assert order == [f"/{number}" for number in range(6)]
        assert (server.site.gate.inside_count, server.site.gate.queued_count) == (0, 0)


async def test_whoever_waits_too_long_is_turned_away(serve: Any) -> None:
    """
    After the time, not before it; a body that was sent meanwhile does not spoil the connection.
    """
    app = Held()
    async with serve(app, concurrency=1, queue_timeout_s=0.05) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await server.until(lambda: app.calls == 1)
        began_s = asyncio.get_running_loop().time()
        await second.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        refused = await second.response()
        assert refused.status == 503
        assert asyncio.get_running_loop().time() - began_s >= 0.04
        app.go.set()
        await second.send(GET)
        assert (await second.response()).status == 200


@pytest.mark.parametrize("with_reset", [False, True])
async def test_client_that_leaves_the_queue_is_forgotten(serve: Any, with_reset: bool) -> None:
    """
    Its app is never called, and its place is the next one's. It was not turned away: no error of ours.
    """
    app = Held()
    seen: list[tuple[int, int]] = []
    async with serve(app, concurrency=1, queue_timeout_s=30.0) as server:
        server.site.watch_requests(observer=lambda exchange, _, sent: seen.append((exchange.status, sent)))
        first, second, third = [await server.client() for _ in range(3)]
        for number, client in enumerate((first, second, third)):
            await client.send(GET)
            await server.until(lambda number=number: app.calls + server.site.gate.queued_count == number + 1)
        if with_reset:
            second.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        second.sock.close()
        await server.until(lambda: server.site.gate.queued_count == 1)
        await server.until(lambda: server.site.active_count == 2)
        assert seen == [(499, 0)]
        assert server.cells[8 + 3] == 0  # 5xx of the route
        app.go.set()
        assert (await first.response()).status == 200
        assert (await third.response()).status == 200
    assert app.calls == 2


async def test_client_that_waits_for_leave_is_not_given_it_in_the_queue(serve: Any) -> None:
    """
    It sends no body for nothing: a 503 that ends the connection instead.
    """
    app = Held()
    async with serve(app, concurrency=1) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await server.until(lambda: app.calls == 1)
        await second.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        (refused,) = await second.responses()
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        app.go.set()
        assert (await first.response()).status == 200


async def test_drain_finishes_what_waits(serve: Any) -> None:
    """
    Who was let into the queue is not sent away because the worker is replaced.
    """
    app = Held()
    async with serve(app, concurrency=1, queue_timeout_s=30.0) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await second.send(GET)
        await server.until(lambda: server.site.gate.queued_count == 1)
        server.site.begin_drain(1.0)
        app.go.set()
        assert (await first.response()).status == 200
        assert (await second.response()).status == 200


async def test_end_of_a_drain_empties_the_queue(serve: Any) -> None:
    """
    What is cut off at the deadline is cut off in the queue, too.
    """
    app = Held()
    async with serve(app, concurrency=1, queue_timeout_s=30.0) as server:
        first, second = await server.client(), await server.client()
        await first.send(GET)
        await second.send(GET)
        await server.until(lambda: server.site.gate.queued_count == 1)
        server.site.abort_all()
        await server.until(lambda: server.site.active_count == 0)
        assert (server.site.gate.inside_count, server.site.gate.queued_count) == (0, 0)
    assert app.calls == 1


async def test_app_that_fails_leaves_its_place(serve: Any) -> None:
    """
    A limit that shrank with every error would end in a standstill.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("as it is asked to")

    async with serve(app, concurrency=1) as server:
        for _ in range(3):
            (response,) = await server.ask(GET)
            assert response.status == 500
        assert server.site.gate.inside_count == 0


def test_site_without_a_limit_has_no_gate() -> None:
    """
    What is off costs nothing: not even an attribute of an exchange.
    """

    async def scenario() -> None:
        assert Gate("x", 1, 0.0, asyncio.get_running_loop(), cells=memoryview(b""), where=None).enter()

    asyncio.run(scenario())


@given(
    st.integers(1, 3),
    st.lists(st.sampled_from(["come", "go", "leave", "cancel", "wait"]), max_size=40),
)
def test_whatever_happens_the_places_are_kept(concurrency: int, steps: list[str]) -> None:
    """
    Never more inside than allowed, nobody waits while there is room, and the cells tell the truth.
    """
    cells = memoryview(bytearray(24)).cast("Q")

    async def scenario() -> None:
        loop = _SteppedLoop()
        where = GateCells(queued=0, rejected=1)
        gate = Gate("x", concurrency, 5.0, loop, cells=cells, where=where)  # type: ignore[arg-type]
        inside: list[object] = []
        waiting: dict[Any, asyncio.Task[Verdict]] = {}
        rejected = 0
        for step in steps:
            if step == "come":
                who: Any = object()
                if gate.enter():
                    inside.append(who)
                else:
                    waiting[who] = asyncio.ensure_future(gate.wait(who))
            elif step == "go" and inside:
                inside.pop(0)
                gate.leave()
            elif step == "leave" and waiting:
                gate.forget(next(iter(waiting)))
            elif step == "cancel" and waiting:
                waiting[next(reversed(waiting))].cancel()
            elif step == "wait":
                loop.pass_time(3.0)
            for _ in range(3):
                await asyncio.sleep(0)
            for who, task in list(waiting.items()):
                if task.done():
                    del waiting[who]
                    verdict = Verdict.GONE if task.cancelled() else task.result()
                    rejected += verdict is Verdict.LATE
                    if verdict is Verdict.ENTERED:
                        inside.append(who)
            assert gate.inside_count == len(inside) <= concurrency
            assert gate.queued_count == len(waiting) == cells[0]
            assert not waiting or len(inside) == concurrency
            assert (cells[1], cells[2]) == (0, rejected)
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)

    asyncio.run(scenario())


class _SteppedLoop:
    """The part of a loop that a gate uses, with time told by the test."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._due_s = math.inf
        self._callback: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self._now_s

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def call_at(self, due_s: float, callback: Callable[[], None]) -> object:
        self._due_s, self._callback = due_s, callback
        return object()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> object:
        return self.call_at(self._now_s + delay_s, callback)

    def pass_time(self, seconds: float) -> None:
        self._now_s += seconds
        if self._due_s <= self._now_s:
            self._due_s = math.inf
            self._callback()
