"""
A valid response, torn, cut off or garbled anywhere: what the client gets is decided beforehand.
"""

import asyncio
import functools
import itertools
import logging
from dataclasses import dataclass

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.gateway.conftest import Backend, Outcome, Visit, _passing, outcome

GET = b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nServer: behind\r\nX-One: 1\r\n"
CLOSES, RESETS, SLEEPS = "closes", "resets", "sleeps"


@dataclass(frozen=True)
class Torn:
    """What a server says of a response, in which pieces, and what it does then."""

    framing: str  # length, chunked, close
    body: bytes
    cut_at: int | None  # a place in what it says
    garbled_at: int | None
    garbage: int
    tears: tuple[int, ...]
    end: str

    @property
    def whole(self) -> bytes:
        """The response as it should be."""
        if self.framing == "length":
            return HEAD + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body
        if self.framing == "close":
            return HEAD + b"\r\n" + self.body
        half = len(self.body) // 2
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(each), each) for each in (self.body[:half], self.body[half:]) if each
        )
        return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    @property
    def said(self) -> bytes:
        """What of it is said."""
        said = bytearray(self.whole[: self.cut_at])
        if self.garbled_at is not None and said:
            said[self.garbled_at % len(said)] = self.garbage
        return bytes(said)

    @property
    def pieces(self) -> list[bytes]:
        """The same, torn."""
        said = self.said
        places = sorted({each % (len(said) + 1) for each in self.tears} | {0, len(said)})
        return [said[start:end] for start, end in itertools.pairwise(places)]

    def is_garbled(self) -> bool:
        """Tell whether it is another response than the one that was meant, where it is not cut off."""
        return self.said != self.whole[: self.cut_at]

    def expected(self) -> set[tuple[int, bytes | None]]:
        """What may become of it: a status and the body, None for one that is seen to be cut."""
        whole, said = self.whole, self.said
        head_size = whole.index(b"\r\n\r\n") + 4
        if len(said) < head_size:
            return {(504 if self.end == SLEEPS else 502, None)}
        is_complete = self.end == CLOSES if self.framing == "close" else len(said) == len(whole)
        # With no length told, what came is all there is; and what was garbled in the body is its business.
        body = said[head_size:] if self.framing != "chunked" else self.body
        return {(200, body if is_complete else None)}


def torn() -> st.SearchStrategy[Torn]:
    """Give one."""
    return st.builds(
        Torn,
        framing=st.sampled_from(["length", "chunked", "close"]),
        body=st.binary(min_size=1, max_size=40),
        cut_at=st.none() | st.integers(0, 150),
        garbled_at=st.none() | st.integers(0, 150),
        garbage=st.integers(0, 255),
        tears=st.lists(st.integers(0, 200), max_size=6).map(tuple),
        end=st.sampled_from([CLOSES, RESETS, SLEEPS]),
    )


async def play(case: Torn) -> list[Outcome]:
    """Have it said twice on the way through a gateway, and return what the client got."""
    sleeps = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        for piece in case.pieces:
            await visit.say(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if case.end == RESETS:
            await visit.reset()
        elif case.end == SLEEPS:
            sleeps.set()
            await visit.reader.read()

    got = []
    async with _passing(Backend(script), retry_attempts=0) as gateway:
        for _ in range(2):
            sleeps.clear()
            client = await gateway.client()
            await client.send(GET)
            reading = asyncio.ensure_future(outcome(client))
            if case.end == SLEEPS:
                await gateway.until(functools.partial(_is_said, sleeps, reading))
                for _ in range(20):  # for what was said to come through
                    await asyncio.sleep(0)
                gateway.pass_time(62)
            got.append(await reading)
            await gateway.until(gateway.is_clean)
            gateway.pass_time(6)  # What is idle is closed: each time it is the first request.
            await gateway.until(lambda: not gateway.upstream.pools[0].open_count)
    return got


def _is_said(sleeps: asyncio.Event, reading: "asyncio.Future[Outcome]") -> bool:
    return sleeps.is_set() or reading.done()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=torn())
def test_a_torn_response_is_seen_to_be_one(case: Torn, caplog: pytest.LogCaptureFixture) -> None:
    """
    Whole, cut or refused, as it deserves; no hang, no traceback, no part that passes for the whole.
    """
    caplog.clear()
    for got in uvloop.run(play(case)):
        head_size = case.whole.index(b"\r\n\r\n") + 4
        if not case.is_garbled() or (
            case.framing != "chunked"
            and case.garbled_at is not None
            and case.garbled_at % len(case.said) >= head_size
        ):
            status, body = next(iter(case.expected()))
            assert got.status == status
            assert got.is_whole == (body is not None or status != 200)
            if body is not None:
                assert got.body == body
        else:
            # One byte of its framing is another. It may be a response even so, and then a sensible one.
            assert got.status in {502, 504} or 200 <= got.status < 600
            if got.is_whole and got.status == 200 and case.end != CLOSES and case.framing != "close":
                assert len(got.body) <= len(case.said)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


def test_every_place_of_every_framing() -> None:
    """
    Cut at each byte, in pieces of one byte and in one: the same is decided.
    """

    async def all_of_them() -> list[tuple[Torn, list[Outcome]]]:
        found: list[tuple[Torn, list[Outcome]]] = []
        for framing in ("length", "chunked", "close"):
            size = len(Torn(framing, b"hello", None, None, 0, (), CLOSES).whole)
            for cut_at in range(size + 1):
                for tears in ((), tuple(range(size))):
                    case = Torn(framing, b"hello", cut_at, None, 0, tears, CLOSES)
                    found.append((case, await play(case)))
        return found

    for case, outcomes in uvloop.run(all_of_them()):
        for got in outcomes:
            status, body = next(iter(case.expected()))
            assert (got.status, got.is_whole) == (status, body is not None or status != 200), case
            assert body is None or got.body == body
