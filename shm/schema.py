"""
How a segment is divided, and how it says so itself.

A Geometry is what one wants: so many rows, so many cells in each. A Schema is
what comes of it, section by section, and stands in the segment as JSON. So a
release that divides its rows otherwise still finds the numbers of the one
before, by name, as long as the major layout is the same.

Pure arithmetic: no mmap, no clocks, no processes.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import msgspec

from penstock.shm import layout
from penstock.shm.layout import LINE_WORDS, PAGE_WORDS, WORD_SIZE

# Half a megabyte of addresses a row, with room for the numbers of 36 pairs of listener and route, and
# for 12,288 values of the app's own. Pages that nobody wrote or read cost nothing.
ROW_BYTES_MAX: Final = 512 * 1024
CELL_COUNT: Final = 25_600
VALUE_COUNT: Final = 12_288
# Cells grow in such steps, so that one more route rarely asks for another segment.
CELL_STEP: Final = 8_192
CELL_COUNT_MAX: Final = 512 * 1024
VALUE_COUNT_MAX: Final = 512 * 1024

TABLE_WORDS: Final = 256 * 1024 // WORD_SIZE
# A series takes 100 to 200 bytes of the table, and a route has five and 709 cells.
TABLE_WORDS_PER_CELL: Final = TABLE_WORDS / (64 * 1024)

EXEMPLAR_WORDS: Final = 256 // WORD_SIZE
EXEMPLAR_COUNT: Final = 64

# An active request: state, start, bytes sent, and the beginning of its path.
BOARD_ENTRY_WORDS: Final = 128 // WORD_SIZE
BOARD_ENTRY_COUNT: Final = 256

# 256 samples, one a second, are the last four minutes.
SAMPLE_WORDS: Final = 64 // WORD_SIZE
SAMPLE_COUNT: Final = 256
EVENT_WORDS: Final = 192 // WORD_SIZE
EVENT_COUNT: Final = 256

# Room to scale up to without a new segment, even where two workers start.
WORKER_COUNT_ROOM: Final = 32

SectionKind = Literal["u64", "f64", "log", "records"]

# What becomes of a section when the row's owner is gone: added to the base and wiped, just wiped, or
# left for the next owner to go on.
Restart = Literal["folded", "wiped", "kept"]


class Section(msgspec.Struct, frozen=True, array_like=True):
    """A part of a row or of a base. Start and length are words, counted from where the block begins."""

    name: str
    kind: SectionKind
    start: int
    words: int
    restart: Restart

    @property
    def end(self) -> int:
        """The word after its last."""
        return self.start + self.words


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything in a segment lies, in words."""

    row_count: int
    table_words: int
    bases_start: int
    base_stride: int
    base: tuple[Section, ...]
    rows_start: int
    row_stride: int
    row: tuple[Section, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return (self.rows_start + self.row_count * self.row_stride) * WORD_SIZE

    @property
    def table_start(self) -> int:
        """The word index of the series table."""
        return layout.HEADER_WORDS

    @property
    def cell_count(self) -> int:
        """Cells that every row has, and the base as well."""
        return min(each.words for each in (*self.row, *self.base) if each.name == "cells")

    @property
    def wiped(self) -> tuple[int, int]:
        """Where the wiped sections of a row begin and end: whole pages, in words from the row's start."""
        parts = [each for each in self.row if each.restart != "kept"]
        return min(each.start for each in parts), max(each.end for each in parts)

    def encode(self) -> bytes:
        """Give the text that stands in the segment."""
        return msgspec.json.encode(self)

    def fault(self) -> str | None:
        """Say what cannot be right about it, as a damaged header may have it."""
        if not 1 <= self.row_count <= layout.ROW_COUNT_MAX:
            return f"{self.row_count} rows"
        blocks = [
            (0, layout.HEADER_WORDS),
            (self.table_start, self.table_words),
            (self.bases_start, 2 * self.base_stride),
            (self.rows_start, self.row_count * self.row_stride),
        ]
        if not _follow(blocks):
            return "parts that overlap"
        for sections, stride, names in (
            (self.base, self.base_stride, _BASE_NAMES),
            (self.row, self.row_stride, _ROW_NAMES),
        ):
            if not names <= {each.name for each in sections}:
                return f"no {min(names - {each.name for each in sections})}"
            if not _follow([*((each.start, each.words) for each in sections), (stride, 0)]):
                return "sections that overlap"
        return None


_ROW_NAMES: Final = frozenset({"master", "owner", "cells"})
_BASE_NAMES: Final = frozenset({"line", "folded", "cells"})

# 2^40 words are more than any machine maps; sums of what is larger may not be what they seem.
_WORDS_MAX: Final = 2**40


def _follow(blocks: Sequence[tuple[int, int]]) -> bool:
    end = 0
    for start, words in blocks:
        if not (end <= start <= _WORDS_MAX and 0 <= words <= _WORDS_MAX):
            return False
        end = start + words
    return True


def decode_schema(encoded: bytes, checksum: int) -> Schema:
    """Read a schema as it stands in a segment. Raises ValueError in words."""
    if zlib.crc32(encoded) != checksum:
        raise ValueError("a damaged schema")
    try:
        schema = msgspec.json.decode(encoded, type=Schema)
    except msgspec.MsgspecError as error:
        raise ValueError(f"a schema of another kind: {error}") from None
    if (fault := schema.fault()) is not None:
        raise ValueError(f"a schema with {fault}")
    return schema


@dataclass(frozen=True)
class Geometry:
    """How many rows a segment has, and how much each can count."""

    row_count: int
    cell_count: int = CELL_COUNT
    value_count: int = VALUE_COUNT

    def __post_init__(self) -> None:
        """Refuse what cannot be laid out."""
        _judge("row_count", self.row_count, layout.ROW_COUNT_MAX)
        _judge("cell_count", self.cell_count, CELL_COUNT_MAX)
        _judge("value_count", self.value_count, VALUE_COUNT_MAX)

    @classmethod
    def for_workers(cls, worker_count: int, *, cells: int = 0, values: int = VALUE_COUNT) -> Self:
        """
        Give the geometry for so many workers: 2V + 8 rows for V shards.

        V workers is as far as a fleet can be scaled, twice that is what a roll
        needs, and eight are for the master, its helpers and stragglers. `cells`
        is what the configuration needs now. Raises ValueError beyond CELL_COUNT_MAX.
        """
        shard_count = max(4 * max(worker_count, WORKER_COUNT_ROOM), 8)
        if cells > CELL_COUNT:
            cells = -(-cells // CELL_STEP) * CELL_STEP
        return cls(
            row_count=min(2 * shard_count + 8, layout.ROW_COUNT_MAX),
            cell_count=max(cells, CELL_COUNT),
            value_count=values,
        )

    def schema(self) -> Schema:
        """Lay it out."""
        counts: list[tuple[str, SectionKind, int, Restart]] = [
            ("cells", "u64", self.cell_count, "folded"),
            ("values", "f64", self.value_count, "folded"),
            # A key takes about as much as its value, since it is told by how it differs from the one before.
            ("keys", "log", self.value_count, "folded"),
            ("exemplars", "records", EXEMPLAR_COUNT * EXEMPLAR_WORDS, "folded"),
        ]
        row, row_stride = _lay_out(
            [
                ("master", "u64", LINE_WORDS, "kept"),
                ("owner", "u64", LINE_WORDS, "kept"),
            ],
            [
                *counts,
                ("board", "records", BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS, "wiped"),
                ("samples", "records", SAMPLE_COUNT * SAMPLE_WORDS, "kept"),
                ("events", "records", EVENT_COUNT * EVENT_WORDS, "kept"),
            ],
        )
        base, base_stride = _lay_out(
            [("line", "u64", LINE_WORDS, "kept"), ("folded", "u64", self.row_count, "kept")], counts
        )
        table_words = _pages(max(TABLE_WORDS, int(self.cell_count * TABLE_WORDS_PER_CELL)))
        bases_start = layout.HEADER_WORDS + table_words
        return Schema(
            row_count=self.row_count,
            table_words=table_words,
            bases_start=bases_start,
            base_stride=base_stride,
            base=base,
            rows_start=bases_start + 2 * base_stride,
            row_stride=row_stride,
            row=row,
        )


def _judge(what: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ValueError(f"{what} is {count}, expected 1..{most}")


def _lay_out(
    lines: Sequence[tuple[str, SectionKind, int, Restart]],
    pages: Sequence[tuple[str, SectionKind, int, Restart]],
) -> tuple[tuple[Section, ...], int]:
    """Put some sections close together, and each of the others on pages of its own; tell the stride."""
    sections = []
    at = 0
    for name, kind, words, restart in lines:
        sections.append(Section(name, kind, at, words, restart))
        at += -(-words // LINE_WORDS) * LINE_WORDS
    for name, kind, words, restart in pages:
        at = _pages(at)
        sections.append(Section(name, kind, at, words, restart))
        at += words
    return tuple(sections), _pages(at)


def _pages(words: int) -> int:
    return -(-words // PAGE_WORDS) * PAGE_WORDS
