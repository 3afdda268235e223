"""
The head of a request as it goes on to an upstream server.

Pure: what the client said goes in, bytes come out. What concerns the client's
hop only stays behind, and what its Connection header names goes first, so that
nobody can have one of our own headers taken off.
"""

from collections.abc import Iterable

from penstock.worker.limits import RESPONSE_NAMES_MAX

VIA = b"1.1 penstock"

# What is done with a header of the request.
PASSED, DROPPED, NOMINATING, FORWARDED_FOR, VIA_SO_FAR, LENGTH, HOST = range(7)

_FIELDS = {
    b"connection": NOMINATING,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"proxy-authenticate": DROPPED,
    b"proxy-authorization": DROPPED,
    b"te": DROPPED,
    b"trailer": DROPPED,
    b"transfer-encoding": DROPPED,
    b"upgrade": DROPPED,
    b"http2-settings": DROPPED,
    b"expect": DROPPED,  # The client is answered here, when its body is wanted.
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": DROPPED,
    b"x-forwarded-host": DROPPED,
    b"forwarded": DROPPED,
    b"via": VIA_SO_FAR,
    b"content-length": LENGTH,
    b"host": HOST,
}

# Names as they come, once judged.
_fates: dict[bytes, int] = dict(_FIELDS)


def _fate(name: bytes) -> int:
    # An underscore becomes a dash in CGI and its heirs, and would pass for a header that is ours.
    fate = DROPPED if b"_" in name else _FIELDS.get(name, PASSED)
    if len(_fates) < RESPONSE_NAMES_MAX:
        _fates[name] = fate
    return fate


def nominated(values: Iterable[bytes]) -> frozenset[bytes]:
    """Return the names of the headers that a Connection header makes hop-by-hop."""
    return frozenset(part.strip(b" \t").lower() for value in values for part in value.split(b","))


class Origin:
    """
    Who asks, as upstream servers are told: the same for all requests of a connection.

    `trusts` says that the peer is a proxy of ours, and what it tells of its own
    client is passed on.
    """

    __slots__ = ("_host", "_proto", "address", "trusts")

    def __init__(self, address: str | None, scheme: str, *, trusts: bool = False) -> None:
        self.address = (address or "unknown").encode()
        self.trusts = trusts
        self._proto = b"x-forwarded-proto: " + scheme.encode() + b"\r\n"

    def fields(self, host: bytes | None, forwarded_for: list[bytes], via: list[bytes]) -> bytes:
        """Return our own headers."""
        before = b"".join(value + b", " for value in forwarded_for) if self.trusts else b""
        parts = [b"x-forwarded-for: ", before, self.address, b"\r\n", self._proto]
        if host is not None:
            parts += (b"x-forwarded-host: ", host, b"\r\n")
        parts += (b"via: ", *(value + b", " for value in via), VIA, b"\r\n")
        return b"".join(parts)


def compose(
    headers: list[tuple[bytes, bytes]],
    origin: Origin,
    *,
    authority: bytes,
    is_chunked: bool,
) -> bytes:
    """
    Return the head, from its version on. `authority` stands in for a Host that an old client did not send.
    """
    parts = [b"HTTP/1.1\r\n"]
    host: bytes | None = None
    forwarded_for: list[bytes] = []
    via: list[bytes] = []
    nominating: list[bytes] = []
    fates = _fates
    for name, value in headers:
        try:
            fate = fates[name]
        except KeyError:
            fate = _fate(name)
        if fate == PASSED:
            parts += (name, b": ", value, b"\r\n")
        elif fate == HOST:
            host = value
        elif fate == NOMINATING:
            nominating.append(value)
        elif fate == LENGTH:
            if not is_chunked:
                parts += (name, b": ", value, b"\r\n")
        elif fate == FORWARDED_FOR:
            forwarded_for.append(value)
        elif fate == VIA_SO_FAR:
            via.append(value)
    if nominating:
        names = nominated(nominating) - {b"close", b"keep-alive", b"content-length", b""}
        if names:
            passed = [at for at in range(1, len(parts), 4) if parts[at] in names]
            for at in reversed(passed):
                del parts[at : at + 4]
            forwarded_for = [] if b"x-forwarded-for" in names else forwarded_for
            via = [] if b"via" in names else via
    parts += (b"host: ", authority if host is None else host, b"\r\n")
    parts.append(origin.fields(host, forwarded_for, via))
    if is_chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)
