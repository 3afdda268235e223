"""
A fence for readers of the segment, on machines that need one.

A reader that looks at one word and then at others wants them in that order, and
wants to see the stores before the one it has seen. x86 promises both. ARM and
the rest promise neither, and Python has no fence to offer to either side.

There `membarrier` does it from the reader's side alone: the kernel interrupts
every processor on which a registered process runs and has it fence, so the
writers' stores cost nothing. Any store made before it is seen by any load made
after it. Writers say once that they may be interrupted, when they adopt a row.

Where neither is to be had, an old kernel or a sandbox, nothing is ordered, and
what the checksums guard is still safe; docs/decisions/0006-memory-order.md says
which protocol relies on what.
"""

import ctypes
import platform
import threading
from typing import Final

# Stores are seen in the order they were made, and loads answered so.
_ORDERED: Final = frozenset({"x86_64", "amd64", "i386", "i486", "i586", "i686"})

# The number of the system call. Newer machines all have the same one.
_NUMBERS: Final = {
    "x86_64": 324,
    "aarch64": 283,
    "riscv64": 283,
    "loongarch64": 283,
    "ppc64le": 365,
}

_QUERY: Final = 0
_GLOBAL_EXPEDITED: Final = 1 << 1
_REGISTER_GLOBAL_EXPEDITED: Final = 1 << 2
_GET_REGISTRATIONS: Final = 1 << 9


class Membarrier:
    """The system call as the kernel at hand has it, if it does."""

    def __init__(self, number: int | None) -> None:
        self._number = number
        self._syscall = ctypes.CDLL(None).syscall
        self._syscall.argtypes = (ctypes.c_long,) * 4
        self._syscall.restype = ctypes.c_long
        needed = _GLOBAL_EXPEDITED | _REGISTER_GLOBAL_EXPEDITED
        self._commands = max(0, self._call(_QUERY))
        self.is_supported = self._commands & needed == needed

    def register(self) -> bool:
        """Let this process be interrupted, and its forked children; say whether the kernel agreed."""
        return self.is_supported and self._call(_REGISTER_GLOBAL_EXPEDITED) == 0

    def is_registered(self) -> bool | None:
        """Say whether this process is, or None where the kernel does not tell (before 6.3)."""
        if not self._commands & _GET_REGISTRATIONS:
            return None
        return bool(self._call(_GET_REGISTRATIONS) & _REGISTER_GLOBAL_EXPEDITED)

    def fence(self) -> bool:
        """Fence every registered process and the caller; say whether the kernel did."""
        return self.is_supported and self._call(_GLOBAL_EXPEDITED) == 0

    def _call(self, command: int) -> int:
        return -1 if self._number is None else int(self._syscall(self._number, command, 0, 0))


def membarrier_of(machine: str) -> Membarrier | None:
    """Give what readers need on such a machine (`uname -m`); None where loads and stores keep their order."""
    if machine.lower() in _ORDERED:
        return None
    return Membarrier(_NUMBERS.get(machine.lower()))


_MEMBARRIER: Final = membarrier_of(platform.machine())
_LOCK: Final = threading.Lock()


def register_writer() -> None:
    """Allow readers to fence this process. Whoever adopts a row does this once."""
    if _MEMBARRIER is not None:
        _MEMBARRIER.register()


def reader_fence() -> None:
    """
    Order all loads before it and all loads after it, and all stores of registered writers with them.

    Half a microsecond to two where it does something: once for many words, not once for each.
    """
    if _MEMBARRIER is not None:
        _MEMBARRIER.fence()


def full_fence() -> None:
    """
    Order also the stores of this process before it and its loads after it, which x86 does not by itself.

    For whoever says something and then looks whether another has said the same. A
    lock that nobody else has is an atomic exchange, and that is a fence there.
    """
    if _MEMBARRIER is not None:
        _MEMBARRIER.fence()
    else:
        with _LOCK:
            pass
