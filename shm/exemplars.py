"""
Exemplars: for a few cells of an area, the last observation that came with labels such as a trace id.

A cell gets the next free record, and when all are taken the one that was given
away first. The owner stores a record as a ring record is stored (see ring.py),
and a reader accepts it under the same terms, fences included:

    sequence, odd while it is written
    cell, value, time, length
    labels
    checksum over the sequence to come and all of the above
    sequence, even
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from penstock.shm.fence import reader_fence
from penstock.shm.layout import WORD_SIZE
from penstock.shm.ring import FRAME_WORDS, SPREAD
from penstock.shm.schema import EXEMPLAR_COUNT, EXEMPLAR_WORDS

RECORD_COUNT: Final = EXEMPLAR_COUNT
RECORD_WORDS: Final = EXEMPLAR_WORDS
AREA_WORDS: Final = RECORD_COUNT * RECORD_WORDS

# A record without its frame, and without the four numbers.
_TEXT_WORDS: Final = RECORD_WORDS - FRAME_WORDS - 4
_BODY: Final = struct.Struct(f"<QddQ{_TEXT_WORDS * WORD_SIZE}s")
assert _BODY.size == (RECORD_WORDS - FRAME_WORDS) * WORD_SIZE

LABEL_BYTES_MAX: Final = _TEXT_WORDS * WORD_SIZE

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, str]).decode


class ExemplarReading(NamedTuple):
    """An observation and the labels that came with it."""

    labels: dict[str, str]
    value: float
    timestamp: float


class ExemplarWriter:
    """The one writer of an area's exemplars. Not for two threads at once."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._records: dict[int, int] = {}  # by cell
        self._next = 0
        for number, cell, _ in _records(words):
            self._records[cell] = number
            self._next = number + 1

    def put(self, cell: int, exemplar: ExemplarReading) -> bool:
        """Keep an exemplar for a cell, unless its labels are too long."""
        text = _encode(exemplar.labels)
        if len(text) > LABEL_BYTES_MAX or len(self._words) < AREA_WORDS:
            return False
        number = self._records.get(cell)
        if number is None:
            number = self._next % RECORD_COUNT
            self._next = number + 1
            self._records = {other: held for other, held in self._records.items() if held != number}
            self._records[cell] = number
        body = _BODY.pack(cell, exemplar.value, exemplar.timestamp, len(text), text)
        at = number * RECORD_WORDS
        whole = (self._words[at] | 1) + 1
        self._words[at] = whole - 1
        for offset, word in enumerate(memoryview(body).cast("Q").tolist(), at + 1):
            self._words[offset] = word
        self._words[at + RECORD_WORDS - 1] = _check(body, whole)
        self._words[at] = whole
        return True


def read_exemplars(words: memoryview) -> dict[int, ExemplarReading]:
    """Give the exemplars that are whole, by their cells."""
    return {cell: exemplar for _, cell, exemplar in _records(words)}


def _check(body: bytes, sequence: int) -> int:
    return zlib.crc32(body, sequence * SPREAD & 0xFFFFFFFF)


def _records(words: memoryview) -> Iterator[tuple[int, int, ExemplarReading]]:
    begun = []
    for number in range(min(RECORD_COUNT, len(words) // RECORD_WORDS)):
        at = number * RECORD_WORDS
        sequence = words[at]
        if sequence == 0:
            break  # Records are taken in order; from here on none was.
        if not sequence & 1:
            begun.append((number, at, sequence))
    if not begun:
        return
    reader_fence()
    copies = [(*each, words[each[1] + 1 : each[1] + RECORD_WORDS].tobytes()) for each in begun]
    reader_fence()
    for number, at, sequence, copy in copies:
        body = copy[:-WORD_SIZE]
        if words[at] != sequence or int.from_bytes(copy[-WORD_SIZE:], "little") != _check(body, sequence):
            continue
        cell, value, timestamp, length, text = _BODY.unpack(body)
        try:
            labels = _decode(text[:length])
        except msgspec.MsgspecError:
            continue
        yield number, cell, ExemplarReading(labels, value, timestamp)
