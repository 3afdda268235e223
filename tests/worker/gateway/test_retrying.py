"""When a request is sent another time, and when not."""

import asyncio
from typing import Any

import pytest

from penstock.worker.gateway.rules import EjectionRules, RetryRules
from penstock.worker.limits import UPSTREAM_REPLAY_BYTES_MAX
from tests.worker.gateway.conftest import Backend, Script, Visit
from tests.worker.gateway.test_members import server
from tests.worker.gateway.test_passage import GET, HELLO, hello, says

pytestmark = pytest.mark.usefixtures("in_order")

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
DATED_UNAVAILABLE = UNAVAILABLE.replace(b"Content", b"Date: today\r\nContent")


def with_body(method: bytes, size: int) -> bytes:
    """Compose the head of a request with a body of this size."""
    return method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


def reads(size: int, answer: bytes) -> Script:
    """Make a script that reads a request with a body and then says something; nothing: it closes."""

    async def script(visit: Visit) -> None:
        await visit.head()
        visit.requests.append(await visit.reader.readexactly(size))
        await visit.say(answer)

    return script


async def silence(visit: Visit) -> None:
    """Read all, and say nothing."""
    await visit.head()
    await visit.reader.read()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nConte", b"nonsense\r\n\r\n", UNAVAILABLE])
@pytest.mark.parametrize("request_bytes", [GET, with_body(b"PUT", 2) + b"hi"])
async def test_another_server_is_asked(passing: Any, answer: bytes, request_bytes: bytes) -> None:
    """
    Whatever it is that the first one does wrong.
    """
    size = 2 if request_bytes.startswith(b"PUT") else 0
    bad, good = Backend(reads(size, answer)), Backend(reads(size, HELLO))
    async with passing(bad, good, balance="round_robin") as gateway:
        for _ in range(2):
            assert (await gateway.ask(request_bytes)).body == b"hello"
    assert len(bad.visits) == 1
    assert len(good.visits) == 2


@pytest.mark.parametrize("answer", [b"", UNAVAILABLE, b"nonsense\r\n\r\n"])
async def test_a_backup_is_asked_when_all_others_were(passing: Any, answer: bytes) -> None:
    """
    Though it is not its turn: they are up.
    """
    bad, backups = Backend(reads(0, answer)), [Backend(reads(0, HELLO)) for _ in range(2)]
    async with passing(
        bad, *backups, balance="round_robin", retries=RetryRules(budget=1.0), ejection=None
    ) as gateway:
        gateway.upstream.set_servers((server(bad), server(backups[0], 1), server(backups[1], 1)))
        for _ in range(4):
            assert (await gateway.ask(GET)).body == b"hello"
        assert gateway.upstream.pools[0].standing.is_up
    assert len(bad.visits) == 4
    assert [len(each.visits) for each in backups] == [2, 2]


@pytest.mark.parametrize("answer", [b"", UNAVAILABLE])
async def test_post_is_repeated_only_if_the_operator_says_so(passing: Any, answer: bytes) -> None:
    """
    The client gets what the server said.
    """
    bad, good = Backend(reads(2, answer)), Backend(reads(2, HELLO))
    async with passing(bad, good, balance="round_robin") as gateway:
        response = await gateway.ask(POST)
        assert (response.status, response.body) == (503, b"busy") if answer else response.status == 502
        assert not good.visits
    async with passing(bad, good, balance="round_robin", retries=RetryRules(non_idempotent=True)) as gateway:
        assert (await gateway.ask(POST)).body == b"hello"


async def test_post_goes_on_to_the_next_server_if_the_first_cannot_be_reached(passing: Any) -> None:
    """
    What has not reached a server cannot happen twice.
    """
    async with passing("127.0.0.1:1", Backend(reads(2, HELLO)), balance="round_robin") as gateway:
        for _ in range(6):  # more than a budget would allow
            assert (await gateway.ask(POST)).body == b"hello"


async def test_only_what_is_named_is_a_reason(passing: Any) -> None:
    """
    By default a 500 is none; an operator may say that nothing is.
    """
    broken = HELLO.replace(b"200 OK", b"500 Oh no")
    async with passing(Backend(says(broken)), Backend(hello), balance="round_robin") as gateway:
        assert (await gateway.ask(GET)).status == 500
    rules = RetryRules(causes=frozenset(), statuses=frozenset({500}))
    async with passing(
        Backend(says(broken)), Backend(hello), "127.0.0.1:1", balance="round_robin", retries=rules
    ) as gateway:
        statuses = [(await gateway.ask(GET)).status for _ in range(3)]
        assert sorted(statuses) == [200, 200, 502]


