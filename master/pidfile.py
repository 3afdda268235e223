"""
The pidfile: one master for one file.

The lock is the truth, not the number in it: a file left behind by a crash is
taken over, one that a living master holds is refused. The lock belongs to the
open file, so it survives the execve of a hot restart.
"""

import fcntl
import os
from pathlib import Path


class PidfileTaken(Exception):
    """Another process holds the pidfile."""


class Pidfile:
    """An open, locked pidfile."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def claim(cls, path: Path) -> "Pidfile":
        """Lock the file and write our pid into it. Raises PidfileTaken, OSError."""
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
                os.close(fd)
                raise PidfileTaken(f"{path} is held by a running master, pid {owner or 'unknown'}") from None
            if _is_same_file(path, fd):
                break
            os.close(fd)  # It was removed between our open and our lock: the lock is on a ghost.
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(path, fd)

    def remove(self) -> None:
        """Remove the file, and only then let the lock go."""
        if _is_same_file(self.path, self.fd):
            self.path.unlink()
        os.close(self.fd)


def _is_same_file(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
