"""
Keeps a client with the server that it has had first, by a cookie.

Pure. The cookie names the server by a keyed hash of its address: it says the
same to every worker and after every restart, and to a client nothing.
"""

from collections.abc import Collection
from hashlib import blake2b

from penstock.worker.asgi.types import Scope
from penstock.worker.gateway.balancing import Asking, Chooser
from penstock.worker.gateway.lineup import Lineup
from penstock.worker.gateway.request_key import cookie
from penstock.worker.gateway.spec import StickySpec

TOKEN_BYTES = 12

Headers = list[tuple[bytes, bytes]]


class Stickiness:
    """The cookies of one upstream. `lined_up` tells it who is there."""

    def __init__(self, spec: StickySpec, upstream: str) -> None:
        self._token_in = cookie(spec.cookie, rb"[0-9a-f]{%d}" % (2 * TOKEN_BYTES))
        # A key of its own for each upstream: a cookie of another one is no name of a server here.
        self._key = blake2b((spec.secret or "penstock").encode() + b"\0" + upstream.encode()).digest()
        self._before = spec.cookie.encode() + b"="
        self._after = _attributes(spec)
        self._tokens: dict[str, bytes] = {}

    def chooser(self, lineup: Lineup, otherwise: Chooser) -> Chooser:
        """Make a function that chooses the client's server, if it has one that may go on with it."""
        self._tokens = {address: self._token(address) for address in lineup.addresses}
        indexes = {
            self._tokens[address]: index
            for index, address in enumerate(lineup.addresses)
            if lineup.stays[index]
        }
        token_in = self._token_in

        def choose(tried: Collection[int], asking: Asking) -> int:
            token = token_in(asking.scope)
            if token is not None:
                index = indexes.get(token)
                if index is not None and index not in tried:
                    return index
            # Its response may get a cookie, which is for nobody else.
            asking.is_plain = False
            return otherwise(tried, asking)

        return choose

    def mark(self, headers: Headers, scope: Scope, address: str) -> None:
        """Add the cookie to the response of a server, unless the client has it."""
        token = self._tokens.get(address)
        if token is not None and self._token_in(scope) != token:
            headers.append((b"set-cookie", self._before + token + self._after))

    def _token(self, address: str) -> bytes:
        return blake2b(address.encode(), key=self._key, digest_size=TOKEN_BYTES).hexdigest().encode()


def _attributes(spec: StickySpec) -> bytes:
    parts = [f"; Path={spec.path}"]
    if spec.ttl_s is not None:
        parts.append(f"; Max-Age={int(spec.ttl_s)}")
    if spec.is_secure:
        parts.append("; Secure")
    if spec.is_http_only:
        parts.append("; HttpOnly")
    parts.append(f"; SameSite={spec.same_site.capitalize()}")
    return "".join(parts).encode()