@pytest.mark.parametrize("answer", [UNAVAILABLE, UNAVAILABLE[:-2]])
async def test_without_another_server_the_client_gets_what_was_said(passing: Any, answer: bytes) -> None:
    """
    A 503 of the only server there is, as it came; nobody asks it at once again.
    """
    backend = Backend(says(answer, b"sy"))
    async with passing(backend) as gateway:
        client = await gateway.client()
        await client.send(GET)
        assert await client.until(b"\r\n\r\nbusy")
        assert len(backend.requests) == 1


@pytest.mark.parametrize("size", [10, UPSTREAM_REPLAY_BYTES_MAX, UPSTREAM_REPLAY_BYTES_MAX + 1])
async def test_a_body_that_comes_in_pieces_is_sent_again_as_far_as_it_is_kept(
    passing: Any, size: int
) -> None:
    """
    Also when half of it has gone to the first server, and the rest comes after that has failed.
    """
    body = bytes(index % 251 for index in range(size))
    half = size // 2
    bad, good = Backend(reads(half, b"")), Backend(reads(size, HELLO))
    async with passing(bad, good, balance="round_robin") as gateway:
        client = await gateway.client()
        await client.send(with_body(b"PUT", size))
        await client.send(body[:half])
        await gateway.until(lambda: len(bad.requests) == 2)
        await gateway.until(lambda: good.visits)
        await client.send(body[half:])
        assert (await client.response()).body == b"hello"
        assert good.requests[1] == body
    bad, good = Backend(reads(size, b"")), Backend(reads(size, HELLO))
    async with passing(bad, good, balance="round_robin") as gateway:
        client = await gateway.client()
        await client.send(with_body(b"PUT", size))
        await gateway.until(lambda: bad.visits)
        for at in range(0, size, 5000):
            await client.send(body[at : at + 5000])
        is_kept = size <= UPSTREAM_REPLAY_BYTES_MAX
        assert (await client.response()).status == (200 if is_kept else 502)


async def test_a_timeout_of_a_connection_that_was_used_before_is_a_timeout(passing: Any) -> None:
    """
    It is not taken for one that went stale: the server is not asked for the same a second time.
    """
    turns = 0

    async def once(visit: Visit) -> None:
        nonlocal turns
        while True:
            await visit.head()
            turns += 1
            if turns > 1:
                await visit.reader.read()
            await visit.say(HELLO)

    async with passing(Backend(once), retry_attempts=1) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await client.response()
        await client.send(GET)
        await gateway.until(lambda: turns == 2)
        gateway.pass_time(32)
        assert (await client.response()).status == 504
    assert turns == 2


async def test_the_budget_bounds_how_much_is_asked_twice(passing: Any) -> None:
    """
    All servers fail: of thirty requests six are sent twice, and not thirty.
    """
    servers = [Backend(says(UNAVAILABLE)) for _ in range(3)]
    async with passing(*servers, balance="round_robin") as gateway:
        for _ in range(30):
            assert (await gateway.ask(GET)).status == 503
        assert sum(len(each.requests) for each in servers) == 36


