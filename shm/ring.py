"""
A ring of 256 records in each row, pushed by the owner and read by anyone.

Nobody waits for anybody. The writer overwrites the oldest record; a reader that
comes upon a record being overwritten leaves it out. Record number n takes the
slot n % 256, and its eight words are stored in this order:

    sequence = 2n + 1      odd: being written
    six words of payload
    checksum over 2n + 2 and the payload
    sequence = 2n + 2      even: whole
    and then, in the owner's line, head = n + 1

A reader accepts record n only if the sequence is 2n + 2 both before and after
it copied the payload, and the checksum agrees. It looks once and never spins: a
writer that was killed between two stores leaves an odd sequence for ever.

On x86 stores become visible in the order they were made, and the two looks at
the sequence are enough. ARM promises no such thing; there a fence of the reader
lies between each look and the copy, and where the kernel offers none, the
checksum tells a mixture of two records from a whole one, with one chance in
2^32 to be wrong. docs/decisions/0006-memory-order.md has the argument.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from penstock.shm.fence import reader_fence
from penstock.shm.layout import (
    OWNER_RING_HEAD,
    RING_RECORD_COUNT,
    RING_RECORD_WORDS,
)

PAYLOAD_WORDS: Final = RING_RECORD_WORDS - 2

Payload = tuple[int, int, int, int, int, int]

# A head beyond this is damage: at a million records a second it takes 500 years.
_HEAD_MAX: Final = 2**54

_CHECKED: Final = struct.Struct(f"{1 + PAYLOAD_WORDS}Q")


class RingWriter:
    """
    The one writer of a row's ring. It goes on where the row's last owner stopped.

    Not for two threads: the row has one owner, and the owner one writer.
    """

    def __init__(self, owner: memoryview, ring: memoryview) -> None:
        self._owner = owner
        self._ring = ring
        head = owner[OWNER_RING_HEAD]
        self._head = head if head < _HEAD_MAX else 0

    def push(self, payload: Payload) -> None:
        """Append a record, over the oldest one if the ring is full."""
        head = self._head
        ring = self._ring
        at = head % RING_RECORD_COUNT * RING_RECORD_WORDS
        whole = 2 * head + 2
        checksum = zlib.crc32(_CHECKED.pack(whole, *payload))

        ring[at] = whole - 1
        ring[at + 1], ring[at + 2], ring[at + 3], ring[at + 4], ring[at + 5], ring[at + 6] = payload
        ring[at + 7] = checksum
        ring[at] = whole
        self._head = head + 1
        self._owner[OWNER_RING_HEAD] = head + 1


def read_records(owner: memoryview, ring: memoryview, since: int = 0) -> Iterator[tuple[int, Payload]]:
    """Give each whole record with its number, from number `since` on, at most the last 256 of them."""
    head = owner[OWNER_RING_HEAD]
    if head >= _HEAD_MAX:
        return
    if since > head:
        since = 0  # The head was damaged, and the count began anew.
    # Look at all, copy all, look again: a fence costs a system call, so there are two and not two a record.
    begun = []
    for number in range(max(since, head - RING_RECORD_COUNT, 0), head):
        at = number % RING_RECORD_COUNT * RING_RECORD_WORDS
        if ring[at] == 2 * number + 2:
            begun.append((number, at))
    reader_fence()
    copies = [(number, at, ring[at + 1 : at + RING_RECORD_WORDS].tolist()) for number, at in begun]
    reader_fence()
    for number, at, (a, b, c, d, e, f, checksum) in copies:
        whole = 2 * number + 2
        if ring[at] != whole:
            continue
        payload = (a, b, c, d, e, f)
        if zlib.crc32(_CHECKED.pack(whole, *payload)) == checksum:
            yield number, payload
