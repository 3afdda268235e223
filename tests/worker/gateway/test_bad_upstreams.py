"""
Servers that do what none should, each at every step: what the client gets, and that nothing is left of it.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.worker.http.phases import STREAMING
from penstock.worker.limits import UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_HEADERS_MAX, UPSTREAM_INTERIMS_MAX
from tests.worker.gateway.conftest import Backend, Outcome, Visit, outcome

GET = b"GET /x?a=1 HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nworld"
LARGE = b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
LONG = OK + b"Content-Length: 5\r\nX: %b\r\n\r\nhello"

# What a server does instead of saying something.
ASKED, RESETS, SLEEPS, PAUSES = "asked", "resets", "sleeps", "pauses"
Steps = Sequence[bytes | str]

WHOLE = Outcome(200, b"hello", is_whole=True)
REFUSED, LATE, CUT = 502, 504, "cut"


async def hello(visit: Visit) -> None:
    """Answer every request in the same words."""
    while True:
        await visit.head()
        await visit.say(HELLO)


class Play:
    """A server that goes through these steps on its first connection."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.sleeps = asyncio.Event()

    async def __call__(self, visit: Visit) -> None:
        """Act."""
        for step in self.steps:
            if isinstance(step, bytes):
                await visit.say(step)
            elif step == ASKED:
                await visit.head()
            elif step == RESETS:
                await visit.reset()
            elif step == PAUSES:
                await asyncio.sleep(0.005)
            else:
                self.sleeps.set()
                while await visit.reader.read(65536):
                    pass


