"""What comes over a WebSocket, read a byte at a time, in any pieces, and by two readers that must agree."""

import itertools
import zlib
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.worker.limits import WEBSOCKET_FRAMES_PER_TURN_MAX, WEBSOCKET_QUEUE_BYTES_MAX
from penstock.worker.websocket.deflate import Deflate
from penstock.worker.websocket.wire import BINARY, TEXT, Wire
from tests.worker.websocket.conftest import close_frame, frame

SIZE_MAX = 100_000
CONTEXTS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "takeover": {},
    "no takeover": {"server_no_context_takeover": None, "client_no_context_takeover": None},
}


def wire_of(
    *,
    is_quick: bool = True,
    deflate: dict[str, Any] | None = None,
    size_max: int = SIZE_MAX,
    count_max: int = 10_000,
) -> Wire:
    core = ServerProtocol(state=State.OPEN, max_size=size_max)
    if deflate is not None:
        core.extensions = [Deflate(deflate)]
    messages: deque[Any] = deque()
    return Wire(core, messages, message_bytes_max=size_max, queue_count_max=count_max, is_quick=is_quick)


def read(wire: Wire, data: bytes, cuts: list[int] | None = None) -> tuple[list[Any], bytes, Any]:
    """Feed bytes cut in pieces, taking messages at once; return messages, output and the end."""
    found: list[Any] = []
    bounds = [0, *sorted(cuts or []), len(data)]
    for start, stop in itertools.pairwise(bounds):
        if wire.end is not None:
            break
        if start == stop:
            continue
        wire.receive(data[start:stop])
        while True:
            found += wire.messages
            wire.messages.clear()
            wire.drained()
            if not wire.has_more:
                break
            wire.go_on()
    return [message.get("text", message.get("bytes")) for message in found], b"".join(wire.output), wire.end


def a_byte_at_a_time(data: bytes) -> list[int]:
    return list(range(1, len(data)))


def compressed(*payloads: bytes, takeover: bool = True, bits: int = 15) -> list[bytes]:
    """Compress messages as a client does."""
    found = []
    stream = zlib.compressobj(wbits=-bits)
    for payload in payloads:
        if not takeover:
            stream = zlib.compressobj(wbits=-bits)
        found.append((stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4])
    return found


def closing(code: int, reason: str = "") -> bytes:
    """Write our close."""
    return frame(0x88, code.to_bytes(2, "big") + reason.encode(), mask=None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537, SIZE_MAX])
