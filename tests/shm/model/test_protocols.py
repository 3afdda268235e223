"""
Each protocol of the segment on each kind of machine: what a reader accepts was written so.

The table of docs/decisions/0006-memory-order.md is this file's, and
is compared with it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.shm.model.checker import explore
from tests.shm.model.memory import Memory, Sequential, TotalStore, Weak
from tests.shm.model.protocols import (
    Guard,
    Protocol,
    flip,
    log,
    seqlock,
    shipped_board,
    shipped_fold,
    shipped_ring,
    shipped_row,
    shipped_series,
)

DECISION = Path(__file__).parents[3] / "docs" / "decisions" / "0006-memory-order.md"

Setting = tuple[type[Memory], Guard]

COLUMNS: dict[str, Setting] = {
    "in order": (Sequential, Guard.NOTHING),
    "x86": (TotalStore, Guard.NOTHING),
    "weak": (Weak, Guard.NOTHING),
    "weak, reader's fences": (Weak, Guard.READER_FENCES),
    "weak, fences of both": (Weak, Guard.FENCES),
    "weak, membarrier": (Weak, Guard.MEMBARRIER),
    "weak, checksum": (Weak, Guard.CHECKSUM),
}

Make = Callable[[Guard], AbstractContextManager[Protocol]]


def plain(make: Callable[[Guard], Protocol]) -> Make:
    """Let a protocol that patches nothing look like one that does."""
    return lambda guard: nullcontext(make(guard))


PROTOCOLS: dict[str, Make] = {
    "sequence lock": plain(seqlock),
    "ring (as shipped)": shipped_ring,
    "two copies, counting word": plain(flip),
    "two copies, word of 0 and 1": plain(lambda guard: flip(guard, is_counting=False)),
    "fold of a dead row (as shipped)": shipped_fold,
    "claim and adopt (as shipped)": plain(shipped_row),
    "board (its reader as shipped)": shipped_board,
    "log": plain(log),
    "series table (as shipped)": shipped_series,
}

# What is not in the table: a guard that the protocol does not have.
NO_SUCH = {
    ("ring (as shipped)", "weak, fences of both"),
    ("fold of a dead row (as shipped)", "weak, fences of both"),
    ("fold of a dead row (as shipped)", "weak, checksum"),
    ("claim and adopt (as shipped)", "weak, fences of both"),
    ("claim and adopt (as shipped)", "weak, checksum"),
    ("board (its reader as shipped)", "weak, fences of both"),
    ("board (its reader as shipped)", "weak, checksum"),
    ("series table (as shipped)", "weak, reader's fences"),
    ("series table (as shipped)", "weak, fences of both"),
    ("series table (as shipped)", "weak, membarrier"),
}


def judge(protocol: str, column: str) -> str:
    """Explore all there is, or up to the first end that is wrong."""
    if (protocol, column) in NO_SUCH:
        return ""
    memory, guard = COLUMNS[column]
    ends = set()
    with PROTOCOLS[protocol](guard) as made:
        for end in explore(made.threads, memory, made.words):
            if not made.is_right(end):
                return "torn"
            ends.add(end)
    assert len(ends) > 1, "the reader always saw the same, which proves nothing"
    return "sound"


@pytest.fixture(scope="module")
def documented() -> dict[tuple[str, str], str]:
    """Read the table."""
    lines = [line for line in DECISION.read_text().splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert header[1:] == list(COLUMNS)
    assert [row[0] for row in rows] == list(PROTOCOLS)
    return {(row[0], column): cell for row in rows for column, cell in zip(header[1:], row[1:], strict=True)}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_verdict(protocol: str, column: str, documented: dict[tuple[str, str], str]) -> None:
    """A `torn` is found by the checker, and a `sound` is the whole of what can happen."""
    assert judge(protocol, column) == documented[protocol, column]
