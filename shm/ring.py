"""
A ring of 256 records in each row, pushed by the owner and read by anyone.

The owner pushes a sample of its counters once a second, so the ring holds its
last four minutes, and rates and plots need nobody who was watching.

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
the sequence are enough. ARM promises no such thing, and Python has no barrier
to offer; there the checksum is what tells a mixture of two records from a whole
one, with one chance in 2^32 to be wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from penstock.shm.layout import (
    MASTER_CLAIM,
    MASTER_GENERATION,
    MASTER_SLOT,
    OWNER_RING_HEAD,
    RING_RECORD_COUNT,
    RING_RECORD_WORDS,
)
from penstock.shm.row import Row

PAYLOAD_WORDS: Final = RING_RECORD_WORDS - 2

Payload = tuple[int, int, int, int, int, int]

# A head beyond this is damage: at a million records a second it takes 500 years.
_HEAD_MAX: Final = 2**54

_CHECKED: Final = struct.Struct(f"{1 + PAYLOAD_WORDS}Q")

# Halves of a word, and what a slot is when there is none.
_HALF_MAX: Final = 2**32 - 1
_SLOT_NONE: Final = 2**16 - 1


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """
    One second in the life of a worker.

    Counters are told as they stand in the row, not as what came since the last
    sample: a reader that misses one still gets the rate between the two around
    it. Samples of the same `claim` were written by the same process.
    """

    time_ns: int  # wall-clock time
    requests: int
    errors: int  # responses of class 5xx
    sent_bytes: int
    connections: int
    loop_lag_us: int
    generation: int
    slot: int | None
    claim: int  # the low sixteen bits


class SampleWriter:
    """Pushes samples into the ring of a row that this process has adopted."""

    def __init__(self, row: Row) -> None:
        slot = row.master[MASTER_SLOT]
        self._generation = row.master[MASTER_GENERATION] & _HALF_MAX
        self._identity = min(slot, _SLOT_NONE) << 16 | row.master[MASTER_CLAIM] & 0xFFFF
        self._ring = RingWriter(row.owner, row.ring)

    def push(
        self, *, time_ns: int, requests: int, errors: int, sent_bytes: int, connections: int, loop_lag_us: int
    ) -> None:
        """Append a sample; the worker calls this once a second."""
        self._ring.push(
            (
                time_ns,
                requests,
                errors,
                sent_bytes,
                min(connections, _HALF_MAX) << 32 | self._generation,
                min(loop_lag_us, _HALF_MAX) << 32 | self._identity,
            )
        )


def read_samples(row: Row, since_ns: int = 0) -> list[Sample]:
    """Give the samples taken after a time, oldest first, whoever owned the row then."""
    return [_unpack(payload) for _, payload in read_records(row.owner, row.ring) if payload[0] > since_ns]


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


def read_records(owner: memoryview, ring: memoryview) -> Iterator[tuple[int, Payload]]:
    """Give each whole record with its number, oldest first, at most 256 of them."""
    head = owner[OWNER_RING_HEAD]
    if head >= _HEAD_MAX:
        return
    for number in range(max(0, head - RING_RECORD_COUNT), head):
        at = number % RING_RECORD_COUNT * RING_RECORD_WORDS
        whole = 2 * number + 2
        if ring[at] != whole:
            continue
        a, b, c, d, e, f, checksum = ring[at + 1 : at + RING_RECORD_WORDS].tolist()
        if ring[at] != whole:
            continue
        payload = (a, b, c, d, e, f)
        if zlib.crc32(_CHECKED.pack(whole, *payload)) == checksum:
            yield number, payload


def _unpack(payload: Payload) -> Sample:
    time_ns, requests, errors, sent_bytes, load, identity = payload
    slot = identity >> 16 & 0xFFFF
    return Sample(
        time_ns=time_ns,
        requests=requests,
        errors=errors,
        sent_bytes=sent_bytes,
        connections=load >> 32,
        loop_lag_us=identity >> 32,
        generation=load & _HALF_MAX,
        slot=None if slot == _SLOT_NONE else slot,
        claim=identity & 0xFFFF,
    )
