"""
Keeps what a process forks from holding what is the worker's.

A child that the app forks inherits the listening sockets. If it outlives its
worker, the port stays taken: connections are accepted by the kernel, and answered
by nobody. So the first thing in the child is to put nothing in their place, under
the same numbers: whoever still reads or closes them does no harm.

Only for forks that Python knows of. What is executed inherits none of it anyway.
"""

import os
from typing import Final

# By number: which file it was then, because a number may be closed and given out again.
_KEPT: Final[dict[int, tuple[int, int]]] = {}


def keep_from_offspring(fd: int) -> None:
    """Have children that are forked from now on do without this."""
    status = os.fstat(fd)
    _KEPT[fd] = (status.st_dev, status.st_ino)


def is_closed(fd: int) -> None:
    """Forget a descriptor."""
    _KEPT.pop(fd, None)


def stand_guard() -> None:
    """Begin, once and for all, in a process that is to fork nothing of its own."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    identity = os.fstat(nothing)

    def let_go() -> None:
        for fd, kept in _KEPT.items():
            try:
                found = os.fstat(fd)
                if (found.st_dev, found.st_ino) == kept:
                    _replace(fd, nothing, (identity.st_dev, identity.st_ino))
            except OSError:
                continue  # It is closed.
        _KEPT.clear()

    os.register_at_fork(after_in_child=let_go)


def _replace(fd: int, nothing: int, identity: tuple[int, int]) -> None:
    found = os.fstat(nothing)
    if (found.st_dev, found.st_ino) == identity:
        os.dup2(nothing, fd, inheritable=False)
    else:
        os.close(fd)  # The app has closed what we had opened for this.
