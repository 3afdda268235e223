"""
What went wrong lately: requests that were slow or failed, in a ring of each row.

A record is two words of numbers that a glance needs, and a text of up to 160
bytes. What does not fit is cut, and never the record lost for it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.shm.counting import RingWriter
from penstock.shm.layout import MASTER_CLAIM, MASTER_GENERATION, MASTER_SLOT, OWNER_EVENTS_HEAD, WORD_SIZE
from penstock.shm.ring import FRAME_WORDS, Ring, read_records
from penstock.shm.row import Row
from penstock.shm.schema import EVENT_WORDS

_PAYLOAD_WORDS: Final = EVENT_WORDS - FRAME_WORDS
_HEAD_WORDS: Final = 6
TEXT_BYTES_MAX: Final = (_PAYLOAD_WORDS - _HEAD_WORDS) * WORD_SIZE

_HALF_MAX: Final = 2**32 - 1
_SLOT_NONE: Final = 2**16 - 1
_WORD_DIGITS_MAX: Final = 9


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A request that took long, or failed."""

    number: int  # counts up by one in each row
    time_ns: int  # wall-clock time, at its end
    elapsed_us: int
    sent_bytes: int
    status: int
    route: int  # the first word of its route's counters
    generation: int
    slot: int | None
    claim: int  # the low sixteen bits
    method: str
    path: str  # without the query, and maybe without its end
    request_id: str  # empty: none
    server: int = 0  # the first word of the numbers of the upstream server that had it; 0: none
    failure: str = ""  # why that one did not answer


class EventWriter:
    """Pushes events into the ring of a row that this process has adopted."""

    def __init__(self, row: Row) -> None:
        slot = row.master[MASTER_SLOT]
        self._identity = (
            (row.master[MASTER_GENERATION] & _HALF_MAX) << 32
            | min(slot, _SLOT_NONE) << 16
            | row.master[MASTER_CLAIM] & 0xFFFF
        )
        self._ring = RingWriter(_ring(row))

    def push(
        self,
        *,
        time_ns: int,
        elapsed_us: int,
        sent_bytes: int,
        status: int,
        route: int,
        method: str,
        path: str,
        request_id: str = "",
        server: int = 0,
        failure: str = "",
    ) -> None:
        """Append an event."""
        if server or failure:
            # No method has a blank. Whoever knows nothing of servers shows it as part of the method.
            method = f"{method} {server} {failure}"
        text = "\n".join((method, request_id, path)).encode("utf-8", "replace")[:TEXT_BYTES_MAX]
        words = memoryview(text.ljust(TEXT_BYTES_MAX, b"\0")).cast("Q").tolist()
        head = (time_ns, elapsed_us, sent_bytes, self._identity, status << 32 | route, len(text))
        self._ring.push_long((*head, *words))


def read_events(row: Row, since: int = 0) -> list[Event]:
    """Give the events from number `since` on, oldest first, whoever owned the row then."""
    return [_unpack(number, payload) for number, payload in read_records(_ring(row), since)]


def _ring(row: Row) -> Ring:
    return Ring(row.events, EVENT_WORDS, row.owner, OWNER_EVENTS_HEAD)


def _unpack(number: int, payload: Sequence[int]) -> Event:
    time_ns, elapsed_us, sent_bytes, identity, what, size = payload[:_HEAD_WORDS]
    encoded = b"".join(word.to_bytes(WORD_SIZE, "little") for word in payload[_HEAD_WORDS:])
    text = encoded[: min(size, TEXT_BYTES_MAX)].decode("utf-8", "replace")
    asked, request_id, path = (*text.split("\n", 2), "", "")[:3]
    method, server, failure = (*asked.split(" ", 2), "", "")[:3]
    slot = identity >> 16 & 0xFFFF
    return Event(
        number=number,
        time_ns=time_ns,
        elapsed_us=elapsed_us,
        sent_bytes=sent_bytes,
        status=what >> 32,
        route=what & _HALF_MAX,
        generation=identity >> 32,
        slot=None if slot == _SLOT_NONE else slot,
        claim=identity & 0xFFFF,
        method=method,
        path=path,
        request_id=request_id,
        server=int(server) if server.isdecimal() and len(server) <= _WORD_DIGITS_MAX else 0,
        failure=failure,
    )
