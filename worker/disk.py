"""
Reading files without letting the loop wait for a disk.

What lies in the page cache is read at once. Whether it does, the kernel says when
it is asked to read without waiting (RWF_NOWAIT); what does not is first read by a
thread, and then it lies there. Some file systems cannot say (overlay, tmpfs): of
those it is remembered for a while what a thread has read.
"""

import asyncio
import contextvars
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from penstock.worker.limits import DISK_BLOCK_BYTES, DISK_READ_S, DISK_READS_MAX, DISK_THREADS_MAX

T = TypeVar("T")

# A file system that cannot say: EOPNOTSUPP, or EINVAL from an older kernel.
_BYTE = bytearray(1)
_BYTES = (_BYTE,)

_pool: ThreadPoolExecutor | None = None
# What threads have read of files that cannot say, and when: device, inode, size, change, offset.
_read_at_s: dict[tuple[int, int, int, int, int], float] = {}


def is_cached(fd: int, offset: int, count: int) -> bool:
    """
    Tell whether a stretch of a file can be read without waiting.

    It looks at both ends: a stretch is read, and thrown out, mostly as a whole, and
    the rest that is missing costs a wait, not a mistake.
    """
    try:
        os.preadv(fd, _BYTES, offset, os.RWF_NOWAIT)
        os.preadv(fd, _BYTES, offset + count - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return time.monotonic() - _read_at_s.get(_key(fd, offset), -DISK_READ_S) < DISK_READ_S
    return True


def read_cached(fd: int, offset: int, count: int) -> bytearray | None:
    """Read a stretch of a file that is in the page cache, maybe less; None if it is not there."""
    buffer = bytearray(count)
    try:
        size = os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError:
        if not is_cached(fd, offset, count):
            return None
        size = os.preadv(fd, (buffer,), offset)
    if size < count:
        del buffer[size:]
    return buffer


async def fetch(fd: int, offset: int, count: int) -> None:
    """Have a thread read a stretch of a file, so that it is in the page cache. Raises OSError."""
    await in_thread(_read_through, fd, offset, count)
    if len(_read_at_s) >= DISK_READS_MAX:
        _read_at_s.clear()
    _read_at_s[_key(fd, offset)] = time.monotonic()


async def in_thread(act: Callable[..., T], *arguments: object) -> T:
    """Call something that waits, in a thread. It runs to its end even if nobody waits for it any more."""
    return await asyncio.wrap_future(start_in_thread(act, *arguments))


def start_in_thread(act: Callable[..., T], *arguments: object) -> "Future[T]":
    """Call something that waits, in a thread."""
    global _pool  # noqa: PLW0603, one of a process, made when it is first wanted
    if _pool is None:
        _pool = ThreadPoolExecutor(DISK_THREADS_MAX, thread_name_prefix="disk")
    return _pool.submit(contextvars.Context().run, act, *arguments)


def _read_through(fd: int, offset: int, count: int) -> None:
    # Should the descriptor be closed meanwhile and mean something else, nothing is lost:
    # pread takes nothing from a socket or a pipe.
    end = offset + count
    block = bytearray(min(count, DISK_BLOCK_BYTES))
    while offset < end:
        size = os.preadv(fd, (block,), offset)
        if not size:
            return
        offset += size


def _key(fd: int, offset: int) -> tuple[int, int, int, int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, offset