@pytest.mark.parametrize("first", [TEXT, BINARY])
def test_messages_of_every_form_of_length_come_whole(size: int, first: int) -> None:
    payload = (b"abcd" * (size // 4 + 1))[:size]
    data = frame(first, payload) + frame(first, b"next")

    found, output, end = read(wire_of(), data)

    wanted: list[Any] = [payload, b"next"] if first == BINARY else [payload.decode(), "next"]
    assert (found, output, end) == (wanted, b"", None)
    assert read(wire_of(), data, [1, 3, 7, size // 2, size]) == (wanted, b"", None)


def test_a_byte_at_a_time_is_as_good_as_all_at_once() -> None:
    data = (
        frame(TEXT, "grüß".encode())
        + frame(0x01, "ein Ä".encode()[:-1])
        + frame(0x89, b"are you there")
        + frame(0x80, "Ä".encode()[-1:])
        + frame(BINARY, bytes(300))
        + frame(0x8A)
        + close_frame(4000, "bye")
    )
    wanted = (
        ["grüß", "ein Ä", bytes(300)],
        frame(0x8A, b"are you there", mask=None) + closing(4000, "bye"),
        (4000, "bye"),
    )

    assert read(wire_of(), data) == wanted
    assert read(wire_of(), data, a_byte_at_a_time(data)) == wanted


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"x", mask=None), 1002, id="no mask"),
        pytest.param(frame(TEXT, b"x" * 300, mask=None), 1002, id="no mask, longer"),
        pytest.param(frame(0x88, b"", mask=None), 1002, id="close without a mask"),
        *(pytest.param(frame(0x81 | bit, b"x"), 1002, id=f"reserved {bit:#x}") for bit in (0x40, 0x20, 0x10)),
        pytest.param(frame(0xC9, b""), 1002, id="reserved bit of a ping"),
        *(
            pytest.param(frame(0x80 | opcode), 1002, id=f"opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        pytest.param(frame(0x89, bytes(126)), 1002, id="long ping"),
        pytest.param(frame(0x09, b""), 1002, id="ping in fragments"),
        pytest.param(frame(0x08, b""), 1002, id="close in fragments"),
        pytest.param(frame(0x80, b"x"), 1002, id="continues nothing"),
        pytest.param(frame(0x00, b"x"), 1002, id="continues nothing, not the last"),
        pytest.param(frame(0x01, b"x") + frame(0x81, b"y"), 1002, id="a message in a message"),
        pytest.param(frame(0x01, b"x") + frame(0x82, b"y"), 1002, id="another kind in a message"),
        pytest.param(frame(0x88, b"\x03"), 1002, id="close of one byte"),
        *(
            pytest.param(close_frame(code), 1002, id=f"close with {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        pytest.param(frame(0x88, b"\x03\xe8\xff"), 1007, id="reason is no text"),
        pytest.param(frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="overlong"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="beyond Unicode"),
        pytest.param(frame(TEXT, b"\xe2\x82"), 1007, id="half a character"),
        pytest.param(frame(TEXT, b"x" * 70_000 + b"\xff"), 1007, id="long and wrong"),
        pytest.param(frame(0x01, b"\xe2") + frame(0x80, b"\x28\xa1"), 1007, id="wrong across fragments"),
        pytest.param(frame(0x01, b"ok \xff"), 1007, id="wrong in the first fragment"),
        pytest.param(frame(0x01, b"\xe2\x82") + frame(0x80), 1007, id="ends within a character"),
        pytest.param(frame(BINARY, bytes(SIZE_MAX + 1)), 1009, id="too big"),
        pytest.param(b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4), 1009, id="far too big"),
        pytest.param(frame(0x02, bytes(SIZE_MAX)) + frame(0x80, b"x"), 1009, id="too big in fragments"),
    ],
)
def test_what_is_not_allowed_ends_it(data: bytes, code: int) -> None:
    """
    With one close, and not a word to the app of what came with it.
    """
    for cuts in ([], a_byte_at_a_time(data) if len(data) < 1000 else [1, 5, 5000]):
        for is_quick in (True, False):
            wire = wire_of(is_quick=is_quick)
            found, output, end = read(wire, data, cuts)
            assert end is not None
            assert end[0] == code
            assert found == []
            assert output == closing(*end)
            assert not wire.is_clean or data[:1] == b"\x88"


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
def test_every_code_that_may_be_sent_is_echoed(code: int) -> None:
    assert read(wire_of(), close_frame(code, "why")) == ([], closing(code, "why"), (code, "why"))


def test_close_without_a_code_is_1005_and_answered_in_kind() -> None:
    assert read(wire_of(), frame(0x88)) == ([], frame(0x88, mask=None), (1005, ""))


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_close_may_come_within_a_message(is_quick: bool) -> None:
    """
    Of which there is no more then. A close that is wrong is wrong there, too.
    """
    data = frame(0x01, b"begun") + close_frame(1000, "changed my mind")
    wanted: Any = ([], closing(1000, "changed my mind"), (1000, "changed my mind"))

    for cuts in ([], a_byte_at_a_time(data)):
        assert read(wire_of(is_quick=is_quick), data, cuts) == wanted
    _, _, end = read(wire_of(is_quick=is_quick), frame(0x01, b"begun") + frame(0x88, b"x"))
    assert end is not None
    assert end[0] == 1002


def test_nothing_is_read_behind_a_close() -> None:
    assert read(wire_of(), close_frame(1000) + frame(TEXT, b"late"))[0] == []


@pytest.mark.parametrize("context", ["takeover", "no takeover"])
@pytest.mark.parametrize("is_quick", [True, False])
def test_compressed_messages_are_read_and_written(context: str, is_quick: bool) -> None:
    """
    Short and long, whole and in fragments, between others that are not compressed.
    """
    texts = [b"hello hello hello", b"hello hello hello", b"", bytes(50_000), b"hello hello hello" * 100]
    pieces = compressed(*texts, takeover=context == "takeover")
    data = frame(TEXT, b"plain")
    for piece in pieces:
        data += frame(BINARY | 0x40, piece)
    wire = wire_of(deflate=CONTEXTS[context], is_quick=is_quick)
    assert read(wire, data) == (["plain", *texts], b"", None)

    head, payload = wire.pack(TEXT, b"hello " * 200)
    assert head[0] == TEXT | 0x40
    assert len(payload) < 100
    assert zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == b"hello " * 200
    again = wire.pack(TEXT, b"hello " * 200)[1]
    assert (len(again) < len(payload)) is (context == "takeover")
    assert wire.pack(TEXT, b"short") == (b"\x81\x05", b"short")


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_compressed_message_in_fragments_is_one_stream(is_quick: bool) -> None:
    [piece] = compressed(b"hello hello " * 500)
    data = frame(0x41, piece[:5]) + frame(0x89, b"!") + frame(0x00, piece[5:9]) + frame(0x80, piece[9:])

    found, output, end = read(wire_of(deflate={}, is_quick=is_quick), data, a_byte_at_a_time(data))

    assert (found, output, end) == (["hello hello " * 500], frame(0x8A, b"!", mask=None), None)


@pytest.mark.parametrize("is_quick", [True, False])
@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("size", [SIZE_MAX - 1, SIZE_MAX, SIZE_MAX + 1, 50_000_000])
def test_a_bomb_is_not_built_up(size: int, fragments: int, is_quick: bool) -> None:
    """
    The limit is for what a message decompresses to, to the byte.
    """
    [piece] = compressed(bytes(size))
    if fragments == 1:
        data = frame(0xC2, piece)
    else:
        at = len(piece) // fragments
        data = frame(0x42, piece[:at]) + frame(0x00, b"") * (fragments - 2) + frame(0x80, piece[at:])
    found, _, end = read(wire_of(deflate={}, is_quick=is_quick), data)

    if size <= SIZE_MAX:
        assert (found, end) == ([bytes(size)], None)
    else:
        assert found == []
        assert end is not None
        assert end[0] == 1009


def test_a_bomb_behind_a_message_that_fills_the_limit_is_not_built_up() -> None:
    """
    To zlib a limit of nothing is no limit.
    """
    first, bomb = compressed(bytes(SIZE_MAX), bytes(50_000_000))
    stream = zlib.compressobj(wbits=-15)
    start = stream.compress(bytes(SIZE_MAX)) + stream.flush(zlib.Z_SYNC_FLUSH)
    rest = stream.compress(bytes(50_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    data = frame(0x42, start) + frame(0x80, rest[:-4])

    found, _, end = read(wire_of(deflate={}), data)

    assert found == []
    assert end is not None
    assert end[0] == 1009
    assert len(first) < len(bomb)


@pytest.mark.parametrize("is_quick", [True, False])
def test_what_is_no_deflate_ends_it(is_quick: bool) -> None:
    for payload in (b"\xff\xff\xff", b"\x06", zlib.compress(b"zlib's own header")):
        _, _, end = read(wire_of(deflate={}, is_quick=is_quick), frame(0xC1, payload))
        assert end is not None
        assert end[0] == 1002


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_stream_may_say_that_it_ends(is_quick: bool) -> None:
    """
    RFC 7692, section 7.2.3.4; the next message then begins another. Garbage behind it is kept by nobody.
    """
    last = bytes((0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00))
    wire = wire_of(deflate={}, is_quick=is_quick)
    assert read(wire, frame(0xC1, last) * 3) == (["Hello"] * 3, b"", None)

    _, _, end = read(wire, frame(0x41, last + b"garbage"))
    assert end is not None
    assert end[0] == 1002


# Both readers on anything that is nearly right.

firsts = st.sampled_from(
    [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0xC1, 0xC2, 0x41, 0x42, 0x88, 0x83, 0x91]
)
words = st.sampled_from(
    [
        b"",
        b"a",
        b"hello",
        "grüß".encode(),
        b"\xe2\x82",
        b"\xff",
        b"x" * 125,
        b"y" * 126,
        b"z" * 300,
        b"\x03\xe8",
        b"\x03\xe8bye",
    ]
)
shapes = st.tuples(firsts, words, st.booleans(), st.integers(0, 30), st.integers(0, 40))


def assemble(parts: list[tuple[int, bytes, bool, int, int]], deflate: bool) -> bytes:
    """Write frames, of which few are wrong."""
    data = b""
    for first, payload, squeezes, without_mask, strange in parts:
        body = compressed(payload)[0] if deflate and squeezes and first & 0x40 else payload
        data += frame(first, body, mask=None if without_mask == 1 else b"\x11\x22\x33\x44")
        if strange == 1:
            data += b"\xf0"
    return data


@given(
    st.lists(shapes, max_size=12),
    st.sampled_from(list(CONTEXTS)),
    st.lists(st.integers(0, 1500), max_size=20),
)
def test_both_readers_agree_however_the_bytes_are_cut(
    parts: list[tuple[int, bytes, bool, int, int]], context: str, cuts: list[int]
) -> None:
    """
    The quick one is only quick: same messages, same output, same end.
    """
    deflate = CONTEXTS[context]
    data = assemble(parts, deflate is not None)
    pieces = [cut for cut in cuts if cut < len(data)]
    options: dict[str, Any] = {"deflate": deflate, "size_max": 300}
    wanted = read(wire_of(is_quick=False, **options), data)

    assert read(wire_of(**options), data) == wanted
    assert read(wire_of(**options), data, pieces) == wanted
    assert read(wire_of(count_max=1, **options), data, pieces) == wanted
    assert read(wire_of(is_quick=False, **options), data, a_byte_at_a_time(data)) == wanted


# Room.


def test_reading_stops_when_the_queue_is_full() -> None:
    """
    Whatever comes then waits as bytes, and is not looked at, a close included.
    """
    wire = wire_of(count_max=3)
    data = b"".join(frame(TEXT, b"%d" % number) for number in range(10)) + close_frame(1000)

    assert wire.receive(data)
    assert wire.is_full
    assert wire.has_more
    assert wire.receive(b"")
    assert len(wire.messages) == 3
    found = []
    while wire.has_more or wire.messages:
        found += [wire.messages.popleft()["text"] for _ in range(len(wire.messages))]
        assert len(found) <= 10
        wire.drained()
        wire.go_on()
    assert found == [str(number) for number in range(10)]
    assert wire.end == (1000, "")


def test_the_queue_is_bounded_in_bytes() -> None:
    wire = wire_of()
    wire.receive(frame(BINARY, bytes(2000)) * 100)

    assert len(wire.messages) == -(-WEBSOCKET_QUEUE_BYTES_MAX // 2000)
    assert wire.is_full


def test_bombs_within_the_limit_do_not_all_explode_at_once() -> None:
    """
    A read of the loop has room for hundreds of them.
    """
    wire = wire_of(deflate=CONTEXTS["no takeover"])
    [piece] = compressed(bytes(SIZE_MAX))
    wire.receive(frame(0xC2, piece) * 100)

    assert len(wire.messages) == 1


def test_a_turn_has_an_end() -> None:
    """
    A read full of pings is answered in many turns, with others in between.
    """
    wire = wire_of()
    count = 10 * WEBSOCKET_FRAMES_PER_TURN_MAX
    assert wire.receive(frame(0x89) * count)

    assert len(wire.output) == WEBSOCKET_FRAMES_PER_TURN_MAX
    assert wire.has_more
    turns = 1
    while wire.has_more:
        wire.go_on()
        turns += 1
    assert (turns, len(wire.output)) == (10, count)


def test_fragments_by_the_thousand_are_one_message() -> None:
    """
    And one piece of memory, not an object for each.
    """
    data = frame(0x02) + frame(0x00, b"x") * 3000 + frame(0x00) * 3000 + frame(0x80, b"y")

    assert read(wire_of(), data) == ([b"x" * 3000 + b"y"], b"", None)


# Closing first.


def test_after_our_close_what_was_sent_before_still_comes() -> None:
    wire = wire_of()
    wire.close(1012, "")
    found, output, end = read(wire, frame(TEXT, b"crossed") + close_frame(1012))

    assert (found, output, end) == (["crossed"], closing(1012), (1012, ""))
    assert wire.is_clean


def test_after_the_apps_close_nothing_does() -> None:
    wire = wire_of()
    wire.receive(frame(TEXT, b"waits"))
    wire.close(1000, "")
    wire.discard()

    assert read(wire, frame(TEXT, b"crossed") + close_frame(1000)) == ([], closing(1000), (1000, ""))


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_nobody_may_send_is_the_apps_mistake(code: int) -> None:
    wire = wire_of()
    with pytest.raises(ValueError, match=str(code)):
        wire.close(code, "")
    wire.close(1000, "")
    assert b"".join(wire.output) == closing(1000)


def test_a_long_reason_is_cut_between_characters() -> None:
    """
    Reasons are often the text of an exception, and a close frame has 125 bytes.
    """
    wire = wire_of()
    wire.close(1000, "ä" * 100)

    assert b"".join(wire.output) == closing(1000, "ä" * 61)
