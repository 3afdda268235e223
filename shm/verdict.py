"""
What the health checks say of an upstream server, as one word of the admin process's row.

The word carries a mark of the server it is about, so that a word which was
another server's a moment ago is not taken for this one's.
"""

import zlib
from enum import IntEnum
from typing import Final

_BITS: Final = 8
_MASK: Final = (1 << _BITS) - 1


class Verdict(IntEnum):
    """Whether a server is well. UNKNOWN: nobody has looked yet, or nobody looks."""

    UNKNOWN = 0
    HEALTHY = 1
    UNHEALTHY = 2


def verdict_word(address: str, verdict: Verdict) -> int:
    """Make the word that says this of a server."""
    return zlib.crc32(address.encode()) << _BITS | verdict


def read_verdict(word: int, address: str) -> Verdict:
    """Tell what a word says of a server; UNKNOWN if it is about another, or makes no sense."""
    mark, verdict = word >> _BITS, word & _MASK
    if mark != zlib.crc32(address.encode()) or verdict > Verdict.UNHEALTHY:
        return Verdict.UNKNOWN
    return Verdict(verdict)
