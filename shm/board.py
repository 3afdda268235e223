"""
The board: what each request is that an app of the row's owner is at work on.

An entry has its state and method in its first word, and a first word of zero
says that there is none. It is written when a request begins, so it tells as
well what a blocked loop is blocked by. The path is what `struct.pack_into`
makes of it, which is not one store: a reader takes an entry twice, and believes
it if both are the same.
"""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from penstock.shm.fence import reader_fence
from penstock.shm.layout import WORD_SIZE
from penstock.shm.schema import BOARD_ENTRY_COUNT, BOARD_ENTRY_WORDS, CELL_COUNT_MAX

# States.
ASKED: Final = 1  # the app has not begun its response
STREAMING: Final = 2  # the response is under way
ANSWERED: Final = 3  # the response is complete, or its client gone, and the app goes on
STATES: Final = {ASKED: "asked", STREAMING: "streaming", ANSWERED: "answered"}

# An entry: state, method and route in one word, then start, bytes sent, a spare word, the path. Of a
# request that an upstream server has, the word of the bytes has in its upper bits who that is: the
# first word of the server's numbers. Of bytes there are 2^44 beside it, 17 terabytes.
_STATE_BITS: Final = 8
_METHOD_SHIFT: Final = 8
_ROUTE_SHIFT: Final = 16
STATE_MASK: Final = (1 << _STATE_BITS) - 1
STARTED: Final = 1
SENT_BYTES: Final = 2
_SERVER_SHIFT: Final = 44
_SENT_BYTES_MAX: Final = (1 << _SERVER_SHIFT) - 1
assert CELL_COUNT_MAX <= 1 << (64 - _SERVER_SHIFT)
_PATH_WORD: Final = 4
PATH_BYTES_MAX: Final = (BOARD_ENTRY_WORDS - _PATH_WORD) * WORD_SIZE
_ENTRY: Final = struct.Struct(f"3Q8x{PATH_BYTES_MAX}s")
assert _ENTRY.size == BOARD_ENTRY_WORDS * WORD_SIZE

_post: Final = _ENTRY.pack_into
_post_tag: Final = struct.Struct("Q").pack_into

# By code; 0 is any other. Append only: another release may read it.
METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_CODES: Final = {method: code for code, method in enumerate(METHODS) if method}


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """A request in flight."""

    state: str
    method: str  # empty: none of the usual
    route: int  # the first word of its route's counters
    started_ns: int  # of the monotonic clock
    sent_bytes: int
    path: bytes  # without the query, and maybe without its end
    server: int = 0  # the first word of its upstream server's numbers; 0: none


class BoardWriter:
    """
    The entries of one owner. `counting.py` has it natively where it can.
    """

    __slots__ = ("_buffer", "_free", "_words")

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._buffer = words.cast("B")
        count = len(words) // BOARD_ENTRY_WORDS
        # The first words of entries that are free.
        self._free = [entry * BOARD_ENTRY_WORDS for entry in reversed(range(min(count, BOARD_ENTRY_COUNT)))]

    def begin(self, tag: int, started_ns: int, path: bytes) -> int | None:
        """Write an entry and give what it is known by; None if the board is full."""
        if not self._free:
            return None
        at = self._free.pop()
        # The first word, which says that there is an entry, comes last: half a path is nobody's request.
        _post(self._buffer, at * WORD_SIZE, 0, started_ns, 0, path)
        _post_tag(self._buffer, at * WORD_SIZE, tag)
        return at

    def go_on(self, at: int, state: int, sent_bytes: int) -> None:
        """Say how far the request is."""
        self._words[at + SENT_BYTES] = sent_bytes
        self._words[at] = self._words[at] & ~STATE_MASK | state

    def end(self, at: int) -> None:
        """Take an entry off."""
        self._words[at] = 0
        self._free.append(at)


def method_tag(method: str) -> int:
    """Give one half of the first word of an entry for a request that begins."""
    return ASKED | _CODES.get(method, 0) << _METHOD_SHIFT


def route_tag(route: int) -> int:
    """Give the other half: the first word of the route's counters."""
    return route << _ROUTE_SHIFT


def with_server(sent_bytes: int, server: int) -> int:
    """Give the number of bytes that `go_on` is told, with the upstream server that has the request."""
    return min(sent_bytes, _SENT_BYTES_MAX) | server << _SERVER_SHIFT


def read_board(words: memoryview) -> Iterator[Active]:
    """Give what stands on a board, in no order, without what changed while it was read."""
    for at in range(0, len(words) - BOARD_ENTRY_WORDS + 1, BOARD_ENTRY_WORDS):
        if not words[at]:
            continue
        entry = words[at : at + BOARD_ENTRY_WORDS].tobytes()
        reader_fence()
        if words[at : at + BOARD_ENTRY_WORDS].tobytes() != entry:
            continue
        tag, started_ns, sent_bytes, path = _ENTRY.unpack(entry)
        # The state that counts is the copied one. An entry that is only just being written has no start yet.
        if (state := STATES.get(tag & STATE_MASK)) is None or not started_ns:
            continue
        code = tag >> _METHOD_SHIFT & 0xFF
        yield Active(
            state=state,
            method=METHODS[code] if code < len(METHODS) else "",
            route=tag >> _ROUTE_SHIFT,
            started_ns=started_ns,
            sent_bytes=sent_bytes & _SENT_BYTES_MAX,
            server=sent_bytes >> _SERVER_SHIFT,
            path=path.rstrip(b"\0"),
        )
