"""
The words that every release of one major layout finds in the same place.

Pure numbers: no mmap, no clocks, no processes. Both planes import this file,
and after a hot restart two releases look at the same bytes. What they must find
without asking is here; where everything else lies is told by the segment itself
(see schema.py). A change of a number here is a change of protocol: raise
LAYOUT_MAJOR with it, and the release after starts to count from zero.

    header page │ series table │ base A │ base B │ row 0 │ row 1 │ ...
    base: line │ folded claims │ cells │ values │ keys │ exemplars
    row:  master's line │ owner's line │ cells │ values │ keys │ exemplars │ board │ samples │ events

Everything is counted in words of eight bytes, because an aligned eight-byte
store is the only one that another process never sees half done. That holds for
`memoryview.cast("Q")[i] = value` and not for `struct.pack_into`, which fills
its target with zeros first; for words that are counted in it is banned.
"""

import sys
from typing import Final

LAYOUT_MAJOR: Final = 2
WORD_SIZE: Final = 8
PAGE_SIZE: Final = 4096
PAGE_WORDS: Final = PAGE_SIZE // WORD_SIZE

# Histograms are summed as long integers, which need the low word first.
if sys.byteorder != "little":
    raise ImportError("Penstock runs on little-endian machines only")

# "PENSTOCK", as the bytes lie in memory.
MAGIC: Final = int.from_bytes(b"PENSTOCK", "little")

# The header page, written once by the process that creates the segment ...
HEADER_MAGIC: Final = 0
HEADER_MAJOR: Final = 1
HEADER_SIZE: Final = 2  # bytes of the whole segment
HEADER_SCHEMA_SIZE: Final = 3  # bytes
HEADER_SCHEMA_CRC: Final = 4
HEADER_BOOT_ID: Final = 5  # two words
HEADER_CREATED_NS: Final = 7
HEADER_SERIAL: Final = 8  # how many segments the service had before this one
# ... but for these, which the master moves on, on a cache line of their own.
HEADER_ROWS_CLAIMED: Final = 16  # rows from here on were never touched
HEADER_TABLE_USED: Final = 17  # words of the series table that are whole
HEADER_FOLDS: Final = 18  # how often rows were folded; the base of that parity holds
# The schema, as JSON.
HEADER_SCHEMA: Final = 32
SCHEMA_BYTES_MAX: Final = PAGE_SIZE - HEADER_SCHEMA * WORD_SIZE
HEADER_WORDS: Final = PAGE_WORDS

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
MASTER_EMPTIED: Final = 9  # the claim whose counts were folded and wiped

# The owner's line of a row.
OWNER_CLAIM: Final = 0  # the claim that the words below belong to
OWNER_PID: Final = 1
OWNER_HEARTBEAT_NS: Final = 2
OWNER_LOOP_LAG_US: Final = 3
OWNER_STARTED_NS: Final = 4
OWNER_SAMPLES_HEAD: Final = 5  # samples ever pushed, by all owners
OWNER_EVENTS_HEAD: Final = 6  # events ever pushed, by all owners

# The line of a base.
BASE_FOLDED_SERIAL: Final = 0  # segments of the service before this one were folded

# What a word holds when there is nothing to say, as in "no core".
NONE: Final = 2**64 - 1

# A row's index among all rows of the service: the serial of its segment, and its own.
ROW_INDEX_BITS: Final = 16
ROW_COUNT_MAX: Final = 4096