async def test_a_server_that_takes_nothing_of_the_request(passing: Any) -> None:
    """
    It has so long for the next bytes, not for all of them; then the client gets a 504.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await gate.wait()

    backend = Backend(script)
    async with passing(
        backend, limits={"body_bytes": 100_000_000}, send_timeout_s=10.0, retry_attempts=0
    ) as gateway:
        client = await gateway.client()
        await client.send(with_body(b"PUT", 50_000_000))
        sending = asyncio.ensure_future(client.send(bytes(50_000_000)))
        [pool] = gateway.upstream.pools
        await gateway.until(lambda: any(link.is_write_blocked for link in pool._links))
        before = -1

        def is_steady() -> bool:
            nonlocal before
            [link] = pool._links
            size: int = link.transport.get_write_buffer_size()
            is_same, before = size == before, size
            return is_same

        await gateway.until(is_steady)
        gateway.pass_time(25)
        sending.cancel()
        head = await client.until(b"\r\n\r\n")
        assert b" 504 " in head
        gate.set()


async def test_a_server_that_fails_again_and_again_is_put_out_and_tried_by_one(passing: Any) -> None:
    """
    Then it is asked by nobody; and after its time by one request, which goes elsewhere if it fails.
    """
    bad, good = Backend(says(UNAVAILABLE)), Backend(hello)
    rules = EjectionRules(consecutive_failures=3, base_s=30.0)
    async with passing(bad, good, balance="round_robin", ejection=rules) as gateway:
        standing = gateway.upstream.pools[0].standing

        async def ask(count: int) -> None:
            for _ in range(count):
                assert (await gateway.ask(GET)).status == 200

        await ask(6)
        assert len(bad.requests) == 3
        assert standing.is_ejected
        await ask(10)
        assert len(bad.requests) == 3
        gateway.pass_time(31)
        await ask(10)
        assert len(bad.requests) == 4
        gateway.pass_time(31)
        await ask(4)
        assert len(bad.requests) == 4  # out for longer
        gateway.pass_time(31)
        bad.script = hello
        await ask(1)
        assert len(bad.requests) == 5
        assert standing.is_up
        await ask(10)
        assert 8 <= len(bad.requests) <= 11


async def test_a_trial_does_not_wait_long_and_does_not_vanish(passing: Any) -> None:
    """
    A server that was out for not answering gets three seconds; a client that leaves frees it for the next.
    """
    dumb, good = Backend(silence), Backend(hello)
    rules = EjectionRules(consecutive_failures=1)
    async with passing(dumb, good, balance="round_robin", ejection=rules) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await gateway.until(lambda: dumb.requests)
        gateway.pass_time(32)
        assert (await client.response()).status == 200
        assert gateway.upstream.pools[0].standing.is_ejected
        gateway.pass_time(31)
        leaver = await gateway.client()
        await leaver.send(GET)
        await gateway.until(lambda: len(dumb.requests) == 2)
        leaver.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # a reset
        leaver.sock.close()
        gateway.clients.remove(leaver)
        await gateway.until(lambda: gateway.site.connection_count == 1)
        gateway.pass_time(1)
        await client.send(GET)
        await gateway.until(lambda: len(dumb.requests) == 3)
        gateway.pass_time(4)
        assert (await client.response()).status == 200
        assert len(dumb.requests) == 3


async def test_short_timeouts_end_neither_early_nor_much_later(passing: Any) -> None:
    """
    100 ms are 100 ms, though the worker's own clock turns twice a second.
    """
    async with passing(Backend(silence), first_byte_timeout_s=0.1, retry_attempts=0) as gateway:
        upstream = gateway.upstream
        assert upstream.tick_s == 0.01
        began_s = asyncio.get_running_loop().time()
        assert (await gateway.ask(GET)).status == 504
        assert asyncio.get_running_loop().time() - began_s >= 0.1


@pytest.mark.parametrize("answer", [b"", UNAVAILABLE, DATED_UNAVAILABLE])
async def test_the_usual_request_is_watched_as_any_other(passing: Any, answer: bytes) -> None:
    """
    It goes through C where that is built: it is counted, and asked elsewhere when it fails; after
    five failures it is a server less.
    """
    is_sick = False

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            if is_sick:
                await visit.say(answer)
                return
            await visit.say(HELLO)

    bad, good = Backend(script), Backend(hello)
    async with passing(bad, good, balance="round_robin", ejection=EjectionRules()) as gateway:
        client = await gateway.client()
        upstream = gateway.upstream

        async def ask(count: int) -> None:
            for _ in range(count):
                await client.send(GET)
                assert (await client.response()).body == b"hello"

        await ask(20)
        assert upstream.request_count == 20
        is_sick = True
        await ask(30)
        assert upstream.pools[0].standing.is_ejected
        # A connection that was there before may be stale: that is asked once more, and not counted.
        assert len(bad.requests) == 10 + 5 + (not answer)
        is_sick = False
        gateway.pass_time(31)
        await ask(1)
        assert upstream.pools[0].standing.is_up
        before = len(bad.requests)
        await ask(20)
        assert len(bad.requests) == before + 10
        assert upstream.request_count == 71
