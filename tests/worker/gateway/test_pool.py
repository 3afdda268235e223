"""
A connection is lent to one request at a time, and comes back or ends: whatever happens, in any order.

The transports are doubles that do what asyncio promises and no more: calls come
from the loop, the end is told once, and after `abort` at some later turn.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.worker.gateway.link import KnownHead, Link
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.wheel import NOT_WATCHED

ANSWERS = {
    "kept": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "closing": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    "spoilt": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n",
    "begun": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
    "nonsense": b"nonsense\r\n\r\n",
}
CONNECTIONS_MAX = 3
QUEUE_MAX = 2


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        super().__init__()
        self.loop = loop
        self.link = link
        self.is_ending = False
        self.is_lost = False

    def abort(self) -> None:
        """End at a later turn."""
        self.end(None)

    close = abort

    def end(self, error: Exception | None) -> None:
        """Have the protocol told, once, and not now."""
        if not self.is_ending:
            self.is_ending = True
            self.loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        self.is_lost = True
        self.link.connection_lost(error)

    def is_closing(self) -> bool:
        """Tell whether it ends."""
        return self.is_ending

    def write(self, data: Any) -> None:
        """Take what nobody reads."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take it as it is."""

    def get_write_buffer_size(self) -> int:
        """Tell that all is gone."""
        return 0

    def pause_reading(self) -> None:
        """Say nothing for now."""

    resume_reading = pause_reading


class WireLoop(asyncio.SelectorEventLoop):
    """A loop whose time and connections are the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.asked: list[asyncio.Future[str]] = []
        self.wires: list[Wire] = []
        self.troubles: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.troubles.append(context))

    def time(self) -> float:
        """Tell the test's time."""
        return self.now_s

    async def create_connection(self, factory: Callable[[], Link], *_: Any) -> Any:  # type: ignore[override]
        """Wait for the test to say what becomes of it."""
        asked: asyncio.Future[str] = self.create_future()
        self.asked.append(asked)
        try:
            outcome = await asked
        finally:
            self.asked.remove(asked)
        if outcome == "refused":
            raise ConnectionRefusedError(111, "Connection refused")
        wire = Wire(self, factory())
        self.wires.append(wire)
        wire.link.connection_made(wire)
        if outcome == "closed":
            wire.link.eof_received()
            wire.end(None)
            await asyncio.sleep(0)
        return wire, wire.link


class Request:
    """Somebody who wants a link; it asserts that it is told once, and only what concerns it."""

    def __init__(self, pool: Pool, requests: list["Request"]) -> None:
        self.pool = pool
        self.requests = requests
        self.link: Link | None = None
        self.is_gone = False
        self.is_told = False

    def have(self, link: Link) -> None:
        """Begin."""
        assert not self.is_told
        assert not self.is_gone
        assert link.borrower is self
        assert not link.is_closed
        self.is_told = True
        self.link = link
        link.reader.expect("GET")
        link.watch(self.pool._upstream.now_s + 5.0)

    def have_not(self, pool: Pool, reason: str, *, is_overload: bool) -> None:
        """End."""
        assert not self.is_told
        self.is_told = True
        if not self.is_gone:
            self._end()

    def came_whole(self, link: Link, known: KnownHead, data: bytes, size: int) -> bool:
        """Look at everything."""
        return False

    def came(self, link: Link) -> None:
        """Give the link back with the last byte."""
        assert self.link is link
        if link.reader.is_complete:
            self._end()
            link.pool.give_back(link)

    def link_failed(self, link: Link, reason: str) -> None:
        """End."""
        assert self.link is link
        self._end()

    def link_writable(self, link: Link) -> None:
        """Go on."""

    def link_late(self, link: Link, now_s: float) -> None:
        """End the link."""
        assert self.link is link
        link.fail("late")

    def leave(self) -> None:
        """Go away, wherever it is."""
        self.is_gone = True
        link = self.link
        self._end()
        if link is not None:
            link.borrower = None
            link.abort()
        else:
            self.pool.forget(self)

    def _end(self) -> None:
        self.link = None
        self.requests.remove(self)


