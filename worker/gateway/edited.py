"""
Requests on their way to an upstream whose route changes them.

What was remembered for a block of headers does not hold for them, so it is not asked.
"""

from penstock.worker.gateway.origin import Origin, Said
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.terms import Terms
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo


class AskedOrigin(Origin):
    """Who asks, and for which host, whatever host the upstream is asked for."""

    __slots__ = ("_asked",)

    def __init__(self, origin: Origin, asked: bytes | None) -> None:
        for name in Origin.__slots__:
            setattr(self, name, getattr(origin, name))
        self._asked = asked

    def fields(self, terms: Terms, host: bytes | None, said: Said) -> list[bytes]:
        """Return our own headers."""
        return super().fields(terms, self._asked, said)


class Edited(Passage):
    """A Passage of a route with changes."""

    __slots__ = ()

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """Begin, with the path as it was rewritten."""
        scope = self.scope
        if scope["raw_path"] != self.asked[0]:
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
        super().forward(upstream, target, None)

    def _origin(self) -> Origin:
        asked = next((value for name, value in self.asked[2] if name == b"host"), None)
        return AskedOrigin(super()._origin(), asked)


def edited(base: type[Passage]) -> type[Passage]:
    """Return a passage of this kind that takes its route's changes along."""
    return Edited if base is Passage else type(f"Edited{base.__name__}", (Edited, base), {"__slots__": ()})
