"""
The protocols of the segment, as programs for the checker.

Those that ship are run as they are. The others are
written out here, a few words long, with as little in them as the argument needs.

Each protocol is given as threads, the words they begin with, and a judgement of
what came of it. `Guard` is what orders it beside the order of its stores.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from penstock.shm import board, folding, layout, ring, series
from penstock.shm.base import Base
from penstock.shm.ring import Ring, RingWriter, read_records
from penstock.shm.row import Kind, Row, State
from penstock.shm.schema import BOARD_ENTRY_WORDS
from penstock.shm.sections import Sections
from penstock.shm.segment import Segment
from penstock.shm.series import Series, SeriesTable
from tests.shm.model.checker import Port, Program, Thread
from tests.shm.model.memory import Word

# How often a reader looks before it gives up.
TRIES = 2


class Guard(Enum):
    """What stands between the steps of a protocol."""

    NOTHING = auto()
    READER_FENCES = auto()  # the reader's own, of which the writers hear nothing
    FENCES = auto()  # on both sides
    MEMBARRIER = auto()  # on the reader's side, and felt on both
    CHECKSUM = auto()

    def fence_writer(self, port: Port) -> None:
        """Fence as a writer does."""
        if self is Guard.FENCES:
            port.fence()

    def fence_reader(self, port: Port) -> None:
        """Fence as a reader does."""
        if self in (Guard.FENCES, Guard.READER_FENCES):
            port.fence()
        elif self is Guard.MEMBARRIER:
            port.membarrier()

    def accepts(self, checksum: int, *values: int) -> bool:
        """Test the checksum, if there is one."""
        return self is not Guard.CHECKSUM or checksum == exact(*values)


@dataclass(frozen=True)
class Protocol:
    """Who runs, on which words, and which ends are right."""

    threads: list[Program | Thread]
    is_right: Callable[[tuple[Any, ...]], bool]
    words: Mapping[Word, int] = field(default_factory=dict)


def exact(*values: int) -> int:
    """Give a checksum that no other values of ours have; none of them is larger than 99."""
    total = 1
    for value in values:
        assert 0 <= value < 100
        total = total * 100 + value
    return total


# A sequence lock over two words.


def seqlock(guard: Guard) -> Protocol:
    """A writer updates a pair twice; it may be killed, and another goes on."""

    def write(port: Port, value: int) -> None:
        # A predecessor that was killed left an odd number.
        sequence = port.load("sequence") // 2 * 2 + 2
        port.store("sequence", sequence - 1)
        guard.fence_writer(port)
        port.store("a", value)
        port.store("b", value)
        port.store("checksum", exact(value, value, sequence))
        guard.fence_writer(port)
        port.store("sequence", sequence)

    def read(port: Port) -> tuple[int, int] | None:
        before = port.load("sequence")
        if before % 2:
            return None
        guard.fence_reader(port)
        a, b, checksum = port.load("a"), port.load("b"), port.load("checksum")
        guard.fence_reader(port)
        is_whole = port.load("sequence") == before and guard.accepts(checksum, a, b, before)
        return (a, b) if is_whole else None

    def is_right(end: tuple[Any, ...]) -> bool:
        return end[1] in (None, (0, 0), (1, 1), (2, 2))

    writer = Thread([lambda port: write(port, 1), lambda port: write(port, 2)])
    return Protocol([writer, read], is_right, {"checksum": exact(0, 0, 0)})


# Two copies and a word that says which of them holds.


def flip(guard: Guard, *, is_counting: bool = True) -> Protocol:
    """
    A writer renews the copy that does not hold, then moves the word on to it, twice.

    The word counts, and its lowest bit names the copy; `is_counting=False` is
    the word that only ever is 0 or 1.
    """

    def write(port: Port) -> None:
        for value in (1, 2):
            commit = port.load("commit") + 1
            port.store(("a", commit % 2), value)
            port.store(("b", commit % 2), value)
            port.store(("checksum", commit % 2), exact(value, value))
            guard.fence_writer(port)
            port.store("commit", commit if is_counting else commit % 2)
            guard.fence_writer(port)

    def read(port: Port) -> tuple[int, int] | None:
        for _ in range(TRIES):
            before = port.load("commit")
            copy = before % 2
            guard.fence_reader(port)
            a, b, checksum = port.load(("a", copy)), port.load(("b", copy)), port.load(("checksum", copy))
            guard.fence_reader(port)
            if port.load("commit") == before and guard.accepts(checksum, a, b):
                return a, b
        return None

    def is_right(end: tuple[Any, ...]) -> bool:
        return end[1] in (None, (0, 0), (1, 1), (2, 2))

    return Protocol([write, read], is_right, {("checksum", 0): exact(0, 0), ("checksum", 1): exact(0, 0)})


# A log to which entries are appended.


def log(guard: Guard) -> Protocol:
    """Two entries of two words; how many words are used is stored after each."""

    def write(port: Port) -> None:
        for number in (0, 1):
            for offset in (0, 1):
                port.store(("entry", 2 * number + offset), number + 1)
            port.store(("checksum", number), exact(number + 1, number + 1))
            guard.fence_writer(port)
            port.store("used", number + 1)

    def read(port: Port) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        used = port.load("used")
        guard.fence_reader(port)
        for number in range(used):
            a, b = port.load(("entry", 2 * number)), port.load(("entry", 2 * number + 1))
            if not guard.accepts(port.load(("checksum", number)), a, b):
                break
            found.append((a, b))
        return tuple(found)

    def is_right(end: tuple[Any, ...]) -> bool:
        return bool(end[1] == ((1, 1), (2, 2))[: len(end[1])])

    return Protocol([write, read], is_right)


# What ships.


class _Fencing:
    """Stands in for `reader_fence`, by what a guard says and in the port of whoever reads."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.port: Port | None = None

    def __call__(self) -> None:
        assert self.port is not None
        self._guard.fence_reader(self.port)


