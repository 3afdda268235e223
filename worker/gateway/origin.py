"""
Who asks, as upstream servers are told: X-Forwarded-For and its kin, or Forwarded (RFC 7239).

Pure. What the client says under these names is dropped; what a trusted proxy
says is passed on, with that proxy added at the right.
"""

import re

from penstock.worker.gateway.terms import Terms

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

Values = list[bytes]


class Said:
    """What a request says of those who asked before: only that of a trusted proxy is looked at."""

    __slots__ = ("forwarded", "forwarded_for", "forwarded_host")

    def __init__(self) -> None:
        self.forwarded: Values = []
        self.forwarded_for: Values = []
        self.forwarded_host: Values = []


class Origin:
    """
    The origin of one request.

    `peer` is who is connected to us (None: by a UNIX socket), `client` who is
    behind, if the peer is a proxy that we trust; `family` is what that one speaks
    in then, and None else.
    """

    __slots__ = ("_client", "_family", "_own_scheme", "_peer", "_scheme", "is_trusted")

    def __init__(
        self,
        peer: str | None,
        client: str | None = None,
        *,
        scheme: str,
        own_scheme: str | None = None,
        family: str | None = None,
    ) -> None:
        self._peer = peer
        self._client = client if client is not None else peer
        self._scheme = scheme.encode()
        self._own_scheme = self._scheme if own_scheme is None else own_scheme.encode()
        self._family = family
        self.is_trusted = family is not None

    def fields(self, terms: Terms, host: bytes | None, said: Said) -> list[bytes]:
        """Return the lines that tell of it. `host` is the Host as it came."""
        parts: list[bytes] = []
        if terms.has_x_forwarded:
            chain = self._addresses(said)
            if chain:
                parts += (b"x-forwarded-for: ", b", ".join(chain), b"\r\n")
            parts += (b"x-forwarded-proto: ", self._scheme, b"\r\n")
            if self.is_trusted and said.forwarded_host:
                host_said: bytes | None = b", ".join(said.forwarded_host)
            else:
                host_said = host
            if host_said is not None:
                parts += (b"x-forwarded-host: ", host_said, b"\r\n")
        if terms.has_forwarded:
            parts += (b"forwarded: ", b", ".join(self._elements(said, host)), b"\r\n")
        return parts

    def _addresses(self, said: Said) -> Values:
        chain: Values = []
        if self._family == "x-forwarded":
            chain += [value for value in said.forwarded_for if value]
        elif self._family is not None and self._client != self._peer and self._client is not None:
            chain.append(self._client.encode())
        if self._peer is not None:
            chain.append(self._peer.encode())
        return chain

    def _elements(self, said: Said, host: bytes | None) -> Values:
        elements: Values = []
        if self._family == "forwarded":
            elements += [value for value in said.forwarded if value]
        elif self._family is not None and self._client != self._peer:
            elements.append(b"for=%b;proto=%b" % (_node(self._client), self._scheme))
        element = b"for=" + _node(self._peer)
        if host:
            element += b";host=" + _quoted(host)
        elements.append(element + b";proto=" + self._own_scheme)
        return elements


def _node(address: str | None) -> bytes:
    """Write an address as RFC 7239 (section 6) has it."""
    if address is None:
        return b"unknown"
    return b'"[%b]"' % address.encode() if ":" in address else address.encode()


def _quoted(text: bytes) -> bytes:
    return text if _TOKEN.fullmatch(text) else b'"%b"' % text
