"""
The proxies of one listener: whether they are believed, and what they say of a request.

A request without their headers never gets here.
"""

from penstock.worker.asgi.types import Scope
from penstock.worker.http.blocks import Said
from penstock.worker.http.forwarded import NOTHING, Name, Seen, Trust, read_forwarded, read_x_forwarded
from penstock.worker.logs import LOG
from penstock.worker.spec import ProxiesSpec

# By family, the headers that are read: whom a request is for, and by which scheme.
X_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto")
FORWARDED = (b"forwarded", b"")
FAMILIES = {"x-forwarded": X_FORWARDED, "forwarded": FORWARDED}


class Proxies:
    """Whom a listener trusts, and how it reads what they say."""

    __slots__ = ("_listener", "_read", "_trust", "family", "has_told")

    def __init__(self, spec: ProxiesSpec, listener: str) -> None:
        self._trust = Trust(spec.trusted)
        self.family = spec.family
        self._listener = listener
        self._read = read_x_forwarded if spec.family == "x-forwarded" else _read_forwarded
        self.has_told = False

    def trusts(self, peer: Name | None) -> bool:
        """Tell whether the other end of a connection is a trusted proxy. Ask once for each connection."""
        return self._trust.trusts_peer(peer)

    def tell(self, said: Said, scope: Scope) -> None:
        """Put the client and the scheme that a trusted proxy tells of into a scope."""
        client, scheme = self._read(said[0], said[1], self._trust)
        if client is not None:
            scope["client"] = client
        if scheme is not None:
            scope["scheme"] = scheme

    def ignored(self, peer: Name | None) -> None:
        """Take note of one that said so and is not trusted: told of once in a worker's life."""
        if self.has_told:
            return
        self.has_told = True
        who = "a UNIX socket" if peer is None else peer[0]
        LOG.warning(
            "%s: ignored the forwarded headers of %s, which is no trusted proxy;"
            " if it is one, name it in --forwarded-allow-ips or trusted_proxies (told once)",
            self._listener,
            who,
        )


def _read_forwarded(value: bytes | None, _: bytes | None, trust: Trust) -> Seen:
    return NOTHING if value is None else read_forwarded(value, trust)
