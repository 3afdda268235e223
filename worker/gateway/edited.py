"""
Requests on their way to an upstream whose route changes them.

What was remembered for a block of headers does not hold for them, so it is not asked.
"""

from penstock.worker.gateway import request_head
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.request_head import Origin
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo


class AskedOrigin(Origin):
    """Who asks, and for which host, whatever host the upstream is asked for."""

    __slots__ = ("_asked",)

    def __init__(self, address: str | None, scheme: str, asked: bytes | None) -> None:
        super().__init__(address, scheme)
        self._asked = asked

    def fields(self, host: bytes | None, forwarded_for: list[bytes], via: list[bytes]) -> bytes:
        """Return our own headers."""
        return super().fields(self._asked, forwarded_for, via)


class EditedPassage(Passage):
    """A Passage of a route with changes."""

    __slots__ = ()

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """Begin, with the path as it was rewritten."""
        scope = self.scope
        if scope["raw_path"] != self.asked[0]:
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
        super().forward(upstream, target, None)

    def _composed(self, link: Link) -> bytes:
        scope = self.scope
        client = scope["client"]
        asked = next((value for name, value in self.asked[2] if name == b"host"), None)
        return b" " + request_head.compose(
            scope["headers"],
            AskedOrigin(None if client is None else client[0], scope["scheme"], asked),
            authority=link.pool.server.address.encode(),
            is_chunked=self._is_chunked,
        )
