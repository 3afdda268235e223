"""
The shared segment: one memfd, mapped by every process of the tree.

It is inherited, by fork and across execve, and never has a name in a file
system, so nothing is left behind whoever dies last. It is sealed against
resizing: a process that shrank it would kill all the others with SIGBUS.

A hot restart to a release or a configuration that divides its rows otherwise
makes a new segment, and keeps the one before as its *ancestor*: the workers of
the old generation go on counting there, and whoever adds up adds both, until
the last of them is gone and the ancestor is folded into its heir.
"""

import mmap
import os
import zlib
from typing import Self

from penstock.shm import folding, layout, memfd
from penstock.shm.base import Base
from penstock.shm.memfd import LayoutMismatch
from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry, Schema, Section
from penstock.shm.sections import Sections
from penstock.shm.series import SeriesTable


class RowsFull(Exception):
    """Every row has an owner. More processes run than the segment was made for."""


class Segment:
    """
    The mapped segment of this process.

    `fd` belongs to it, is closed on exec, and can be made inheritable.
    A child that was forked may go on using the parent's object.
    """

    def __init__(self, fd: int, schema: Schema) -> None:
        self.fd = fd
        self.schema = schema
        self.ancestors: list[Segment] = []  # oldest first
        self._mapping = mmap.mmap(fd, schema.size)
        self._bytes = memoryview(self._mapping)
        self._words = self._bytes.cast("Q")
        self._header = self._words[: layout.HEADER_WORDS]
        self._table = self._words[schema.table_start : schema.table_start + schema.table_words]
        self._rows: dict[int, Row] = {}
        self.bases = (self._base(0), self._base(1))
        self.series = SeriesTable(self._header, self._table, schema.cell_count)
        self._views = (self._table, self._header, self._words, self._bytes)

    @classmethod
    def create(cls, geometry: Geometry, *, created_ns: int = 0, serial: int = 0) -> Self:
        """Make an empty segment. The caller is the master, and its one writer of header and table."""
        schema = geometry.schema()
        encoded = schema.encode()
        assert len(encoded) <= layout.SCHEMA_BYTES_MAX
        fd = memfd.make_memfd()
        try:
            os.ftruncate(fd, schema.size)
            os.pwrite(fd, encoded, layout.HEADER_SCHEMA * layout.WORD_SIZE)
            memfd.seal(fd)
            segment = cls(fd, schema)
        except BaseException:
            os.close(fd)
            raise
        header = segment._header
        header[layout.HEADER_MAJOR] = layout.LAYOUT_MAJOR
        header[layout.HEADER_SIZE] = schema.size
        header[layout.HEADER_SCHEMA_SIZE] = len(encoded)
        header[layout.HEADER_SCHEMA_CRC] = zlib.crc32(encoded)
        header[layout.HEADER_BOOT_ID], header[layout.HEADER_BOOT_ID + 1] = memfd.boot_id_words()
        header[layout.HEADER_CREATED_NS] = created_ns
        header[layout.HEADER_SERIAL] = serial
        header[layout.HEADER_MAGIC] = layout.MAGIC
        return segment

    @classmethod
    def attach(cls, fd: int) -> Self:
        """
        Map the segment behind an inherited descriptor and take the descriptor over.

        It may be divided otherwise than this release would do it. Raises
        LayoutMismatch, and then has written nothing and left `fd` open.
        """
        segment = cls(fd, memfd.judge(fd))
        if not segment.series.is_whole():
            segment._unmap()
            raise LayoutMismatch("series table", found="damaged entries", expected="whole ones")
        return segment

    @property
    def created_ns(self) -> int:
        """When the segment was made, in wall-clock time."""
        return int(self._header[layout.HEADER_CREATED_NS])

    @property
    def serial(self) -> int:
        """How many segments the service had before this one."""
        return int(self._header[layout.HEADER_SERIAL])

    def mappings(self) -> list[tuple[int, mmap.mmap]]:
        """Give all that is mapped here, with the files behind: this segment and its ancestors."""
        return [(each.fd, each._mapping) for each in (self, *self.ancestors)]

    @property
    def folds(self) -> int:
        """How often rows were folded. Whoever reads it twice knows whether it happened in between."""
        return int(self._header[layout.HEADER_FOLDS])

    @property
    def resident_bytes(self) -> int:
        """How much of it is really there."""
        return os.fstat(self.fd).st_blocks * 512

    @property
    def base(self) -> Base:
        """The copy of the base that holds now."""
        return self.bases[self.folds & 1]

    # Rows.

    def row(self, index: int) -> Row:
        """Give a row's view, of this segment or of an ancestor. Asking for it does not touch its memory."""
        segment = self._of(index)
        if segment is None:
            return self._blank(index)
        return segment.own(index & (1 << layout.ROW_INDEX_BITS) - 1)

    def is_own(self, index: int) -> bool:
        """Tell whether a row lies in this very segment, and its words mean what the series table says."""
        return index >> layout.ROW_INDEX_BITS == self.serial

    def knows(self, index: int) -> bool:
        """Tell whether a row's segment could be read; else nothing is known of its owner."""
        return self._of(index) is not None

    def _of(self, index: int) -> "Segment | None":
        """Find the segment that a row lies in: this one, an ancestor, or none that could be read."""
        serial = index >> layout.ROW_INDEX_BITS
        return next((each for each in (self, *self.ancestors) if each.serial == serial), None)

    def _blank(self, index: int) -> Row:
        """Give a row for an owner whose segment could not be read: nobody else sees what is written there."""
        if index not in self._rows:
            block = memoryview(bytearray(self.schema.row_stride * layout.WORD_SIZE))
            self._rows[index] = Row(index, Sections(block, self.schema.row), self.series)
        return self._rows[index]

    def own(self, number: int) -> Row:
        """Give a row of this very segment."""
        index = self.serial << layout.ROW_INDEX_BITS | number
        if index not in self._rows:
            schema = self.schema
            assert 0 <= number < schema.row_count
            start = schema.rows_start + number * schema.row_stride
            sections = self._sections(start, schema.row_stride, schema.row)
            self._rows[index] = Row(index, sections, self.series)
        return self._rows[index]

    def own_rows(self) -> list[Row]:
        """
        Give the rows of this segment that ever had an owner, the only ones worth reading.

        A page of a memfd that is merely read is allocated, so looking at the
        others would cost memory for nothing.
        """
        count = min(self._header[layout.HEADER_ROWS_CLAIMED], self.schema.row_count)
        return [self.own(number) for number in range(count)]

    def claimed_rows(self) -> list[Row]:
        """Give the rows that ever had an owner, those of ancestors included."""
        return [row for segment in (*self.living_ancestors(), self) for row in segment.own_rows()]

    def living_ancestors(self) -> "list[Segment]":
        """List the segments before this one whose counts are not in its base yet."""
        folded_serial = self.base.folded_serial
        return [each for each in self.ancestors if each.serial >= folded_serial]

    def claim(
        self, *, kind: Kind, generation: int, slot: int | None = None, core: int | None = None, now_ns: int
    ) -> Row:
        """
        Claim the first free row for a process that is about to be forked. The master's alone.

        The row is STARTING; `set_process` tells it the pid. Raises RowsFull.
        """
        row = self._free_row()
        row.claim(kind=kind, generation=generation, slot=slot, core=core, spawned_ns=now_ns)
        return row

    def adopt(self, index: int, *, pid: int, now_ns: int) -> Row:
        """Make this process the owner of the row that was claimed for it."""
        row = self.row(index)
        row.adopt(pid=pid, now_ns=now_ns)
        return row

    def retire(self, index: int) -> None:
        """
        Take a row back whose owner was reaped, and add what it has counted to the base. The master's alone.
        """
        row = self.row(index)
        row.release()
        segment = self._of(index)
        if segment is not None:
            segment.clear(row)

    def clear(self, row: Row) -> None:
        """Fold a free row of this segment, if that was not done, and wipe it. Twice is as well as once."""
        claim = row.claim_number
        if row.master[layout.MASTER_EMPTIED] == claim:
            return
        if self.base.folded[row.number] != claim:
            others = [each for each in self.own_rows() if each is not row] if not self.ancestors else None
            folding.fold_row(self.bases, self._header, self.series.entries(), row, others)
        self._wipe(row)
        row.master[layout.MASTER_EMPTIED] = claim

    def _wipe(self, row: Row) -> None:
        """Give the pages of what was folded back to the system; they read as zeros again."""
        start, end = self.schema.wiped
        first = self.schema.rows_start + row.number * self.schema.row_stride
        size = (end - start) * layout.WORD_SIZE
        try:
            if start % layout.PAGE_WORDS or end % layout.PAGE_WORDS:
                raise OSError("another release did not put it on pages of its own")
            self._mapping.madvise(mmap.MADV_REMOVE, (first + start) * layout.WORD_SIZE, size)
        except OSError:  # or a kernel that cannot
            self._words[first + start : first + end] = memoryview(bytes(size)).cast("Q")

    def _free_row(self) -> Row:
        claimed = self.own_rows()
        for row in claimed:
            if row.is_free():
                self.clear(row)
                return row
        if len(claimed) == self.schema.row_count:
            raise RowsFull(f"all {self.schema.row_count} rows of the shared segment have an owner")
        self._header[layout.HEADER_ROWS_CLAIMED] = len(claimed) + 1
        return self.own(len(claimed))

    # Ancestors.

    def succeed(self, geometry: Geometry, *, created_ns: int) -> "Segment":
        """Make the segment that comes after this one, which becomes its ancestor. The master's alone."""
        heir = Segment.create(geometry, created_ns=created_ns, serial=self.serial + 1)
        heir.ancestors = [*self.living_ancestors(), self]
        heir.bases[0].line[layout.BASE_FOLDED_SERIAL] = heir.ancestors[0].serial
        return heir

    def bury(self) -> int:
        """
        Fold the oldest ancestors in which nobody is left to write. The master's alone.

        Returns how many of their series found no room here, and are lost.
        """
        lost = 0
        while self.ancestors and all(row.is_free() for row in self.ancestors[0].own_rows()):
            ancestor = self.ancestors[0]
            for row in ancestor.own_rows():
                ancestor.clear(row)
            if ancestor.serial >= self.base.folded_serial:
                lost += folding.fold_segment(self.bases, self._header, self.series, ancestor)
            self.ancestors.remove(ancestor)
            ancestor.close()
        return lost

    def close(self) -> None:
        """Unmap the segment here and close `fd`; other processes keep theirs."""
        self._unmap()
        os.close(self.fd)

    def _base(self, copy: int) -> Base:
        schema = self.schema
        start = schema.bases_start + copy * schema.base_stride
        return Base(self._sections(start, schema.base_stride, schema.base))

    def _sections(self, start: int, stride: int, sections: tuple[Section, ...]) -> Sections:
        return Sections(self._bytes[start * layout.WORD_SIZE : (start + stride) * layout.WORD_SIZE], sections)

    def _unmap(self) -> None:
        for row in self._rows.values():
            row.close()
        self._rows.clear()
        for base in self.bases:
            base.close()
        for view in self._views:
            view.release()
        try:
            self._mapping.close()
        except BufferError:
            pass  # Somebody still holds a slice of a row; the mapping goes with it.
