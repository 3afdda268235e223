"""
The byte layout of the shared segment.

Pure arithmetic: no mmap, no clocks, no processes. Both planes import this file,
and after a hot restart two versions of it look at the same bytes, so a change
here is a change of protocol; raise LAYOUT_VERSION with it.

    header page │ series table │ row 0 │ row 1 │ ...
    row:  master's line │ owner's line │ cells │ ring

Everything is counted in words of eight bytes, because an aligned eight-byte
store is the only one that another process never sees half done. That holds for
`memoryview.cast("Q")[i] = value` and not for `struct.pack_into`, which fills
its target with zeros first; it is banned in this folder.
"""

import sys
from dataclasses import dataclass
from typing import Final, Self

LAYOUT_VERSION: Final = 1
WORD_SIZE: Final = 8
PAGE_SIZE: Final = 4096

# Histograms are summed as long integers, which need the low word first.
if sys.byteorder != "little":
    raise ImportError("Penstock runs on little-endian machines only")

# "PENSTOCK", as the bytes lie in memory.
MAGIC: Final = int.from_bytes(b"PENSTOCK", "little")

# The header page, written once by the process that creates the segment ...
HEADER_MAGIC: Final = 0
HEADER_VERSION: Final = 1
HEADER_SIZE: Final = 2
HEADER_ROW_COUNT: Final = 3
HEADER_CELL_COUNT: Final = 4
HEADER_BOOT_ID: Final = 5  # two words
HEADER_CREATED_NS: Final = 7
# ... but for these, which the master moves on, on a cache line of their own.
HEADER_ROWS_CLAIMED: Final = 16  # rows from here on were never touched
HEADER_TABLE_USED: Final = 17  # words of the series table that are whole
HEADER_WORDS: Final = PAGE_SIZE // WORD_SIZE

# A series takes 100 to 200 bytes, so the cells of a row are used up first.
TABLE_WORDS: Final = 256 * 1024 // WORD_SIZE

# Two lines of 128 bytes and not 64: neighbouring lines are fetched in pairs.
LINE_WORDS: Final = 128 // WORD_SIZE

# The master's line of a row.
MASTER_CLAIM: Final = 0  # how often the row was claimed; 0 is never
MASTER_GENERATION: Final = 1
MASTER_PID: Final = 2
MASTER_PID_STARTED: Final = 3  # clock ticks after boot, as /proc/PID/stat has it
MASTER_CORE: Final = 4
MASTER_SLOT: Final = 5
MASTER_KIND: Final = 6
MASTER_STATE: Final = 7
MASTER_SPAWNED_NS: Final = 8

# The owner's line of a row.
OWNER_CLAIM: Final = 0  # the claim that the words below belong to
OWNER_PID: Final = 1
OWNER_HEARTBEAT_NS: Final = 2
OWNER_LOOP_LAG_US: Final = 3
OWNER_STARTED_NS: Final = 4
OWNER_REQUESTS_BEFORE: Final = 5  # what earlier owners had answered
OWNER_RING_HEAD: Final = 6  # records ever pushed, by all owners

# What a word holds when there is nothing to say, as in "no core".
NONE: Final = 2**64 - 1

# 256 records, one a second, are the last four minutes.
RING_RECORD_WORDS: Final = 64 // WORD_SIZE
RING_RECORD_COUNT: Final = 256
RING_WORDS: Final = RING_RECORD_COUNT * RING_RECORD_WORDS

# Virtual size: pages that nobody wrote or read cost nothing.
ROW_BYTES_MAX: Final = 512 * 1024
ROW_COUNT_MAX: Final = 4096
CELL_COUNT_MAX: Final = ROW_BYTES_MAX // WORD_SIZE - 2 * LINE_WORDS - RING_WORDS

# Room to scale up to without a new segment, even where two workers start.
WORKER_COUNT_ROOM: Final = 32


@dataclass(frozen=True)
class Geometry:
    """How many rows a segment has, and how many cells a row has."""

    row_count: int
    cell_count: int = CELL_COUNT_MAX

    def __post_init__(self) -> None:
        """Refuse what cannot be laid out, as a damaged header may ask for."""
        if not 1 <= self.row_count <= ROW_COUNT_MAX:
            raise ValueError(f"row_count is {self.row_count}, expected 1..{ROW_COUNT_MAX}")
        if not 0 < self.cell_count <= CELL_COUNT_MAX:
            raise ValueError(f"cell_count is {self.cell_count}, expected 1..{CELL_COUNT_MAX}")
        if self.cell_count % RING_RECORD_WORDS:
            # Ring records lie behind the cells and must not straddle a cache line.
            raise ValueError(f"cell_count is {self.cell_count}, expected a multiple of {RING_RECORD_WORDS}")

    @classmethod
    def for_workers(cls, worker_count: int) -> Self:
        """
        Give the geometry for so many workers: 2V + 8 rows for V shards.

        V workers is as far as a fleet can be scaled, twice that is what a roll
        needs, and eight are for the master, its helpers and stragglers.
        """
        shard_count = max(4 * max(worker_count, WORKER_COUNT_ROOM), 8)
        return cls(row_count=min(2 * shard_count + 8, ROW_COUNT_MAX))

    @property
    def table_start(self) -> int:
        """The word index of the series table."""
        return HEADER_WORDS

    @property
    def row_stride(self) -> int:
        """Words from one row to the next: whole pages."""
        words = 2 * LINE_WORDS + self.cell_count + RING_WORDS
        page_words = PAGE_SIZE // WORD_SIZE
        return -(-words // page_words) * page_words

    def row_start(self, index: int) -> int:
        """The word index of a row."""
        assert 0 <= index < self.row_count
        return HEADER_WORDS + TABLE_WORDS + index * self.row_stride

    @property
    def cells_start(self) -> int:
        """The word index of the first cell, counted from the row's start."""
        return 2 * LINE_WORDS

    @property
    def ring_start(self) -> int:
        """The word index of the ring, counted from the row's start."""
        return 2 * LINE_WORDS + self.cell_count

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return (HEADER_WORDS + TABLE_WORDS + self.row_count * self.row_stride) * WORD_SIZE
