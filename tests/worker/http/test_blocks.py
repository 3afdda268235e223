"""Header blocks that come again: what is remembered of them, and that it never changes an answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.head import METHODS, Head, HeadParser, RequestError
from penstock.worker.limits import BLOCK_BYTES_MAX, BLOCK_COUNT_MAX, BLOCK_MISSES_MAX

BLOCKS = (
    b"HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    b"HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.0\r\n\r\n",
    b"HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
)


def judged(parser: HeadParser, head: bytes) -> Head | str:
    """Tell what a parser says of a head, good or bad."""
    try:
        return parser.parse(head)
    except RequestError as error:
        return f"{error.status}: {error.reason}"


def knowing(*blocks: bytes) -> HeadParser:
    """Make a parser that has seen each block twice."""
    parser = HeadParser(100)
    for block in blocks:
        # In a row: two blocks may share a mark, and each would wipe out the other's.
        parser.parse(b"GET / " + block)
        parser.parse(b"GET / " + block)
    return parser


@given(
    st.sampled_from(BLOCKS),
    st.sampled_from([*METHODS, b"CONNECT", b"PRI", b"get", b"G ET", b""]),
    st.one_of(
        st.binary(max_size=4).map(lambda tail: b"/" + tail),
        st.binary(max_size=4),
        st.sampled_from(
            [b"*", b"/a?b#c", b"/a##", b"//", b"http://a/b", b"a:1", b"/ HTTP/1.1\r\nA: b\r\n\r\n"]
        ),
    ),
)
def test_known_block_never_changes_the_verdict(block: bytes, token: bytes, target: bytes) -> None:
    """
    Any method and any bytes of a target before it are judged as if alone.
    """
    head = token + b" " + target + b" " + block
    knows = knowing(*BLOCKS)
    assert block in knows.blocks.known
    assert judged(knows, head) == judged(HeadParser(100), head)


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_in_a_target_is_judged_alike(byte: int) -> None:
    """
    What we say of a target in llhttp's place is what llhttp says.
    """
    knows = knowing(BLOCKS[0])
    for form in (b"%c", b"/%c", b"/a%ca", b"/?%c", b"//%c"):
        head = b"GET " + form % byte + b" " + BLOCKS[0]
        assert judged(knows, head) == judged(HeadParser(100), head)


@pytest.mark.parametrize(
    "block",
    [
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1\r\nHost: a\r\nX: " + b"y" * BLOCK_BYTES_MAX + b"\r\n\r\n",
    ],
)
def test_what_is_bad_or_odd_or_long_is_not_kept(block: bytes) -> None:
    """
    Only what was found valid may be found again.
    """
    parser = HeadParser(100)
    for _ in range(3):
        judged(parser, b"GET / " + block)
    assert parser.blocks.known == {}


def test_number_of_known_blocks_is_bounded() -> None:
    """
    Whatever clients think up; and what comes only once drives out nothing.
    """
    parser = knowing(BLOCKS[0])
    for number in range(2 * BLOCK_COUNT_MAX):
        parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: once %d\r\n\r\n" % number)
        parser.blocks.look_again()
    assert list(parser.blocks.known) == [BLOCKS[0]]
    for number in range(2 * BLOCK_COUNT_MAX):
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number
        parser.parse(head)
        parser.parse(head)
        parser.blocks.look_again()
    assert 0 < len(parser.blocks.known) <= BLOCK_COUNT_MAX


def test_nobody_looks_where_no_block_comes_again() -> None:
    """
    Behind a proxy that numbers its requests, looking is a waste, until the next tick.
    """
    parser = knowing(BLOCKS[0])
    for number in range(BLOCK_MISSES_MAX):
        parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
    assert parser.blocks.bytes_max == 0
    parser.blocks.look_again()
    for number in range(2 * BLOCK_MISSES_MAX):
        parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nY: %d\r\n\r\n" % number)
        parser.parse(b"GET / " + BLOCKS[0])
    assert parser.blocks.bytes_max == BLOCK_BYTES_MAX


async def test_app_that_changes_its_headers_changes_no_other_requests(serve: Any) -> None:
    """
    The list in a scope is the app's own.
    """
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(list(scope["headers"]))
        scope["headers"].append((b"added", b"by the app"))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        for path in (b"/a", b"/b", b"/c", b"/d"):
            await client.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
            assert (await client.response()).status == 200
    assert seen == [[(b"host", b"a"), (b"x", b"y")]] * 4


@pytest.mark.parametrize("target", [b"/a\x7f", b"/\xff", b"/a\x00", b"*", b"", b"a", b"/a#b", b"/\tb"])
async def test_bad_target_before_a_known_block_is_refused(serve: Any, target: bytes) -> None:
    """
    On the wire too, where the quick way in looks for blocks by itself.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        for _ in range(3):
            await client.send(b"GET /good " + BLOCKS[0])
            assert (await client.response()).status == 200
        await client.send(b"GET " + target + b" " + BLOCKS[0])
        assert (await client.response()).status == 400
        assert await client.rest() == b""
