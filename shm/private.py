"""
Keeps what a process forks from counting in its row.

A row has one owner. When the app of a worker forks (`os.fork`, a
`multiprocessing` pool), the child inherits the mapping, and whatever it counts
and however it beats would be added to its parent's numbers by a second writer.
So the first thing in the child is to put a private copy of the segment in the
place of the shared one, at the same address: every view that it inherited goes
on working, and nobody else sees what is stored there.

Only for forks that Python knows of. The master, whose children are to share,
does not ask for it; nor does what is executed, which has no mapping at all.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from typing import Final

from penstock.shm.segment import Segment

_MAP_FIXED: Final = 0x10
_MAP_NORESERVE: Final = 0x4000
_PRIVATE: Final = mmap.MAP_PRIVATE | _MAP_FIXED | _MAP_NORESERVE

# Exit status of a child that could not be kept from the numbers.
EXIT_NOT_PRIVATE: Final = 70


def keep_from_children(segment: Segment) -> None:
    """Give each child that this process forks from now on copies of its own, once and for all."""
    map_at = ctypes.CDLL(None).mmap
    map_at.restype = ctypes.c_void_p
    map_at.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    mappings = [_Mapping(map_at, fd, mapping) for fd, mapping in segment.mappings()]

    def replace_all() -> None:
        for each in mappings:
            each.replace()

    os.register_at_fork(after_in_child=replace_all)


class _Mapping:
    """One mapping: where it lies, and which file it shows. All that takes memory was done before the fork."""

    def __init__(self, map_at: Callable[..., int | None], fd: int, mapping: mmap.mmap) -> None:
        self._map_at = map_at
        self._fd = fd
        self._file = _identity(fd)
        self._size = len(mapping)
        # The borrowed view is let go of at once: while it is held, the mapping cannot be closed.
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))

    def replace(self) -> None:
        """
        Map the same pages, to be copied when they are written to; or else empty ones.

        Should even that fail, the child ends: wrong numbers would never be right again.
        """
        if _identity(self._fd) == self._file and self._map(_PRIVATE, self._fd):
            return
        if not self._map(_PRIVATE | mmap.MAP_ANONYMOUS, -1):
            sys.stderr.write("penstock: a forked process got no memory of its own and was ended\n")
            os._exit(EXIT_NOT_PRIVATE)

    def _map(self, flags: int, fd: int) -> bool:
        found = self._map_at(self._address, self._size, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
        return bool(found == self._address)


def _identity(fd: int) -> tuple[int, int] | None:
    """Tell which file a descriptor is; the app may have closed ours and opened another."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
