"""
A request's body on its way to a server.
"""

from typing import TYPE_CHECKING

from penstock.worker.http.inbox import Inbox
from penstock.worker.limits import UPSTREAM_REPLAY_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.gateway.passage import Passage


class Outflow(Inbox):
    """A request's body on its way to the server; kept while there is none to send it to."""

    __slots__ = ("kept", "passage")

    passage: "Passage"
    # What was sent, for as long as it may have to be sent again; None: it cannot.
    kept: bytes | bytearray | None

    def begin(self, *, is_repeatable: bool) -> bytes:
        """Return all that has come, which is about to be sent on a link."""
        body = bytes(self.body) if not self.kept else bytes(self.kept) + self.body
        self.body = b""
        self.kept = body if is_repeatable and len(body) <= UPSTREAM_REPLAY_BYTES_MAX else None
        return body

    def put(self, piece: bytes, *, is_last: bool) -> int:
        """Take a piece from the client; return how much waits for the server."""
        passage = self.passage
        if passage.link is None:
            return super().put(piece, is_last=is_last)
        if is_last:
            self.is_complete = True
            self.expects_continue = False
        if self.kept is not None:
            self._keep(self.kept, piece)
        return passage.send_piece(piece, is_last=is_last)

    def _keep(self, kept: bytes | bytearray, piece: bytes) -> None:
        if len(kept) + len(piece) > UPSTREAM_REPLAY_BYTES_MAX:
            self.kept = None
        else:
            self.kept = kept if isinstance(kept, bytearray) else bytearray(kept)
            self.kept += piece
