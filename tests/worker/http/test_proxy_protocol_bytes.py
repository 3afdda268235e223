"""What comes of a header that was mutilated, however it arrives, against a reading of the whole."""

import asyncio
import json
from contextlib import suppress
from itertools import pairwise

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.worker.proxy_protocol.header import HeaderError, NoHeader, read_header, write_v2
from tests.worker.http.conftest import _serve
from tests.worker.http.test_proxy_protocol import FOUR, LAST, SIX, SPEC, names, rejected
from tests.worker.proxy_protocol.writing import write_v1

HEADERS = (write_v1(FOUR), write_v2(FOUR), write_v2(SIX, with_checksum=True), write_v1(None), b"GET /")
CHANGES = (b"", b" ", b"\0", b"\r\n", b"1", b"\xff" * 3)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(HEADERS), st.one_of(st.none(), st.tuples(st.integers(0, 60), st.sampled_from(CHANGES))),
    st.lists(st.integers(0, 90), max_size=5),
)  # fmt: skip
def test_any_bytes_in_any_pieces_come_to_what_they_say(
    header: bytes, change: tuple[int, bytes] | None, cuts: list[int]
) -> None:
    """
    Served under the names that are told, answered or closed: as the bytes are, and not as they come.
    """
    if change is not None:
        header = header[: change[0]] + change[1] + header[change[0] + 1 :]
    sent = header + LAST
    try:
        read = read_header(sent)
        outcome = {}
    except NoHeader:
        read, outcome = None, {"missing": 1}
    except HeaderError:
        read, outcome = None, {"malformed": 1}

    async def scenario() -> None:
        async with _serve(names, proxy_protocol=SPEC) as server:
            client = await server.client()
            for start, end in pairwise([0, *sorted(cuts), len(sent)]):
                with suppress(ConnectionError):
                    await client.send(sent[start:end])
                for _ in range(3):
                    await asyncio.sleep(0)
            with suppress(OSError):
                client.finish()
            answer = await client.rest()
            if read is not None and read.endpoints is not None and sent[read.size :] == LAST:
                assert json.dumps(read.endpoints.client).encode() in answer
            elif outcome == {"malformed": 1} or (outcome and not sent[:1].isupper()):
                assert answer.removesuffix(b"<reset>") == b""
            assert rejected(server) == (outcome or ({} if read is not None else {"malformed": 1}))

    uvloop.run(scenario())