class _Sections:
    """Stands in for the sections of a row or a base, which it has no more of than the words here."""

    def __init__(self, port: Port, name: str, lengths: Mapping[str, int]) -> None:
        self._port = port
        self._name = name
        self._lengths = lengths

    def u64(self, section: str) -> memoryview:
        return self._port.view(f"{self._name} {section}", self._lengths.get(section, 0))

    f64 = u64


def row_of(port: Port) -> Row:
    """Give the one row, with one cell."""
    lengths = {"master": layout.LINE_WORDS, "owner": layout.LINE_WORDS, "cells": 1}
    return Row(0, cast(Sections, _Sections(port, "row", lengths)), cast(SeriesTable, None))


def record(value: int) -> tuple[int, ...]:
    """Give a record that shows when two are mixed."""
    return (value, value)


@contextmanager
def shipped_ring(guard: Guard) -> Iterator[Protocol]:
    """
    The code of shm/ring.py, on a ring with room for one record.

    A record is there; a writer overwrites it and may be killed, and the next
    one goes on. All checksums are equal unless they are the guard.
    """
    fencing = _Fencing(guard)
    record_words = ring.FRAME_WORDS + len(record(0))

    def checksum(data: bytes, number: int) -> int:
        return zlib.crc32(data, number) if guard is Guard.CHECKSUM else 0

    def ring_of(port: Port) -> Ring:
        return Ring(port.view("ring", record_words), record_words, port.view("line", 1), head=0)

    def push(port: Port, value: int) -> None:
        RingWriter(ring_of(port)).push_long(record(value))

    def read(port: Port) -> tuple[tuple[int, tuple[int, ...]], ...]:
        fencing.port = port
        return tuple((number, tuple(payload)) for number, payload in read_records(ring_of(port)))

    def is_right(end: tuple[Any, ...]) -> bool:
        pushed = [(0, record(0)), (1, record(1)), (1, record(2)), (2, record(2))]
        return all(each in pushed for each in end[1])

    first = checksum(struct.pack("2Q", *record(0)), 0 * ring.SPREAD)
    words: dict[Word, int] = {("line", 0): 1, ("ring", 0): 2, ("ring", record_words - 1): first}
    with (
        patch.object(ring, "crc32", checksum),
        patch.object(ring, "reader_fence", fencing),
    ):
        writer = Thread([lambda port: push(port, 1), lambda port: push(port, 2)])
        yield Protocol([writer, read], is_right, words)


DEAD_COUNT = 2


@contextmanager
def shipped_fold(guard: Guard) -> Iterator[Protocol]:
    """
    The code of shm/folding.py: the counts of a dead owner go into the base, and its row is claimed again.

    The master may be killed at any step; the next one does again what it finds
    undone, claims the row, and starts an owner that counts once. A reader must
    never see less than what the dead had counted, nor more than all.
    """
    fencing = _Fencing(guard)

    class OneRow:
        """As much of a segment as it takes."""

        def __init__(self, port: Port) -> None:
            self._header = port.view("header", layout.HEADER_WORDS)
            lengths = {"line": layout.LINE_WORDS, "folded": 1, "cells": 1}
            self.bases = tuple(
                Base(cast(Sections, _Sections(port, f"base {copy}", lengths))) for copy in (0, 1)
            )
            self.series = SimpleNamespace(entries=lambda: [Series("a_total", "counter", (), 0)])
            self.ancestors: list[Segment] = []
            self._row = row_of(port)

        @property
        def folds(self) -> int:
            return self._header[layout.HEADER_FOLDS]

        @property
        def base(self) -> Base:
            return self.bases[self.folds & 1]

        def own_rows(self) -> list[Row]:
            return [self._row]

        def _wipe(self, row: Row) -> None:
            row.cells[0] = 0

    def master(port: Port) -> None:
        Segment.clear(cast(Segment, OneRow(port)), row_of(port))

    def master_and_next_owner(port: Port) -> int | None:
        master(port)
        row = row_of(port)
        row.claim(kind=Kind.WORKER, generation=0, slot=0, core=0, spawned_ns=0)
        row.cells[0] = 1
        return read(port)

    def read(port: Port) -> int | None:
        fencing.port = port
        segment = cast(Segment, OneRow(port))
        try:
            return folding.steadily(
                segment,
                lambda: segment.base.cells[0] + sum(row.cells[0] for row in folding.counting_rows(segment)),
            )
        except folding.Unsteady:
            return None

    def is_right(end: tuple[Any, ...]) -> bool:
        return end[0] == DEAD_COUNT + 1 and end[1] in (None, DEAD_COUNT, DEAD_COUNT + 1)

    words: dict[Word, int] = {
        ("row master", layout.MASTER_CLAIM): 1,
        ("row master", layout.MASTER_KIND): Kind.WORKER,
        ("row cells", 0): DEAD_COUNT,
    }
    with patch.object(folding, "reader_fence", fencing), patch.object(folding, "LOOKS_MAX", 1):
        yield Protocol([Thread([master, master_and_next_owner]), read], is_right, words)


