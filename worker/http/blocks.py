"""
Remembers header blocks that were found valid, with what was read out of them.

A block is a head without its method and target: from "HTTP/1.1" to the empty
line. A client that keeps its connection, a proxy or an API client sends the same
one with request after request, and what was true of these bytes still is. The
key is the whole block, so two that differ in a bit are two.
"""

from typing import Any, NamedTuple

from penstock.worker.limits import BLOCK_BYTES_MAX, BLOCK_COUNT_MAX, BLOCK_MARKS, BLOCK_MISSES_MAX


class Framing(NamedTuple):
    """What a head says beyond "HTTP/1.1, no body, keep the connection"."""

    http_version: str
    keep_alive: bool
    # Bytes of body; None when it is chunked.
    content_length: int | None
    expects_continue: bool
    # What it asks to switch to, in HTTP/1.1: in lower case.
    protocols: frozenset[bytes] = frozenset()
    # What proxies say, as it came: X-Forwarded-For and -Proto, or Forwarded alone; then what the head says
    # beside that.
    said: "Said | None" = None


# A tuple without names is made in a fifth of the time.
Said = tuple[bytes | None, bytes | None, Framing | None]
# What others have made of a block, by what else it depends on: thrown away with the block.
Memo = dict[Any, bytes]

# Headers, Host, framing. The list is ours: whoever gets it copies it, since an app may change its own.
Block = tuple[list[tuple[bytes, bytes]], bytes | None, Framing | None]
KnownBlock = tuple[list[tuple[bytes, bytes]], bytes | None, Framing | None, Memo]


class Blocks:
    """
    The blocks that come again and again.

    Behind some proxies none ever does, as each has an id of its own. After so
    many in a row nobody looks any more, until `look_again`.
    """

    __slots__ = ("_marks", "bytes_max", "known", "misses")

    def __init__(self) -> None:
        # These three are for the hot path: the longest block worth a look, those
        # that are known, and how many in a row were not; a hit sets that to 0.
        self.bytes_max = BLOCK_BYTES_MAX
        self.known: dict[bytes, KnownBlock] = {}
        self.misses = 0
        # The hash of the block that was last seen for each of its lowest bits.
        self._marks = [0] * BLOCK_MARKS

    def saw(self, block: bytes, found: Block) -> None:
        """
        Take note of a valid block. It is kept when it comes for the second time,
        so one that never comes again drives out no other.
        """
        if len(block) > self.bytes_max:
            return
        self.misses += 1
        if self.misses >= BLOCK_MISSES_MAX:
            self.bytes_max = 0
            return
        mark = hash(block)
        place = mark & (BLOCK_MARKS - 1)
        if self._marks[place] != mark:
            self._marks[place] = mark
            return
        if len(self.known) >= BLOCK_COUNT_MAX:
            self.known.clear()  # Those in use are back after two requests.
        headers, host, framing = found
        self.known[block] = headers.copy(), host, framing, {}

    def look_again(self) -> None:
        """Give blocks another chance. Called with each tick."""
        self.bytes_max = BLOCK_BYTES_MAX
        self.misses = 0


def is_judged(target: bytes) -> bool:
    """
    Tell whether a target is such that llhttp has nothing against it, whatever
    follows: an absolute path, printable ASCII, no space.
    """
    return target.isascii() and target[:1] == b"/" and target.decode().isprintable()
