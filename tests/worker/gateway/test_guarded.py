"""Requests to an upstream with a breaker, or with a limit to the time that all of it may take."""

import asyncio
from typing import Any

import pytest

from penstock.worker.gateway.guarded import GuardedPassage, passage_to
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.rules import BreakerRules
from tests.worker.gateway.conftest import Backend, Visit
from tests.worker.gateway.test_passage import GET, HELLO, hello, says
from tests.worker.gateway.test_retrying import UNAVAILABLE, silence


async def test_who_has_not_configured_it_does_not_pay_for_it(passing: Any) -> None:
    """
    The usual request is of the usual kind.
    """
    async with passing(Backend(hello)) as gateway:
        assert passage_to(gateway.upstream) is Passage
    async with passing(Backend(hello), total_timeout_s=5.0) as gateway:
        assert passage_to(gateway.upstream) is GuardedPassage


async def test_an_upstream_that_fails_is_left_alone_for_a_while(passing: Any) -> None:
    """
    Its clients hear at once when to come back; three requests find out that it works again.
    """
    backend = Backend(says(UNAVAILABLE))
    rules = BreakerRules(requests_min=10, open_s=5.0, probes=3)
    async with passing(backend, breaker=rules) as gateway:
        for _ in range(10):
            assert (await gateway.ask(GET)).body == b"busy"
        response = await gateway.ask(GET)
        assert response.status == 503
        assert 1 <= int(response.headers["retry-after"]) <= 6
        assert len(backend.requests) == 10
        gateway.pass_time(6)
        assert (await gateway.ask(GET)).body == b"busy"
        assert "retry-after" in (await gateway.ask(GET)).headers
        backend.script = hello
        gateway.pass_time(6)
        client = await gateway.client()
        for _ in range(20):  # on one connection, and with a head that is known
            await client.send(GET)
            assert (await client.response()).body == b"hello"
        assert len(backend.requests) == 31


async def test_a_limit_of_requests_at_once(passing: Any) -> None:
    """
    What comes beyond is told so, and what is there is finished.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.say(HELLO)

    async with passing(Backend(script), breaker=BreakerRules(requests_max=2)) as gateway:
        clients = [await gateway.client() for _ in range(2)]
        for number, client in enumerate(clients, 1):
            await client.send(GET)
            await gateway.until(lambda number=number: gateway.upstream.pools[0].busy_count == number)
        response = await gateway.ask(GET)
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        gate.set()
        for client in clients:
            assert (await client.response()).body == b"hello"
        assert (await gateway.ask(GET)).body == b"hello"


@pytest.mark.parametrize("begun", [b"", HELLO[:-3]])
async def test_the_whole_exchange_has_an_end(passing: Any, begun: bytes) -> None:
    """
    A 504, or a body that is cut off, whatever other deadline is far away; and nothing is kept of it.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        if begun:
            await visit.say(begun)
        await visit.reader.read()

    backend = Backend(script)
    async with passing(backend, total_timeout_s=10.0, retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await gateway.until(lambda: backend.requests)
        if begun:
            await client.until(b"he")
        gateway.pass_time(8)
        gateway.pass_time(4)
        if begun:
            assert not (await client.rest()).endswith(b"lo")
        else:
            assert (await client.response()).status == 504
        backend.script = hello
        for _ in range(20):
            assert (await gateway.ask(GET)).body == b"hello"
        watched = [item for bucket in gateway.upstream.wheel._buckets for item in bucket]
        assert not any(isinstance(each, GuardedPassage) for each in watched)


async def test_retries_end_with_the_whole(passing: Any) -> None:
    """
    Also while it waits for a connection.
    """
    servers = [Backend(silence), Backend(silence)]
    async with passing(*servers, total_timeout_s=10.0, first_byte_timeout_s=6.0, retry_attempts=5) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await gateway.until(lambda: any(each.requests for each in servers))
        gateway.pass_time(8)
        await gateway.until(lambda: all(each.requests for each in servers))
        gateway.pass_time(4)
        assert (await client.response()).status == 504
    busy = Backend(silence)
    async with passing(busy, connections_max=1, queue_timeout_s=100.0, total_timeout_s=10.0) as gateway:
        clients = [await gateway.client() for _ in range(2)]
        for number, client in enumerate(clients, 1):
            await client.send(GET)
            await gateway.until(lambda number=number: gateway.upstream.pools[0].busy_count == number)
        gateway.pass_time(12)
        assert [(await client.response()).status for client in clients] == [504, 504]
        await gateway.until(gateway.is_clean)