class PoolMachine(RuleBasedStateMachine):
    """Requests, servers, clients and time do what they like."""

    @initialize(idle_max=st.integers(0, 3))
    def start(self, idle_max: int) -> None:
        """Make a pool."""
        self.loop = WireLoop()
        spec = UpstreamSpec(
            name="a",
            servers=(ServerSpec(address="127.0.0.1:1"),),
            connections_max=CONNECTIONS_MAX,
            idle_max=idle_max,
            idle_timeout_s=4.0,
            queue_max=QUEUE_MAX,
            queue_timeout_s=6.0,
            connect_timeout_s=5.0,
        )
        self.upstream = Upstream(spec, self.loop)
        self.loop.now_s = self.upstream.now_s
        [self.pool] = self.upstream.pools
        self.requests: list[Request] = []

    @rule(fresh=st.booleans())
    def want(self, fresh: bool) -> None:
        """Have a request come."""
        request = Request(self.pool, self.requests)
        self.requests.append(request)
        self.pool.want(request, fresh=fresh)

    @rule(
        pick=st.integers(0, 9),
        outcome=st.sampled_from(["made", "made", "made", "refused", "closed"]),
        then_settle=st.booleans(),
    )
    def connect(self, pick: int, outcome: str, then_settle: bool) -> None:
        """Have a connection come about, or not."""
        waiting = [each for each in self.loop.asked if not each.done()]
        if waiting:
            waiting[pick % len(waiting)].set_result(outcome)
            if then_settle:
                self._settle()

    @rule()
    def connect_all(self) -> None:
        """Have all connections come about that are asked for."""
        self._settle()
        for asked in self.loop.asked:
            asked.set_result("made")
        self._settle()

    @rule(count=st.integers(1, CONNECTIONS_MAX))
    def answer(self, count: int) -> None:
        """Have requests answered as they should be."""
        lent = [wire.link for wire in self._open_wires() if wire.link.borrower is not None]
        for link in lent[:count]:
            if not link.reader.has_begun:
                link.data_received(ANSWERS["kept"])

    @rule(pick=st.integers(0, 9), answer=st.sampled_from(sorted(ANSWERS)))
    def say(self, pick: int, answer: str) -> None:
        """Have a server say something, asked or not."""
        wires = self._open_wires()
        if wires:
            wires[pick % len(wires)].link.data_received(ANSWERS[answer])

    @rule(pick=st.integers(0, 9), how=st.sampled_from(["eof", "reset"]))
    def hang_up(self, pick: int, how: str) -> None:
        """Have a server close."""
        wires = self._open_wires()
        if wires:
            wire = wires[pick % len(wires)]
            if how == "eof":
                assert not wire.link.eof_received()
                wire.end(None)
            else:
                wire.end(ConnectionResetError(104, "Connection reset by peer"))

    @rule(pick=st.integers(0, 9))
    def block(self, pick: int) -> None:
        """Have a server take nothing, or something again."""
        wires = self._open_wires()
        if wires:
            link = wires[pick % len(wires)].link
            if link.is_write_blocked:
                link.resume_writing()
            else:
                link.pause_writing()

    @rule(pick=st.integers(0, 9))
    def leave(self, pick: int) -> None:
        """Have a client go away."""
        if self.requests:
            self.requests[pick % len(self.requests)].leave()

    @rule()
    def put_out(self) -> None:
        """Have the server put out of service."""
        self.pool.drop_idle()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.now_s += seconds
        self.upstream.tick(self.loop.now_s)

    @rule()
    def turn(self) -> None:
        """Let the loop do what is due."""
        self.loop.run_until_complete(asyncio.sleep(0))

    @rule()
    def settle(self) -> None:
        """Let the loop do all that there is to do; then nobody waits for what is free."""
        self._settle()
        assert not any(link.is_closed for link in self.pool._links)
        if self.pool._waiting:
            assert self.pool.open_count + self.pool._making == CONNECTIONS_MAX

    @invariant()
    def every_link_is_in_one_place(self) -> None:
        """Idle, lent, or closed and not quite gone."""
        pool = getattr(self, "pool", None)
        if pool is None:
            return
        assert len(set(pool.idle)) == len(pool.idle)
        assert set(pool.idle) <= pool._links
        for link in pool._links:
            places = [link in pool.idle, link.borrower is not None, link.is_closed and link.borrower is None]
            assert sum(places) == 1, places
            if link.borrower is not None:
                assert link.borrower.link is link
                assert not link.is_closed
        for wire in self.loop.wires:
            if wire.is_lost:
                assert wire.link not in pool._links
                assert wire.link.wheel_tick == NOT_WATCHED

    @invariant()
    def every_request_is_in_one_place(self) -> None:
        """With a link of its own, in the queue, or with a connection that is being made."""
        pool = getattr(self, "pool", None)
        if pool is None:
            return
        lent = {link.borrower: link for link in pool._links if link.borrower is not None}
        queued = [request for request, _ in pool._waiting]
        assert len(set(queued)) == len(queued)
        connecting_count = 0
        for request in self.requests:
            if request.link is not None:
                assert lent[request] is request.link
                assert request not in queued
            elif request not in queued:
                connecting_count += 1
        assert connecting_count <= pool._making
        assert not any(request.is_gone or request.is_told for request in queued)
        assert set(lent) <= set(self.requests)

    @invariant()
    def limits_hold_and_counts_are_right(self) -> None:
        """Never more than is allowed, and nobody waits beside an idle link."""
        pool = getattr(self, "pool", None)
        if pool is None:
            return
        assert len(pool._links) + pool._making <= CONNECTIONS_MAX
        assert len(pool._waiting) <= QUEUE_MAX
        assert len(pool.idle) <= pool._spec.idle_max
        assert not (pool._waiting and pool.idle)
        assert pool.busy_count == len(pool._links - set(pool.idle)) + pool._making + len(pool._waiting)

    def teardown(self) -> None:
        """End all, and find nothing left."""
        if not hasattr(self, "pool"):
            return
        for request in list(self.requests):
            request.leave()
        self._settle()
        assert self.pool.busy_count == self.pool._making == len(self.loop.asked)
        self.upstream.close()
        self._settle()
        assert not self.pool._links
        assert self.pool.busy_count == self.pool.idle_count == 0
        assert not self.loop.troubles
        assert all(wire.is_lost for wire in self.loop.wires)
        self.loop.close()

    def _open_wires(self) -> list[Wire]:
        return [wire for wire in self.loop.wires if not wire.is_ending]

    def _settle(self) -> None:
        for _ in range(10):
            self.loop.run_until_complete(asyncio.sleep(0))


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
