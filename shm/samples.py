"""
What a worker tells about itself once a second, kept in its row's ring.

The ring holds the last four minutes, so rates and plots need nobody who was
watching all the time.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.shm.counting import RingWriter
from penstock.shm.layout import MASTER_CLAIM, MASTER_GENERATION, MASTER_SLOT, OWNER_SAMPLES_HEAD
from penstock.shm.ring import Ring, read_records
from penstock.shm.row import Row
from penstock.shm.schema import SAMPLE_WORDS

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

    number: int  # counts up by one in each row
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
        self._ring = RingWriter(_ring(row))

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


def read_samples(row: Row, since: int = 0) -> list[Sample]:
    """Give the samples from number `since` on, oldest first, whoever owned the row then."""
    return [_unpack(number, payload) for number, payload in read_records(_ring(row), since)]


def _ring(row: Row) -> Ring:
    return Ring(row.samples, SAMPLE_WORDS, row.owner, OWNER_SAMPLES_HEAD)


def _unpack(number: int, payload: Sequence[int]) -> Sample:
    time_ns, requests, errors, sent_bytes, load, identity = payload
    slot = identity >> 16 & 0xFFFF
    return Sample(
        number=number,
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
