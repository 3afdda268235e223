"""
The head of a request as it goes on to an upstream server.

Pure: what the client said goes in, bytes come out. What concerns the client's
hop only stays behind, and what its Connection header names goes first, so that
nobody can have one of our own headers taken off.
"""

from collections.abc import Collection, Iterable

from penstock.worker.gateway.origin import Origin, Said
from penstock.worker.gateway.terms import Terms
from penstock.worker.limits import RESPONSE_NAMES_MAX, VIA_TURNS_MAX

Headers = list[tuple[bytes, bytes]]

# What is done with a header of the request. TRUSTED: passed on if a trusted proxy sent it.
(
    PASSED,
    DROPPED,
    NOMINATING,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED,
    TRUSTED,
    VIA_SO_FAR,
    LENGTH,
    HOST,
    CODINGS_TAKEN,
    FORWARDS_LEFT,
) = range(12)

_FIELDS = {
    b"connection": NOMINATING,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"proxy-authenticate": DROPPED,
    b"proxy-authorization": DROPPED,
    b"te": CODINGS_TAKEN,
    b"trailer": DROPPED,
    b"transfer-encoding": DROPPED,
    b"upgrade": DROPPED,
    b"http2-settings": DROPPED,
    b"expect": DROPPED,  # The client is answered here, when its body is wanted.
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": DROPPED,
    b"x-forwarded-host": FORWARDED_HOST,
    b"forwarded": FORWARDED,
    b"x-real-ip": TRUSTED,
    b"x-client-ip": TRUSTED,
    b"x-cluster-client-ip": TRUSTED,
    b"true-client-ip": TRUSTED,
    b"via": VIA_SO_FAR,
    b"content-length": LENGTH,
    b"host": HOST,
    b"max-forwards": FORWARDS_LEFT,
}

# Methods that Max-Forwards is about (RFC 9110, section 7.6.2).
TERMINABLE = frozenset({"TRACE", "OPTIONS"})

# Names as they come, once judged.
_fates: dict[bytes, int] = dict(_FIELDS)


class Looping(Exception):
    """The request has come by here too often."""


def _fate(name: bytes) -> int:
    if b"_" in name:
        fate = DROPPED  # It becomes a dash in CGI and its heirs, and would pass for a header that is ours.
    elif name.startswith(b"x-forwarded-"):
        fate = _FIELDS.get(name, TRUSTED)
    else:
        fate = _FIELDS.get(name, PASSED)
    if len(_fates) < RESPONSE_NAMES_MAX:
        _fates[name] = fate
    return fate


def members(values: Iterable[bytes]) -> frozenset[bytes]:
    """Return the members of a list, in lower case."""
    parts = (part.strip(b" \t").lower() for value in values for part in value.split(b","))
    return frozenset(part for part in parts if part)


def offered(headers: Headers, taken: Collection[bytes]) -> list[bytes]:
    """Return the protocols of Upgrade that are among those, as the client has written them."""
    parts = [
        part.strip(b" \t") for name, value in headers if name == b"upgrade" for part in value.split(b",")
    ]
    return [part for part in parts if part.lower() in taken]


def forwards_left(headers: Headers) -> int | None:
    """Return what Max-Forwards says; None if it says nothing that can be understood."""
    for name, value in headers:
        if name == b"max-forwards":
            return int(value) if value.isdigit() and len(value) <= 9 else None
    return None


def compose(
    headers: Headers,
    origin: Origin,
    terms: Terms,
    *,
    method: str,
    version: str,
    authority: bytes,
    is_chunked: bool,
    offers: Collection[bytes] = (),
) -> tuple[bytes, bool]:
    """
    Return the head, from its version on, and whether it is the same whenever these headers come again.

    `version` is the one of the request as it came, `authority` stands in for a
    Host that an old client did not send, `offers` are protocols to switch to.
    Raises Looping.
    """
    parts = [b"HTTP/1.1\r\n"]
    host: bytes | None = None
    said = Said()
    via: list[bytes] = []
    nominating: list[bytes] = []
    codings: list[bytes] = []
    forwards: bytes | None = None
    is_trusted = origin.is_trusted
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
        elif fate == TRUSTED:
            if is_trusted:
                parts += (name, b": ", value, b"\r\n")
        elif fate == FORWARDED_FOR:
            said.forwarded_for.append(value)
        elif fate == FORWARDED_HOST:
            said.forwarded_host.append(value)
        elif fate == FORWARDED:
            said.forwarded.append(value)
        elif fate == VIA_SO_FAR:
            via.append(value)
        elif fate == CODINGS_TAKEN:
            codings.append(value)
        elif fate == FORWARDS_LEFT:
            forwards = value
            parts += (name, b": ", _one_less(value) if method in TERMINABLE else value, b"\r\n")
    if nominating:
        names = members(nominating) - {b"content-length"}
        if names:
            passed = [at for at in range(1, len(parts), 4) if parts[at] in names]
            for at in reversed(passed):
                del parts[at : at + 4]
            if b"via" in names:
                via = []
            if b"x-forwarded-for" in names:
                said.forwarded_for = []
            if b"x-forwarded-host" in names:
                said.forwarded_host = []
            if b"forwarded" in names:
                said.forwarded = []
    parts += (b"host: ", terms.host or host or authority, b"\r\n")
    parts += origin.fields(terms, host, said)
    if via:
        _judge_turns(via, terms)
    hop = terms.via(version)
    if hop:
        via.append(hop)
    if via:
        parts += (b"via: ", b", ".join(via), b"\r\n")
    options: list[bytes] = []
    if codings and version == "1.1" and _takes_trailers(codings):
        parts.append(b"te: trailers\r\n")
        options.append(b"te")
    if offers:
        parts += (b"upgrade: ", b", ".join(offers), b"\r\n")
        options.append(b"upgrade")
    if options:
        parts += (b"connection: ", b", ".join(options), b"\r\n")
    if is_chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
    parts.append(b"\r\n")
    return b"".join(parts), host is not None and forwards is None


def takes_trailers(headers: Headers) -> bool:
    """Tell whether a client has asked for trailers."""
    return _takes_trailers(value for name, value in headers if name == b"te")


def _takes_trailers(values: Iterable[bytes]) -> bool:
    return any(member.partition(b";")[0].rstrip(b" \t") == b"trailers" for member in members(values))


def _one_less(value: bytes) -> bytes:
    # At 0 it does not get here; and of what is no number nobody can say what is one less.
    return b"%d" % (int(value) - 1) if value.isdigit() and len(value) <= 9 else value


def _judge_turns(via: list[bytes], terms: Terms) -> None:
    if terms.name is None:
        return
    name = terms.name.lower()
    hops = (part.split()[1:2] for value in via for part in value.lower().split(b","))
    if sum(hop == [name] for hop in hops) >= VIA_TURNS_MAX:
        raise Looping
