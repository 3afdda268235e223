"""
Memory that a burst of connections took, given back to the kernel.

The C library keeps what is freed in the middle of its heap, for the next burst.
Once most of those connections are parked, that can be more than they take.
"""

import ctypes
from collections.abc import Callable
from typing import Final


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None  # Not every C library has it.


_TRIM: Final = _find_trim()


def give_back() -> None:
    """Have the C library return the pages that it does not need. Takes about a millisecond."""
    if _TRIM is not None:
        _TRIM(0)
