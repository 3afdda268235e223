"""
The memory file behind a segment: how it is made, and whether a given one is such a file.
"""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from penstock.shm import layout
from penstock.shm.schema import Schema, decode_schema

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

# Newer kernels want to be told that nobody will execute this file; older ones
# refuse the flag.
_MFD_NOEXEC_SEAL: Final = 0x8


class LayoutMismatch(Exception):
    """A segment that this code must not touch: another layout's, a damaged one, or none at all."""

    def __init__(self, what: str, *, found: object, expected: object) -> None:
        super().__init__(f"shared segment: {what} is {found}, expected {expected}")
        self.what = what
        self.found = found
        self.expected = expected


def seal(fd: int) -> None:
    """Fix the size for good."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def make_memfd() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("penstock", flags | _MFD_NOEXEC_SEAL)
    except OSError:
        return os.memfd_create("penstock", flags)


def judge(fd: int) -> Schema:
    """
    Read the header through the descriptor and say how the segment is divided. Raises LayoutMismatch.

    Not through a mapping: a file cut short would answer that with SIGBUS.
    """
    size = os.fstat(fd).st_size
    if size < layout.PAGE_SIZE:
        raise LayoutMismatch("size", found=size, expected=f"at least {layout.PAGE_SIZE}")
    page = os.pread(fd, layout.PAGE_SIZE, 0)
    header = struct.unpack(f"{layout.HEADER_WORDS}Q", page)

    magic = header[layout.HEADER_MAGIC]
    if magic != layout.MAGIC:
        raise LayoutMismatch("magic", found=f"{magic:#x}", expected=f"{layout.MAGIC:#x}")
    major = header[layout.HEADER_MAJOR]
    if major != layout.LAYOUT_MAJOR:
        raise LayoutMismatch("layout version", found=major, expected=layout.LAYOUT_MAJOR)
    # Pids and monotonic times of another boot mean nothing in this one.
    boot_id = header[layout.HEADER_BOOT_ID : layout.HEADER_BOOT_ID + 2]
    if boot_id != boot_id_words():
        raise LayoutMismatch("boot id", found=boot_id, expected=boot_id_words())
    start = layout.HEADER_SCHEMA * layout.WORD_SIZE
    encoded = page[start : start + min(header[layout.HEADER_SCHEMA_SIZE], layout.SCHEMA_BYTES_MAX)]
    try:
        schema = decode_schema(encoded, header[layout.HEADER_SCHEMA_CRC])
    except ValueError as error:
        raise LayoutMismatch("division", found=str(error), expected="one that can be laid out") from None
    if not size == header[layout.HEADER_SIZE] == schema.size:
        raise LayoutMismatch("size", found=size, expected=schema.size)
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0  # No memfd at all.
    if seals & SEALS != SEALS:
        raise LayoutMismatch("seals", found=f"{seals:#x}", expected=f"{SEALS:#x}")
    return schema


def boot_id_words() -> tuple[int, int]:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        value = int(text.strip().replace("-", ""), 16)
    except (OSError, ValueError):
        return 0, 0  # Some sandboxes hide it; then every boot looks alike.
    return value >> 64, value & (2**64 - 1)