BAD: dict[str, tuple[Steps, Outcome | int | str]] = {
    # It ends.
    "at once": ((), REFUSED),
    "when asked": ((ASKED,), REFUSED),
    "in the status line": ((ASKED, b"HTTP/1.1 2"), REFUSED),
    "after the status line": ((ASKED, OK), REFUSED),
    "in a header": ((ASKED, OK + b"Content-Le"), REFUSED),
    "before the empty line": ((ASKED, OK + b"Content-Length: 5\r\n"), REFUSED),
    "in the empty line": ((ASKED, OK + b"Content-Length: 5\r\n\r"), REFUSED),
    "after a hint": ((ASKED, HINT), REFUSED),
    "after the head": ((ASKED, HELLO[:-5]), CUT),
    "in the body": ((ASKED, HELLO[:-2]), CUT),
    "in the body, later": ((ASKED, HELLO[:-4], PAUSES, HELLO[-4:-1]), CUT),
    "before a chunk": ((ASKED, CHUNKED), CUT),
    "in a chunk's size": ((ASKED, CHUNKED + b"5"), CUT),
    "in a chunk": ((ASKED, CHUNKED + b"5\r\nhel"), CUT),
    "after a chunk": ((ASKED, CHUNKED + b"5\r\nhello\r\n"), CUT),
    "in the last chunk": ((ASKED, CHUNKED + b"5\r\nhello\r\n0\r\n"), CUT),
    "in a trailer": ((ASKED, CHUNKED + b"5\r\nhello\r\n0\r\nX: 1\r\n"), CUT),
    # It breaks off.
    "resets at once": ((RESETS,), REFUSED),
    "resets when asked": ((ASKED, RESETS), REFUSED),
    "resets in its head": ((ASKED, OK, PAUSES, RESETS), REFUSED),
    "resets in its body": ((ASKED, HELLO[:-2], PAUSES, RESETS), CUT),
    "resets in chunks": ((ASKED, CHUNKED + b"5\r\nhello\r\n", PAUSES, RESETS), CUT),
    "resets with no length told": ((ASKED, OK + b"\r\nhello", PAUSES, RESETS), CUT),
    "answers and resets": ((ASKED, HELLO, PAUSES, RESETS), WHOLE),
    "answers and resets before the request is read": ((HELLO, RESETS), WHOLE),
    # It answers otherwise than one expects.
    "in pieces": ((ASKED, HELLO[:9], PAUSES, HELLO[9:40], PAUSES, HELLO[40:]), WHOLE),
    "with no length told": ((ASKED, OK + b"\r\nhel", PAUSES, b"lo"), WHOLE),
    "without a reason": ((ASKED, HELLO.replace(b" OK", b"")), WHOLE),
    "after empty lines": ((ASKED, b"\r\n\r\n" + HELLO), WHOLE),
    "twice": ((ASKED, HELLO + HELLO, SLEEPS), WHOLE),
    "twice, the second later": ((ASKED, HELLO, PAUSES, HELLO, SLEEPS), WHOLE),
    "and goes on with garbage": ((ASKED, HELLO + b"garbage\r\n\r\n", SLEEPS), WHOLE),
    "and goes on after chunks": ((ASKED, CHUNKED + b"5\r\nhello\r\n0\r\n\r\nmore", SLEEPS), WHOLE),
    "with extensions of chunks": ((ASKED, CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), WHOLE),
    "with trailers": ((ASKED, CHUNKED + b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), WHOLE),
    # It speaks something else.
    "garbage": ((ASKED, b"garbage\r\n\r\n", SLEEPS), REFUSED),
    "zeros": ((ASKED, bytes(1000), SLEEPS), REFUSED),
    "an alert of TLS": ((ASKED, b"\x15\x03\x01\x00\x02\x02\x0a"), REFUSED),
    "HTTP/0.9": ((ASKED, b"<html>hello</html>"), REFUSED),
    "HTTP/2": ((ASKED, b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", SLEEPS), REFUSED),
    "a request": ((ASKED, GET, SLEEPS), REFUSED),
    "lines that end in LF": ((ASKED, HELLO.replace(b"\r\n", b"\n"), SLEEPS), REFUSED),
    "a folded header": ((ASKED, OK + b"X: a\r\n b\r\n\r\n", SLEEPS), REFUSED),
    "a NUL in a header": ((ASKED, OK + b"X: a\0b\r\n\r\n", SLEEPS), REFUSED),
    "a CR in a header": ((ASKED, OK + b"X: a\rb: c\r\n\r\n", SLEEPS), REFUSED),
    "a space in a name": ((ASKED, OK + b"X Y: a\r\n\r\n", SLEEPS), REFUSED),
    "a negative length": ((ASKED, OK + b"Content-Length: -1\r\n\r\n", SLEEPS), REFUSED),
    "a length of 30 digits": ((ASKED, OK + b"Content-Length: %b\r\n\r\n" % (b"9" * 30), SLEEPS), REFUSED),
    "a chunk of 2^72 bytes": ((ASKED, CHUNKED + b"f" * 18 + b"\r\n", SLEEPS), REFUSED),
    "a chunk that is no number": ((ASKED, CHUNKED, PAUSES, b"zz\r\n", SLEEPS), CUT),
    "a chunk longer than it says": ((ASKED, CHUNKED, PAUSES, b"3\r\nhello\r\n", SLEEPS), CUT),
    "a status of 600": ((ASKED, b"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n", SLEEPS), REFUSED),
    # It says too much.
    "nearly too long a head": ((ASKED, LONG % (b"x" * (UPSTREAM_HEAD_BYTES_MAX - 100)), SLEEPS), WHOLE),
    "too long a head": ((ASKED, LONG % (b"x" * UPSTREAM_HEAD_BYTES_MAX), SLEEPS), REFUSED),
    "a header of 200 KB": ((ASKED, OK + b"X: " + b"x" * 200_000, SLEEPS), REFUSED),
    "a header of 200 KB, whole": ((ASKED, OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n", SLEEPS), REFUSED),
    "as many headers as may be": (
        (ASKED, HELLO.replace(b"\r\n\r\n", b"\r\nX: x" * (UPSTREAM_HEADERS_MAX - 1) + b"\r\n\r\n")),
        WHOLE,
    ),
    "one header more": (
        (ASKED, HELLO.replace(b"\r\n\r\n", b"\r\nX: x" * UPSTREAM_HEADERS_MAX + b"\r\n\r\n"), SLEEPS),
        REFUSED,
    ),
    "5,000 headers": ((ASKED, OK + b"X: x\r\n" * 5000 + b"\r\n", SLEEPS), REFUSED),
    "as many hints as may be": ((ASKED, HINT * UPSTREAM_INTERIMS_MAX + HELLO), WHOLE),
    "hints without end": ((ASKED, HINT * 10_000, SLEEPS), REFUSED),
    "hints without end, one by one": ((ASKED, *(HINT, PAUSES) * 20, SLEEPS), REFUSED),
    "a trailer of 200 KB": ((ASKED, CHUNKED + b"0\r\nX: ", *(b"x" * 20_000, PAUSES) * 10, SLEEPS), CUT),
    "an extension of 200 KB": ((ASKED, CHUNKED + b"5;", *(b"x" * 20_000, PAUSES) * 10, SLEEPS), CUT),
    # It takes its time.
    "never answers": ((ASKED, SLEEPS), LATE),
    "never reads": ((SLEEPS,), LATE),
    "sleeps in its head": ((ASKED, OK, SLEEPS), LATE),
    "sleeps after a hint": ((ASKED, HINT, SLEEPS), LATE),
    "sleeps in its body": ((ASKED, HELLO[:-2], SLEEPS), CUT),
    "sleeps in chunks": ((ASKED, CHUNKED + b"5\r\nhello\r\n", SLEEPS), CUT),
    "sleeps after its answer": ((ASKED, HELLO, SLEEPS), WHOLE),
}


@pytest.mark.parametrize("request_", [GET, POST, LARGE], ids=["GET", "POST", "large"])
@pytest.mark.parametrize("name", BAD)
async def test_each_gets_the_answer_it_deserves(passing: Any, name: str, request_: bytes) -> None:
    """
    A 502, a 504, a body that is seen to be cut, or the whole; and the next request is none the worse.
    """
    steps, expected = BAD[name]
    if request_ is LARGE and name == "with no length told":
        expected = CUT  # It closes with most of the request unread, so its end is a reset.
    play = Play(steps)
    backend = Backend(play)
    async with passing(backend, retry_attempts=0) as gateway:
        client = await gateway.client()
        sending = asyncio.ensure_future(client.send(request_))
        reading = asyncio.ensure_future(outcome(client))
        if SLEEPS in steps:
            await gateway.until(lambda: play.sleeps.is_set() or reading.done())
            if not isinstance(expected, Outcome) and expected != REFUSED:
                await gateway.until(lambda: sending.done() or gateway.upstream.pools[0].busy_count == 0)
                await gateway.until(lambda: _is_through(gateway, reading, expected))
                gateway.pass_time(62)
        got = await reading
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        if expected == CUT:
            assert got.status == 200
            assert not got.is_whole
        elif isinstance(expected, int):
            assert (got.status, got.is_whole) == (expected, True)
        else:
            assert got == expected
        client.sock.close()
        await gateway.until(gateway.is_clean)
        gateway.pass_time(6)  # What went well is closed now, else that server would be asked again.
        backend.script = hello
        assert (await gateway.ask(GET)).body == b"hello"
        assert gateway.upstream.pools[0].idle_count == 1


def _is_through(gateway: Any, reading: Any, expected: object) -> bool:
    """Tell whether all that was said on either side has come to the gateway."""
    exchanges = gateway.site.exchanges()
    if reading.done() or not exchanges:
        return bool(reading.done())
    inbox = exchanges[0].inbox
    return (inbox is None or inbox.is_complete) and (expected == LATE or exchanges[0].phase == STREAMING)


async def test_a_head_that_trickles_has_to_end(passing: Any) -> None:
    """
    The time to the first byte is the time to the end of the head, whatever comes meanwhile.
    """

    async def trickle(visit: Visit) -> None:
        await visit.head()
        for at in range(len(HELLO)):
            await visit.say(HELLO[at : at + 1])
            await asyncio.sleep(0.001)
            gateway.pass_time(1)

    async with passing(Backend(trickle), retry_attempts=0, first_byte_timeout_s=10.0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        assert (await outcome(client)).status == 504


async def test_a_body_that_trickles_is_a_stream(passing: Any) -> None:
    """
    Nobody can tell a slow server from a stream of events, so as long as something comes it goes on.
    """

    async def trickle(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO[:-5])
        for at in range(5):
            gateway.pass_time(8)
            await visit.say(b"hello"[at : at + 1])
            await asyncio.sleep(0.005)

    async with passing(Backend(trickle), retry_attempts=0, idle_response_timeout_s=10.0) as gateway:
        client = await gateway.client()
        await client.send(GET)
        assert await outcome(client) == WHOLE


async def test_a_server_that_never_accepts(passing: Any) -> None:
    """
    Its queue is full, and the kernel says nothing: 504 in time, and the attempt is over.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            address = f"127.0.0.1:{sock.getsockname()[1]}"
            async with passing(address, retry_attempts=0, connect_timeout_s=0.2) as gateway:
                client = await gateway.client()
                await client.send(GET)
                assert (await outcome(client)).status == 504


async def test_an_early_answer_outlives_the_connection_that_brought_it(passing: Any) -> None:
    """
    A server says 413 and closes with most of the request unread, which its kernel makes a reset.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    async with passing(Backend(script), retry_attempts=0) as gateway:
        for _ in range(20):
            client = await gateway.client()
            sending = asyncio.ensure_future(client.send(LARGE))
            assert await outcome(client) == Outcome(413, b"no", is_whole=True)
            client.sock.close()
            await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("is_reset", [False, True])
async def test_an_idle_connection_that_closes_is_lent_to_nobody(passing: Any, is_reset: bool) -> None:
    """
    Whenever it closes: before, while or after the next request sets out, even one that cannot be repeated.
    """

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO)
        gate.set()
        if is_reset:
            await visit.reset()

    async with passing(Backend(script), retry_attempts=0) as gateway:
        for turn in range(8):
            gate = asyncio.Event()
            client = await gateway.client()
            await client.send(GET)
            assert await outcome(client) == WHOLE
            await gate.wait()
            for _ in range(turn):
                await asyncio.sleep(0)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(passing: Any) -> None:
    """
    They would be taken for the answer to the next request.
    """
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO)
        await gate.wait()
        await visit.say(HELLO.replace(b"hello", b"wrong"))
        await visit.reader.read()

    backend = Backend(script)
    async with passing(backend, retry_attempts=0) as gateway:
        assert (await gateway.ask(GET)).body == b"hello"
        pool = gateway.upstream.pools[0]
        assert pool.idle_count == 1
        gate.set()
        await gateway.until(lambda: pool.open_count == 0)
        backend.script = hello
        assert (await gateway.ask(GET)).body == b"hello"


async def test_what_is_remembered_of_a_response_goes_by_all_of_its_head(passing: Any) -> None:
    """
    A head that comes in two reads, or after a hint, is not known by its first bytes.
    """
    for first, second in ((HELLO[:8], HELLO[8:]), (HINT, HELLO), (HINT + HELLO[:-5], b"hello")):

        async def script(visit: Visit, first: bytes = first, second: bytes = second) -> None:
            while True:
                await visit.head()
                await visit.say(first)
                await asyncio.sleep(0.005)
                await visit.say(second)

        async with passing(Backend(script)) as gateway:
            client = await gateway.client()
            for _ in range(4):
                await client.send(GET)
                assert await outcome(client) == WHOLE
