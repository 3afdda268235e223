"""
Passages whose requests have headers of our own: an id, a trace.

Such a header is another one with each request, so what is remembered of a head
is all but that, and the header is put to its end. Nor can a client have it
taken off by naming it in Connection.
"""

from collections.abc import Iterable
from typing import ClassVar

from penstock.worker.gateway.link import Link
from penstock.worker.gateway.passage import Passage
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.route import Route

END_OF_FIELD = b"\r\n"


class OwnHeaders(Passage):
    """A passage whose request may have got headers here."""

    __slots__ = ()

    own_names: ClassVar[frozenset[bytes]] = frozenset()

    def _remembered(self, link: Link) -> bytes | None:
        composed = super()._remembered(link)
        return None if composed is None else composed + self._own()

    def _composed(self, link: Link) -> bytes:
        scope = self.scope
        headers = scope["headers"]
        scope["headers"] = [each for each in headers if each[0] not in self.own_names]
        try:
            composed = super()._composed(link)
        finally:
            scope["headers"] = headers
        return self._lasting(composed) + self._own()

    def _lasting(self, composed: bytes) -> bytes:
        return composed[: -len(END_OF_FIELD)]

    def _own(self) -> bytes:
        """Compose what is this request's own, and the end of its head."""
        names = self.own_names
        own = [b"%b: %b\r\n" % each for each in self.scope["headers"] if each[0] in names]
        return b"".join((*own, END_OF_FIELD))


def let_own_headers(routes: Iterable[Route], name: bytes) -> None:
    """Let requests that are passed on have a header of this name which is ours."""
    for route in routes:
        if issubclass(route.exchange, Passage):
            route.exchange = _with(name, route.exchange)
            if route.tunnel is not None:
                route.tunnel = _with(name, route.tunnel)


def _with(name: bytes, base: type[Exchange]) -> type[Exchange]:
    own_names = getattr(base, "own_names", frozenset()) | {name}
    bases = (base,) if issubclass(base, OwnHeaders) else (OwnHeaders, base)
    return type(f"OwnHeaders{base.__name__}", bases, {"__slots__": (), "own_names": own_names})
