"""What is counted of an upstream server: right after whatever went wrong."""

import asyncio
import socket
from typing import Any

import pytest

from penstock.worker.gateway.numbers import ServerNumbers
from penstock.worker.gateway.spec import ServerSpec
from tests.worker.gateway.conftest import Backend, Visit
from tests.worker.gateway.test_passage import GET, HELLO, hello, says

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code


async def test_answers_are_counted_by_class_and_time(passing: Any) -> None:
    """
    On the usual way, on the careful one, and for the listener's route as well.
    """
    codes = iter([200, 200, 200, 204, 302, 404, 500, 503])

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await visit.say(status(next(codes)))

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        for _ in range(8):
            await client.send(GET)
            await client.response()
        assert gateway.numbers() == {
            "2xx": 4, "3xx": 1, "4xx": 1, "5xx": 2, "answers": 8, "connects": 1, "idle": 1,
        }  # fmt: skip


async def test_a_server_without_cells_is_counted_for_nobody() -> None:
    """
    Nobody has to ask whether it has some.
    """
    numbers = ServerNumbers(ServerSpec(address="127.0.0.1:1"), None)
    numbers.count(200, 5)
    numbers.connected(7)
    numbers.failed(2)
    numbers.note_retry()
    numbers.note_ejection()
    numbers.show(active=1, idle=2, queued=3, is_up=False)
    assert (numbers.word, numbers.last_failure) == (0, 2)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((b"",), {"closed": 1}),
        ((b"HTTP/1.1 200 OK\r\nContent-Le",), {"closed": 1}),
        ((b"garbage\r\n\r\n",), {"protocol": 1}),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",), {"protocol": 1}),
        ((b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + HELLO,), {"protocol": 1}),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",), {"closed": 1}),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zz\r\n"),
            {"protocol": 1},
        ),
        ((b"HTTP/1.0 200 OK\r\n\r\nhel", b"lo"), {"2xx": 1, "answers": 1}),
        ((HELLO + HELLO,), {"2xx": 1, "answers": 1}),
    ],
)
async def test_each_failure_has_its_reason(passing: Any, words: tuple[bytes, ...], found: Any) -> None:
    """
    One for each request: it is answered or it fails, and never both.
    """
    async with passing(Backend(says(*words)), retry_attempts=0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
        assert gateway.numbers() == {"connects": 1, **found}


async def test_a_server_that_is_not_there_fails_and_the_other_answers(passing: Any) -> None:
    """
    A retry is counted with the server that made it necessary.
    """
    async with passing("127.0.0.1:1", Backend(hello), balance="round_robin") as gateway:
        for _ in range(4):
            assert (await gateway.ask(GET)).status == 200
        assert gateway.numbers(0) == {"connect": 2, "retries": 2}
        assert gateway.numbers(1) == {"2xx": 4, "answers": 4, "connects": 1, "idle": 1}


async def test_a_connection_that_is_not_made_in_time(passing: Any) -> None:
    """
    It is told apart from one that is refused.
    """
    with socket.socket() as full, socket.socket() as filler:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filler.connect(full.getsockname())  # A queue of one, which nobody empties.
        address = f"127.0.0.1:{full.getsockname()[1]}"
        async with passing(address, connect_timeout_s=0.05) as gateway:
            assert (await gateway.ask(GET)).status == 504
            assert gateway.numbers() == {"connect_timeout": 1}


async def test_a_server_that_does_not_answer_in_time(passing: Any) -> None:
    """
    Also on a connection that has served before: a silent server has not closed it.
    """
    visits = 0

    async def script(visit: Visit) -> None:
        nonlocal visits
        await visit.head()
        await visit.say(HELLO)
        await visit.head()
        visits += 1
        await visit.reader.read()

    async with passing(Backend(script), retry_attempts=0, idle_timeout_s=100.0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await client.response()
        await client.send(GET)
        await gateway.until(lambda: visits)
        gateway.pass_time(31)
        assert (await client.response()).status == 504
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
        assert gateway.numbers() == {"2xx": 1, "answers": 1, "timeout": 1, "connects": 1}


async def test_a_stale_connection_is_no_failure(passing: Any) -> None:
    """
    Servers close idle connections as they like; that says nothing about them.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO)
        if visit.number == 0:
            await visit.head()
            return
        await visit.reader.read()

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        for _ in range(2):
            await client.send(GET)
            assert (await client.response()).status == 200
        assert gateway.numbers() == {"2xx": 2, "answers": 2, "connects": 2, "idle": 1}


async def test_those_that_wait_are_shown_and_those_that_may_not_are_counted(passing: Any) -> None:
    """
    The queue is a gauge, and what does not fit into it a failure: so is who waited too long.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await gate.wait()
            await visit.say(HELLO)

    async with passing(Backend(script), connections_max=1, queue_max=1, retry_attempts=0) as gateway:
        clients = [await gateway.client() for _ in range(3)]
        for busy, client in enumerate(clients, 1):
            await client.send(GET)
            await gateway.until(lambda busy=busy: gateway.upstream.pools[0].busy_count >= min(busy, 2))
        assert (await clients[2].response()).status == 503
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 1)
        assert gateway.numbers() == {"active": 1, "queued": 1, "connects": 1, "overload": 1}
        gateway.pass_time(2)
        assert (await clients[1].response()).status == 503
        gate.set()
        await clients[0].response()
        assert gateway.numbers() == {
            "2xx": 1, "answers": 1, "connects": 1, "overload": 2, "idle": 1,
        }  # fmt: skip


@pytest.mark.parametrize("when", ["asked", "answering"])
async def test_a_client_that_leaves_is_no_fault_of_the_server(passing: Any, when: str) -> None:
    """
    Before the answer it is not counted, as with a route; later by what it began with.
    """
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        if when == "answering":
            await visit.say(HELLO[:-2])
        asked.set()
        await visit.reader.read()

    async with passing(Backend(script)) as gateway:
        client = await gateway.client()
        await client.send(GET)
        await asked.wait()
        if when == "answering":
            await client.until(b"\r\n\r\n")
        client.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # a reset
        client.sock.close()
        gateway.clients.clear()
        await gateway.until(lambda: not gateway.site.connection_count)
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
        answered = {"2xx": 1, "answers": 1} if when == "answering" else {}
        assert gateway.numbers() == {"connects": 1, **answered}


async def test_who_is_left_out_is_shown(passing: Any) -> None:
    """
    Whoever judges it, checks or answers.
    """
    async with passing(Backend(hello), Backend(hello)) as gateway:
        standing = gateway.upstream.pools[1].standing
        standing.is_ejected = True
        standing.judge(0.0)
        gateway.upstream.pools[1].note_ejection()
        assert (gateway.numbers(0), gateway.numbers(1)) == ({}, {"left_out": 1, "ejections": 1})
        standing.is_ejected = False
        standing.judge(1.0)
        assert gateway.numbers(1) == {"ejections": 1}
