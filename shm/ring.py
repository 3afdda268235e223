"""
A ring of records in each row, pushed by the owner and read by anyone.

Nobody waits for anybody. The writer overwrites the oldest record; a reader that
comes upon a record being overwritten leaves it out. Record number n takes the
place n % count, and its words are stored in this order:

    sequence = 2n + 1      odd: being written
    the payload
    checksum over n and the payload
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
from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

from penstock.shm.fence import reader_fence

# A record has its sequence and its checksum beside the payload.
FRAME_WORDS: Final = 2

# A head beyond this is damage: at a million records a second it takes 500 years.
_HEAD_MAX: Final = 2**54


# What a checksum begins with is as if it were added to the first bytes. Two records whose numbers
# and first words differ in the same bits must not come out alike, so numbers are spread over all bits.
SPREAD: Final = 0x9E37_79B1


class Ring:
    """Where a ring lies: its words, how many a record takes, and which word of `line` is its head."""

    __slots__ = ("count", "head", "line", "payload", "record_words", "words")

    def __init__(self, words: memoryview, record_words: int, line: memoryview, head: int) -> None:
        self.words = words
        self.record_words = record_words
        self.count = len(words) // record_words
        self.line = line
        self.head = head
        self.payload = struct.Struct(f"{record_words - FRAME_WORDS}Q")


class RingWriter:
    """
    The one writer of a ring. It goes on where the row's last owner stopped.

    Not for two threads: the row has one owner, and the owner one writer.
    """

    __slots__ = ("_at", "_end", "_head", "_head_word", "_line", "_pack", "_record_words", "_words")

    def __init__(self, ring: Ring) -> None:
        self._words = ring.words
        self._line = ring.line
        self._head_word = ring.head
        self._pack = ring.payload.pack
        self._record_words = ring.record_words
        head = ring.line[ring.head]
        self._head = head if head < _HEAD_MAX else 0
        self._end = ring.count * ring.record_words
        self._at = self._head % ring.count * ring.record_words

    def push(self, payload: tuple[int, ...]) -> None:
        """Append a record of six words, over the oldest one if the ring is full."""
        words, at, head = self._words, self._at, self._head
        check = crc32(self._pack(*payload), head * SPREAD)
        words[at] = 2 * head + 1
        # Without a loop, which would take as long again, and without a call.
        words[at + 1], words[at + 2], words[at + 3], words[at + 4], words[at + 5], words[at + 6] = payload
        words[at + 7] = check
        head += 1
        words[at] = 2 * head
        at += 8
        self._at = at if at < self._end else 0
        self._head = self._line[self._head_word] = head

    def push_long(self, payload: Sequence[int]) -> None:
        """Append a record of any length, which is that of this ring's."""
        words, at, head = self._words, self._at, self._head
        check = crc32(self._pack(*payload), head * SPREAD)
        words[at] = 2 * head + 1
        for place, word in enumerate(payload, at + 1):
            words[place] = word
        words[at + self._record_words - 1] = check
        head += 1
        words[at] = 2 * head
        at += self._record_words
        self._at = at if at < self._end else 0
        self._head = self._line[self._head_word] = head


def read_records(ring: Ring, since: int = 0) -> Iterator[tuple[int, list[int]]]:
    """Give each whole record with its number, from number `since` on, as far as they are still there."""
    words, record_words = ring.words, ring.record_words
    head = ring.line[ring.head]
    if head >= _HEAD_MAX or not ring.count:
        return
    if since > head:
        since = 0  # The head was damaged, and the count began anew.
    # Look at all, copy all, look again: a fence is a system call, so there are two and not two a record.
    begun = []
    for number in range(max(since, head - ring.count, 0), head):
        at = number % ring.count * record_words
        if words[at] == 2 * number + 2:
            begun.append((number, at))
    reader_fence()
    copies = [(number, at, words[at + 1 : at + record_words].tolist()) for number, at in begun]
    reader_fence()
    for number, at, (*payload, check) in copies:
        whole = 2 * number + 2
        if words[at] == whole and crc32(ring.payload.pack(*payload), number * SPREAD) == check:
            yield number, payload