@contextmanager
def shipped_board(guard: Guard) -> Iterator[Protocol]:
    """
    The reader of shm/board.py, and a writer that puts two requests into one entry.

    The writer does as `pack_into` does: it empties the entry before it fills it.
    What is shown must be one of the requests, though its path may be missing.
    """
    fencing = _Fencing(guard)
    tag = board.method_tag("GET")
    # A path of one word, of characters that are no zeros.
    paths = {started: bytes([48 + started]) * 8 for started in (1, 2)}

    def write(port: Port) -> None:
        entry = port.view("board", BOARD_ENTRY_WORDS)
        for started, path in paths.items():
            for at in (0, board.STARTED, board._PATH_WORD):
                entry[at] = 0
            entry[0] = tag
            entry[board.STARTED] = started
            entry[board._PATH_WORD] = int.from_bytes(path, "little")
            entry[0] = 0

    def read(port: Port) -> tuple[tuple[int, bytes], ...]:
        fencing.port = port
        return tuple(
            (active.started_ns, active.path)
            for active in board.read_board(port.view("board", BOARD_ENTRY_WORDS))
        )

    def is_right(end: tuple[Any, ...]) -> bool:
        return all(path in (b"", paths.get(started)) for started, path in end[1])

    with patch.object(board, "reader_fence", fencing):
        yield Protocol([write, read], is_right)


LEFT_BEHIND = 3


def shipped_row(guard: Guard) -> Protocol:
    """
    The code of shm/row.py: a row is wiped and claimed, and its new owner adopts it.

    The dead owner left a gauge behind, and even had the same pid. A reader that
    finds the row current must not take that gauge for the new owner's.
    """

    def master(port: Port) -> None:
        row = row_of(port)
        row.cells[0] = 0
        row.master[layout.MASTER_EMPTIED] = 1
        row.claim(kind=Kind.WORKER, generation=0, slot=0, core=0, spawned_ns=0)
        port.start(1)
        row.set_process(7, started=0)

    def own(port: Port) -> None:
        row = row_of(port)
        row.adopt(pid=7, now_ns=0)
        row.cells[0] = 1

    def read(port: Port) -> int | None:
        row = row_of(port)
        reading = row.read()
        guard.fence_reader(port)
        return row.cells[0] if reading is not None and reading.is_current else None

    def is_right(end: tuple[Any, ...]) -> bool:
        return bool(end[2] != LEFT_BEHIND)

    words: dict[Word, int] = {
        ("row master", layout.MASTER_CLAIM): 1,
        ("row master", layout.MASTER_KIND): Kind.WORKER,
        ("row master", layout.MASTER_STATE): State.FREE,
        ("row owner", layout.OWNER_CLAIM): 1,
        ("row owner", layout.OWNER_PID): 7,
        ("row cells", 0): LEFT_BEHIND,
    }
    return Protocol([master, Thread([own], is_started_by_another=True), read], is_right, words)


@contextmanager
def shipped_series(guard: Guard) -> Iterator[Protocol]:
    """
    The code of shm/series.py: the master appends to the table while another reads it.

    An entry is JSON, so that a part of it is no entry; a checksum that always
    agrees leaves that to the decoder.
    """

    def table_of(port: Port) -> SeriesTable:
        return SeriesTable(port.view("header", layout.HEADER_WORDS), port.view("table", 64), 8)

    def write(port: Port) -> None:
        table = table_of(port)
        table.define("a", "counter")
        table.define("b", "gauge")

    def read(port: Port) -> tuple[tuple[str, str, int], ...]:
        return tuple((entry.name, entry.kind, entry.first) for entry in table_of(port).entries())

    def is_right(end: tuple[Any, ...]) -> bool:
        return bool(end[1] == (("a", "counter", 0), ("b", "gauge", 1))[: len(end[1])])

    def checksum(data: bytes) -> int:
        return zlib.crc32(data) if guard is Guard.CHECKSUM else 0

    with patch.object(series, "zlib", SimpleNamespace(crc32=checksum)):
        yield Protocol([write, read], is_right)
