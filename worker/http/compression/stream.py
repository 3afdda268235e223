"""
A response that is compressed piece by piece.
"""

import asyncio

from penstock.worker.http.compression.codings import Coding
from penstock.worker.http.reply import BodyFraming


class Stream:
    """A body on its way through a coder."""

    __slots__ = ("coder", "coding", "flush_is_due", "is_in_thread", "promised", "turn")

    def __init__(self, coding: Coding, promised: int | None) -> None:
        self.coding = coding
        self.coder = coding.stream()
        # What the app has declared is kept to, though the client is not told.
        self.promised = BodyFraming(left=promised)
        self.flush_is_due = False
        self.is_in_thread = False
        self.turn = asyncio.Lock()

    def feed(self, body: bytes) -> bytes:
        """Compress a piece."""
        return self.coder.compress(body)

    def end(self, body: bytes) -> bytes:
        """Compress the last piece."""
        return self.coder.compress(body) + self.coder.finish() if body else self.coder.finish()
