"""
The shared segment: one memfd, mapped by every process of the tree.

It is inherited, by fork and across execve, and never has a name in a file
system, so nothing is left behind whoever dies last. It is sealed against
resizing: a process that shrank it would kill all the others with SIGBUS.
"""

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final, Self

from penstock.shm import layout, names
from penstock.shm.layout import Geometry
from penstock.shm.row import Kind, Row
from penstock.shm.series import SeriesTable

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

# Newer kernels want to be told that nobody will execute this file; older ones
# refuse the flag.
_MFD_NOEXEC_SEAL: Final = 0x8


class LayoutMismatch(Exception):
    """A segment that this code must not touch: another version's, a damaged one, or none at all."""

    def __init__(self, what: str, *, found: object, expected: object) -> None:
        super().__init__(f"shared segment: {what} is {found}, expected {expected}")
        self.what = what
        self.found = found
        self.expected = expected


class RowsFull(Exception):
    """Every row has an owner. More processes run than the segment was made for."""


class Segment:
    """
    The mapped segment of this process.

    `fd` belongs to it, is closed on exec, and can be made inheritable.
    A child that was forked may go on using the parent's object.
    """

    def __init__(self, fd: int, geometry: Geometry) -> None:
        self.fd = fd
        self.geometry = geometry
        self._mapping = mmap.mmap(fd, geometry.size)
        self._words = memoryview(self._mapping).cast("Q")
        self._header = self._words[: layout.HEADER_WORDS]
        self._table = self._words[geometry.table_start : geometry.table_start + layout.TABLE_WORDS]
        self._rows: dict[int, Row] = {}
        self.series = SeriesTable(self._header, self._table, geometry.cell_count)

    @classmethod
    def create(cls, geometry: Geometry, *, created_ns: int = 0) -> Self:
        """Make an empty segment. The caller is the master, and its one writer of header and table."""
        fd = _memfd()
        try:
            os.ftruncate(fd, geometry.size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            segment = cls(fd, geometry)
        except BaseException:
            os.close(fd)
            raise
        header = segment._header
        header[layout.HEADER_VERSION] = layout.LAYOUT_VERSION
        header[layout.HEADER_SIZE] = geometry.size
        header[layout.HEADER_ROW_COUNT] = geometry.row_count
        header[layout.HEADER_CELL_COUNT] = geometry.cell_count
        header[layout.HEADER_BOOT_ID], header[layout.HEADER_BOOT_ID + 1] = _boot_id()
        header[layout.HEADER_CREATED_NS] = created_ns
        header[layout.HEADER_MAGIC] = layout.MAGIC
        return segment

    @classmethod
    def attach(cls, fd: int) -> Self:
        """
        Map the segment behind an inherited descriptor and take the descriptor over.

        Raises LayoutMismatch, and then has written nothing and left `fd` open.
        """
        segment = cls(fd, _judge(fd))
        if not segment.series.is_whole():
            segment._unmap()
            raise LayoutMismatch("series table", found="damaged entries", expected="whole ones")
        return segment

    @property
    def created_ns(self) -> int:
        """When the segment was made, in wall-clock time."""
        return int(self._header[layout.HEADER_CREATED_NS])

    def row(self, index: int) -> Row:
        """Give a row's view. Asking for it does not touch its memory."""
        if index not in self._rows:
            start = self.geometry.row_start(index)
            words = self._words[start : start + self.geometry.row_stride]
            self._rows[index] = Row(index, words, self.geometry)
        return self._rows[index]

    def claimed_rows(self) -> list[Row]:
        """
        Give the rows that ever had an owner, which are the only ones worth reading.

        A page of a memfd that is merely read is allocated, so looking at the
        others would cost memory for nothing.
        """
        count = min(self._header[layout.HEADER_ROWS_CLAIMED], self.geometry.row_count)
        return [self.row(index) for index in range(count)]

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
        entries = self.series.entries()
        row.adopt(
            pid=pid,
            now_ns=now_ns,
            gauges=[series.first for series in entries if series.kind == "gauge"],
            requests_before=self.requests_of(row),
        )
        return row

    def requests_of(self, row: Row) -> int:
        """Add up the requests that all owners of a row have answered."""
        return sum(
            row.cells[series.first] for series in self.series.entries() if series.name == names.REQUESTS
        )

    def close(self) -> None:
        """Unmap the segment here and close `fd`; other processes keep theirs."""
        self._unmap()
        os.close(self.fd)

    def _free_row(self) -> Row:
        claimed = self.claimed_rows()
        for row in claimed:
            if row.is_free():
                return row
        if len(claimed) == self.geometry.row_count:
            raise RowsFull(f"all {self.geometry.row_count} rows of the shared segment have an owner")
        self._header[layout.HEADER_ROWS_CLAIMED] = len(claimed) + 1
        return self.row(len(claimed))

    def _unmap(self) -> None:
        for row in self._rows.values():
            row.close()
        self._rows.clear()
        for view in (self._header, self._table, self._words):
            view.release()
        try:
            self._mapping.close()
        except BufferError:
            pass  # Somebody still holds a slice of a row; the mapping goes with it.


def _memfd() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("penstock", flags | _MFD_NOEXEC_SEAL)
    except OSError:
        return os.memfd_create("penstock", flags)


def _judge(fd: int) -> Geometry:
    """
    Read the header through the descriptor and say which geometry it has.

    Not through a mapping: a file cut short would answer that with SIGBUS.
    """
    size = os.fstat(fd).st_size
    if size < layout.PAGE_SIZE:
        raise LayoutMismatch("size", found=size, expected=f"at least {layout.PAGE_SIZE}")
    header = struct.unpack(f"{layout.HEADER_WORDS}Q", os.pread(fd, layout.PAGE_SIZE, 0))

    magic = header[layout.HEADER_MAGIC]
    if magic != layout.MAGIC:
        raise LayoutMismatch("magic", found=f"{magic:#x}", expected=f"{layout.MAGIC:#x}")
    version = header[layout.HEADER_VERSION]
    if version != layout.LAYOUT_VERSION:
        raise LayoutMismatch("layout version", found=version, expected=layout.LAYOUT_VERSION)
    try:
        geometry = Geometry(header[layout.HEADER_ROW_COUNT], header[layout.HEADER_CELL_COUNT])
    except ValueError as error:
        raise LayoutMismatch("geometry", found=str(error), expected="one that can be laid out") from None
    if not size == header[layout.HEADER_SIZE] == geometry.size:
        raise LayoutMismatch("size", found=size, expected=geometry.size)

    # Pids and monotonic times of another boot mean nothing in this one.
    boot_id = header[layout.HEADER_BOOT_ID : layout.HEADER_BOOT_ID + 2]
    if boot_id != _boot_id():
        raise LayoutMismatch("boot id", found=boot_id, expected=_boot_id())
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0  # No memfd at all.
    if seals & SEALS != SEALS:
        raise LayoutMismatch("seals", found=f"{seals:#x}", expected=f"{SEALS:#x}")
    return geometry


def _boot_id() -> tuple[int, int]:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        value = int(text.strip().replace("-", ""), 16)
    except (OSError, ValueError):
        return 0, 0  # Some sandboxes hide it; then every boot looks alike.
    return value >> 64, value & (2**64 - 1)
