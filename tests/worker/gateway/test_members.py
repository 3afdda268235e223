"""Servers of an upstream that come and go, while requests are under way."""

import asyncio

import pytest

from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.shm.verdict import Verdict, verdict_word
from penstock.worker.gateway.spec import HealthCells, ServerSpec, UpstreamSpec
from penstock.worker.gateway.upstream import Gateway
from penstock.worker.gateway.verdicts import Verdicts
from tests.worker.gateway.conftest import Backend, Pass, Visit

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def named(name: bytes) -> Backend:
    """Make a server that answers with its name, again and again."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)

    return Backend(script)


def server(backend: Backend, priority: int = 0) -> ServerSpec:
    return ServerSpec(address=f"127.0.0.1:{backend.port}", priority=priority)


async def test_requests_follow_the_servers(passing: Pass) -> None:
    """
    Those that stay keep their connections, and the idle ones of those that go are closed.
    """
    a, b = named(b"a"), named(b"b")
    async with passing(a, b, balance="round_robin") as at:
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"a", b"b"}
        kept, gone = at.upstream.pools
        assert gone.idle_count == 1
        at.upstream.set_servers((server(a),))
        assert at.upstream.pools == [kept]
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"a"}
        await at.until(lambda: gone.is_empty)
        assert kept.idle_count == 1
        at.upstream.set_servers((server(b), server(a)))
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"a", b"b"}
        assert at.upstream.pools[1] is kept


async def test_a_request_in_flight_ends_where_it_is(passing: Pass) -> None:
    """
    And so do those that wait for a connection to the server that is gone.
    """
    may_go = asyncio.Event()

    async def slow(visit: Visit) -> None:
        while True:
            await visit.head()
            await may_go.wait()
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")

    old, new = Backend(slow), named(b"n")
    async with passing(old, new, connections_max=1, queue_timeout_s=60.0) as at:
        at.upstream.set_servers((server(old),))
        (pool,) = at.upstream.pools
        first = asyncio.create_task(at.ask(GET))
        await at.until(lambda: old.requests)
        second = asyncio.create_task(at.ask(GET))
        await at.until(lambda: pool.busy_count == 2)
        at.upstream.set_servers((server(new),))
        assert (await at.ask(GET)).body == b"n"
        may_go.set()
        assert (await first).body == b"slow"
        assert (await second).body == b"slow"
        await at.until(lambda: pool.is_empty)
        at.pass_time(1.0)


async def test_the_next_priority_serves_when_the_first_cannot(passing: Pass) -> None:
    """
    And when nobody can, those of the first are asked all the same.
    """
    a, b = named(b"a"), named(b"b")
    async with passing(a, b) as at:
        at.upstream.set_servers((server(a, priority=1), server(b, priority=2)))
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"a"}
        first, second = at.upstream.pools
        first.standing.is_healthy = False
        first.standing.judge(1.0)
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"b"}
        second.standing.is_healthy = False
        second.standing.judge(1.0)
        assert {(await at.ask(GET)).body for _ in range(20)} == {b"a"}
        first.standing.is_healthy = True
        first.standing.judge(2.0)
        assert {(await at.ask(GET)).body for _ in range(4)} == {b"a"}


async def test_before_a_service_is_known_requests_are_refused_in_words(
    passing: Pass, caplog: pytest.LogCaptureFixture
) -> None:
    """
    There is nowhere to send them.
    """
    async with passing("srv:_http._tcp.shop.test") as at:
        assert (await at.ask(GET)).status == 502
    assert "it is not known yet which servers the name stands for" in caplog.text


def test_workers_believe_the_youngest_who_says_anything() -> None:
    """
    There are two admin processes in a hot restart; none for a moment when one has died.
    """
    segment = Segment.create(Geometry(row_count=4))
    health = HealthCells(verdict=0, checks=1)
    spec = UpstreamSpec(name="u", servers=(ServerSpec(address="10.0.0.1:80", health=health),))
    gateway = Gateway((spec,), asyncio.new_event_loop())
    (pool,) = gateway.upstreams["u"].pools
    verdicts = Verdicts(segment)

    def admin(spawned_ns: int) -> Row:
        row = segment.claim(kind=Kind.ADMIN, generation=0, now_ns=spawned_ns)
        row.set_process(100 + spawned_ns, 1)
        return segment.adopt(row.index, pid=100 + spawned_ns, now_ns=spawned_ns)

    def is_healthy() -> bool:
        verdicts.apply(gateway, 5.0)
        return pool.standing.is_up

    old = admin(1)
    assert is_healthy()
    old.cells[0] = verdict_word("10.0.0.1:80", Verdict.UNHEALTHY)
    assert not is_healthy()
    young = admin(2)
    assert not is_healthy()
    young.cells[0] = verdict_word("10.0.0.2:80", Verdict.HEALTHY)
    assert not is_healthy()
    young.cells[0] = verdict_word("10.0.0.1:80", Verdict.HEALTHY)
    assert is_healthy()
    assert pool.standing.up_since_s == 5.0
    young.cells[0] = verdict_word("10.0.0.1:80", Verdict.UNHEALTHY)
    assert not is_healthy()
    for row in (old, young):
        segment.retire(row.index)
    assert not is_healthy()
    gateway.close()
    gateway.upstreams["u"].loop.close()
    segment.close()
