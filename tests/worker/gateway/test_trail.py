"""What a log can say of a request's way: which servers, how long, and why not."""

import asyncio
from typing import Any

import pytest

from penstock.worker.gateway.numbers import TIMEOUT
from penstock.worker.gateway.trail import Trail
from penstock.worker.http.exchange import Exchange
from tests.worker.gateway.conftest import Backend, Passing, Visit
from tests.worker.gateway.test_passage import GET, HELLO, hello, says
from tests.worker.gateway.test_retrying import silence

NOBODY = "127.0.0.1:1"


def watched(gateway: Passing) -> list[tuple[Trail, int]]:
    """Collect the trails of requests from now on, with the µs that they took."""
    found: list[tuple[Trail, int]] = []

    def observe(exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        trail = exchange.trail()
        assert trail is not None
        found.append((trail, elapsed_us))

    gateway.site.watch_requests(observer=observe)
    return found


async def test_an_answer_has_its_server_and_its_times(passing: Any) -> None:
    """
    On the careful way and on the short one; only who had to wait for a connection is told of it.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        trails = watched(gateway)
        client = await gateway.client()
        for _ in range(4):
            await client.send(GET)
            await client.response()
    for number, (trail, elapsed_us) in enumerate(trails):
        assert (trail.upstream, trail.tried) == ("backend", (f"127.0.0.1:{backend.port}",))
        assert (trail.status, trail.failure) == (200, None)
        assert (trail.connect_us == 0) == (number > 0)
        assert trail.sent_us is not None
        first_byte_us, server_us = trail.first_byte_us(elapsed_us), trail.server_us(elapsed_us)
        assert first_byte_us is not None
        assert server_us is not None
        assert 0 <= first_byte_us <= server_us <= elapsed_us
        assert trail.word > 0
    assert len(trails) == 4


@pytest.mark.usefixtures("in_order")
async def test_who_was_tried_before_is_told_in_order(passing: Any) -> None:
    """
    The answer is the last one's, and what went wrong before is not its failure.
    """
    backend = Backend(hello)
    async with passing(NOBODY, backend, balance="round_robin") as gateway:
        trails = watched(gateway)
        await gateway.ask(GET)
        await gateway.ask(GET)
    first, second = (trail for trail, _ in trails)
    assert first.tried == (NOBODY, f"127.0.0.1:{backend.port}")
    assert (first.status, first.failure, first.server) == (200, None, first.tried[1])
    assert second.failure is None


@pytest.mark.parametrize(
    ("words", "failure", "status"),
    [
        ((b"",), "closed", None),
        ((b"garbage\r\n\r\n",), "protocol", None),
        ((b"HTTP/1.1 201 OK\r\nContent-Length: 10\r\n\r\nhello",), "closed", 201),
    ],
)
async def test_a_failure_has_its_reason(
    passing: Any, words: tuple[bytes, ...], failure: str, status: int | None
) -> None:
    """
    The same as in the metrics; a status only if there was one.
    """
    async with passing(Backend(says(*words)), retry_attempts=0) as gateway:
        trails = watched(gateway)
        client = await gateway.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        await gateway.until(lambda: trails)
        [(trail, elapsed_us)] = trails
        assert (trail.failure, trail.status) == (failure, status)
        assert trail.connect_us
        assert (trail.first_byte_us(elapsed_us) is None) == (status is None)


@pytest.mark.usefixtures("in_order")
async def test_a_server_that_was_never_reached_has_no_times(passing: Any) -> None:
    """
    Nor those of another one that was tried before it.
    """
    async with passing(Backend(says(b"")), NOBODY, balance="round_robin") as gateway:
        trails = watched(gateway)
        assert (await gateway.ask(GET)).status == 502
    [(trail, elapsed_us)] = trails
    assert (trail.server, trail.failure, trail.status) == (NOBODY, "connect", None)
    assert (trail.connect_us, trail.sent_us, trail.server_us(elapsed_us)) == (None, None, None)


async def test_a_client_that_leaves_is_nobodys_failure(passing: Any) -> None:
    """
    There was no answer, and nobody is to blame.
    """
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        asked.set()
        await visit.reader.read()

    async with passing(Backend(script)) as gateway:
        trails = watched(gateway)
        client = await gateway.client()
        await client.send(GET)
        await asked.wait()
        [exchange] = gateway.site.exchanges()
        assert exchange.describe().endswith(f" at {gateway.upstream.pools[0].server.address}")
        client.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # a reset
        client.sock.close()
        gateway.clients.clear()
        await gateway.until(lambda: trails)
        [(trail, elapsed_us)] = trails
        assert (trail.failure, trail.status, trail.first_byte_us(elapsed_us)) == (None, None, None)


async def test_the_board_says_which_server_has_a_request(passing: Any) -> None:
    """
    Written with the tick, so that a request pays nothing for it.
    """
    go = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO[:-2])
        await go.wait()
        await visit.say(HELLO[-2:])

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await client.until(b"hel")
        [exchange] = gateway.site.exchanges()

        class Board:
            posted: tuple[int, int] | None = None

            def go_on(self, entry: int, state: int, sent_bytes: int) -> None:
                self.posted = state, sent_bytes

        board = Board()
        exchange.post_progress(board)
        assert board.posted is not None
        state, sent_bytes = board.posted
        assert state == 2
        assert sent_bytes >> 44 == gateway.upstream.pools[0].numbers.word
        assert sent_bytes & (1 << 44) - 1 > len(HELLO) - 10
        go.set()
        await client.until(b"lo")


async def test_a_request_that_took_too_long_has_no_status_of_a_server(passing: Any) -> None:
    """
    The 504 is ours; the server is said to have been late, here and in its numbers.
    """
    backend = Backend(silence)
    async with passing(backend, total_timeout_s=10.0, retry_attempts=0) as gateway:
        trails = watched(gateway)
        client = await gateway.client()
        await client.send(GET)
        await gateway.until(lambda: backend.requests)
        gateway.pass_time(8)
        gateway.pass_time(4)
        assert (await client.response()).status == 504
        await gateway.until(lambda: trails)
        [(trail, _)] = trails
        assert (trail.failure, trail.status) == ("timeout", None)
        assert gateway.upstream.pools[0].numbers.last_failure == TIMEOUT
