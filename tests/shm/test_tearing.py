"""
Another process never sees an aligned word half stored.

Everything that is summed without a lock rests on this, so it is shown on the
machine at hand, against two writers that are known to tear.
"""

import time
from collections.abc import Callable
from subprocess import Popen

import pytest

from penstock.shm.row import Kind, Row
from penstock.shm.segment import Segment

StartChild = Callable[..., "Popen[bytes]"]
WaitUntil = Callable[[Callable[[], bool]], None]

ZEROS = bytes(8)
ONES = b"\xff" * 8
COPY_COUNT = 20_000


def copy_words(row: Row) -> bytes:
    """Copy as totals.py does: many words at once."""
    return bytes(row.cells[:16])


def torn_words(copy: bytes) -> int:
    """Count the words that nobody ever stored."""
    words = [copy[at : at + 8] for at in range(0, len(copy), 8)]
    return len(words) - words.count(ZEROS) - words.count(ONES)


@pytest.fixture
def flipped_row(segment: Segment) -> Row:
    """The row whose first sixteen cells a child is going to flip."""
    return segment.claim(kind=Kind.WORKER, generation=1, now_ns=1)


def test_words_are_never_torn(flipped_row: Row, start_child: StartChild, wait_until: WaitUntil) -> None:
    """Neither when they are read one by one nor when many are copied together."""
    start_child("flip.py", "words")
    cells = flipped_row.cells
    wait_until(lambda: cells[0] != 0)

    seen = {ZEROS: 0, ONES: 0}
    deadline = time.monotonic() + 20.0
    copies = 0
    while (copies < COPY_COUNT or not all(seen.values())) and time.monotonic() < deadline:
        copies += 1
        copy = copy_words(flipped_row)
        assert torn_words(copy) == 0
        seen[copy[:8]] += 1
        assert {cells[0], cells[1], cells[15]} <= {0, 2**64 - 1}
    assert all(seen.values()), "the writer was not seen at work"


def test_words_stored_in_halves_are_seen_torn(
    flipped_row: Row, start_child: StartChild, wait_until: WaitUntil
) -> None:
    """The control: the same reader catches a writer that takes two stores a word."""
    start_child("flip.py", "halves")
    wait_until(lambda: torn_words(copy_words(flipped_row)) > 0)


def test_words_stored_with_pack_into_are_seen_torn(
    flipped_row: Row, start_child: StartChild, wait_until: WaitUntil
) -> None:
    """
    The other control, and why it is banned for words that are counted in.

    The writer only ever stores ones, and yet they are seen as zeros: it empties
    its target before it fills it.
    """
    start_child("flip.py", "packed")
    cells = flipped_row.cells
    wait_until(lambda: cells[15] != 0)
    wait_until(lambda: ZEROS in copy_words(flipped_row))
