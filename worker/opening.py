"""
Opens files that others name: regular ones only, below a folder if need be, and
without waiting for a disk where the kernel can promise that.

`openat2` (Linux 5.6) walks a path in one system call and refuses what leads out of
the folder, whoever renames what meanwhile. Where it is not to be had, an older
kernel or a sandbox, every part of the path is opened by itself, and a symlink is
refused wherever it leads.
"""

import asyncio
import ctypes
import errno
import os
import stat
import struct
from concurrent.futures import Future

from penstock.worker.disk import start_in_thread

# Without O_NONBLOCK, opening a FIFO waits for its other end.
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
FOLDER_FLAGS = os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY

_SYS_OPENAT2 = 437
_NO_MAGICLINKS, _BENEATH, _CACHED = 0x02, 0x08, 0x20


class Descriptor:
    """An open descriptor, closed when nobody refers to it any more, at the latest."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close it now, whoever still refers to it, such as the traceback of an exception."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class NotRegular(OSError):
    """It is no regular file: a folder, a device, a FIFO, a socket."""


def _how(resolve: int) -> bytes:
    return struct.pack("QQQ", FLAGS, 0, resolve)


_HOWS = {resolve: _how(resolve) for resolve in (0, _CACHED, _BENEATH, _BENEATH | _CACHED)}
_HOWS = {resolve: _how(resolve | (resolve & _BENEATH and _NO_MAGICLINKS)) for resolve in _HOWS}

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long


def _openat2(folder: int, name: bytes, resolve: int) -> int:
    fd: int = _syscall(_SYS_OPENAT2, folder, name, _HOWS[resolve], 24)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def _can(resolve: int) -> bool:
    try:
        os.close(_openat2(-100, b"/" if not resolve & _BENEATH else b".", resolve))
    except OSError as error:
        return error.errno == errno.EAGAIN
    return True


HAS_BENEATH = _can(_BENEATH)
HAS_CACHED = HAS_BENEATH and _can(_CACHED)


def open_beneath(folder: int, name: bytes, *, follows: bool, may_wait: bool) -> int:
    """
    Open what a relative path names, regular or not; the caller looks. Raises OSError.

    `follows` lets symlinks lead out of the folder. With `may_wait` False it raises
    BlockingIOError when the kernel would have to look at a disk for it.
    """
    if not may_wait:
        if not HAS_CACHED:
            raise BlockingIOError(errno.EAGAIN, "it may have to wait")
        return _openat2(folder, name, _CACHED if follows else _BENEATH | _CACHED)
    if follows:
        return os.open(name, FLAGS, dir_fd=folder)
    if not HAS_BENEATH:
        return _walk(folder, name)
    for _ in range(8):
        try:
            return _openat2(folder, name, _BENEATH)
        except BlockingIOError:
            continue  # Something was renamed under way.
    raise FileNotFoundError(errno.ENOENT, "it moves too fast")


def _walk(folder: int, name: bytes) -> int:
    *folders, last = name.split(b"/")
    at = Descriptor(os.dup(folder))
    for part in folders:
        at = Descriptor(os.open(part, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=at.fd))
    return os.open(last or b".", FLAGS | os.O_NOFOLLOW, dir_fd=at.fd)


async def open_path(path: str) -> tuple[Descriptor, int]:
    """Open a regular file by its path, off the loop if that may wait. Gives its size, too."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a path with a null byte in it")
    try:
        if not HAS_CACHED:
            raise BlockingIOError
        found = Descriptor(_openat2(-100, name, _CACHED))
    except BlockingIOError:
        found = await open_in_thread(start_in_thread(_open, name))
    about = os.fstat(found.fd)
    if not stat.S_ISREG(about.st_mode):
        found.close()
        raise NotRegular(errno.EINVAL, "not a regular file", path)
    return found, about.st_size


def _open(name: bytes) -> Descriptor:
    return Descriptor(os.open(name, FLAGS))


async def open_in_thread(opening: "Future[Descriptor]") -> Descriptor:
    """Wait for a descriptor; if nobody waits any more, it is closed as it comes."""
    return await asyncio.wrap_future(opening)
