"""
For whom a request is made, read out of what proxies say: X-Forwarded-For and -Proto, or Forwarded (RFC 7239).

Every proxy adds at the right whom it was asked by, so it is read from the right:
as long as an address is one of a trusted proxy, what that one said before counts,
and the first that is not is the client. Left of it stands what anybody may have
written. Nobody is behind what is no address.

Pure: text in, names out. What cannot be understood is nothing that was said.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from penstock.worker.limits import FORWARDED_CHARS_MAX, FORWARDED_HOPS_MAX

Name = tuple[str, int]


class Hop(NamedTuple):
    """One who asked: the address as text, the port or 0, and the address as bytes."""

    host: str
    port: int
    packed: bytes


class Element(NamedTuple):
    """What one proxy said in a Forwarded header."""

    hop: Hop | None
    scheme: str | None
    host: str | None = None
    by: str | None = None


# What comes of it: the client and the scheme. None: not said, so it is as if there were no proxy.
Seen = tuple[Name | None, str | None]
NOTHING: Seen = (None, None)

# Those of WebSocket are said of its handshake.
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# As nearly all are written, and None for nothing.
_USUAL = {b"http": "http", b"https": "https", None: None}

_MAPPED = b"\0" * 10 + b"\xff\xff"
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Values without quotes are taken as they come: many write a port or an IPv6 address so.
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=(?:([^",;\\\s]+)|"((?:[^"\\]|\\.)*)")[ \t]*(?:;|$)')
_ESCAPE = re.compile(r"\\(.)")


class Trust:
    """Whom a listener believes."""

    __slots__ = ("_networks", "_singles", "is_everyone", "is_unix")

    def __init__(self, trusted: Iterable[str]) -> None:
        """Take addresses, networks, "unix:" and "*"."""
        listed = set(trusted)
        self.is_everyone = "*" in listed
        self.is_unix = self.is_everyone or "unix:" in listed
        networks = [ip_network(each) for each in listed - {"*", "unix:"}]
        whole = [each for each in networks if each.prefixlen == each.max_prefixlen]
        self._singles = frozenset(unmapped(each.network_address.packed) for each in whole)
        self._networks = tuple(
            (len(each.network_address.packed), int(each.netmask), int(each.network_address))
            for each in networks
            if each not in whole
        )

    def trusts(self, packed: bytes) -> bool:
        """Tell whether an address is one of a trusted proxy."""
        if packed in self._singles or self.is_everyone:
            return True
        if not self._networks:
            return False
        number, size = int.from_bytes(packed, "big"), len(packed)
        return any(size == length and number & mask == first for length, mask, first in self._networks)

    def trusts_peer(self, peer: Name | None) -> bool:
        """Tell whether the other end of a connection is trusted. One on a UNIX socket has no name."""
        if peer is None:
            return self.is_unix
        hop = hop_of(peer[0].partition("%")[0])  # without the zone of a link-local address
        return hop is not None and self.trusts(hop.packed)


def unmapped(packed: bytes) -> bytes:
    """Give the IPv4 address for one that is written as IPv6."""
    return packed[12:] if len(packed) == 16 and packed.startswith(_MAPPED) else packed


def hop_of(text: str) -> Hop | None:
    """Read an address, with or without a port. None for what is none, such as `unknown`."""
    text = text.strip(" \t")
    host, port, family = text, 0, AF_INET
    if ":" in text:
        digits = ""
        if text[0] == "[":
            family = AF_INET6
            host, bracket, rest = text[1:].partition("]")
            digits = rest[1:]
            if not bracket or rest[:1] not in {"", ":"}:
                return None
        elif text.count(":") == 1:
            host, _, digits = text.partition(":")
        else:
            family = AF_INET6
        if digits:
            if digits[0] == "_" and len(digits) > 1:
                digits = "0"  # a port that is kept secret
            if not (digits.isascii() and digits.isdigit()) or len(digits) > 5 or int(digits) > 65535:
                return None
            port = int(digits)
    try:
        return Hop(host, port, unmapped(inet_pton(family, host)))
    except (OSError, ValueError):
        return None


def read_x_forwarded(addresses: bytes | None, proto: bytes | None, trust: Trust) -> Seen:
    """Read X-Forwarded-For and X-Forwarded-Proto, of which lines have been joined."""
    client: Name | None = None
    depth = 1  # of the client, from the right
    count = 1
    if addresses is not None:
        text = addresses.decode("latin-1")
        if proto in _USUAL and ":" not in text and "," not in text:
            # What most proxies send: one IPv4 address. The rest would find the same.
            try:
                inet_pton(AF_INET, text)
            except (OSError, ValueError):
                pass
            else:
                return (text, 0), _USUAL[proto]
        if "," not in text:
            hop = hop_of(text)
            if hop is not None:
                client = hop[:2]
        else:
            # Empty ones are allowed in any list.
            texts = [each for each in text.rsplit(",", FORWARDED_HOPS_MAX) if not each.isspace() and each]
            count = len(texts)
            for at, each in enumerate(reversed(texts[-FORWARDED_HOPS_MAX:]), start=1):
                hop = hop_of(each)
                if hop is None:
                    break
                client, depth = hop[:2], at
                if not trust.trusts(hop.packed):
                    break
    return client, None if proto is None else _scheme(proto.decode("latin-1"), depth, count)


def _scheme(text: str, depth: int, count: int) -> str | None:
    """
    Choose the client's scheme. Proxies that write a list have one for each address;
    of any other list only the last was surely said by the proxy that we trust.
    """
    if "," in text:
        each = text.rsplit(",", FORWARDED_HOPS_MAX)
        text = each[-depth] if len(each) == count else each[-1]
    return SCHEMES.get(text) or SCHEMES.get(text.strip(" \t").lower())


def read_forwarded(value: bytes, trust: Trust) -> Seen:
    """Read a Forwarded header, of which lines have been joined."""
    client: Name | None = None
    scheme: str | None = None
    for element in elements(value):
        if element is None:
            break
        if element.hop is None:
            if client is None:
                scheme = element.scheme  # It is from the proxy that we trust, which tells of no address.
            break
        client, scheme = element.hop[:2], element.scheme
        if not trust.trusts(element.hop.packed):
            break
    return client, scheme


def elements(value: bytes) -> Iterator[Element | None]:
    """Give the elements of a Forwarded header, the last one first; None for one that is malformed."""
    text = value.decode("latin-1")
    is_cut = len(text) > FORWARDED_CHARS_MAX
    text = text[-FORWARDED_CHARS_MAX:]
    left = FORWARDED_HOPS_MAX
    for part, is_first in _parts_from_the_right(text):
        if (is_cut and is_first) or not left:
            return
        if part.strip(" \t"):
            left -= 1
            yield _element(part)


def _parts_from_the_right(text: str) -> Iterator[tuple[str, bool]]:
    """
    Split at commas outside of quotes, from the right.

    So what a client has put in front, an open quote for instance, cannot change
    how that is read which proxies have added behind it.
    """
    if '"' not in text:
        each = text.split(",")
        yield from ((each[at], at == 0) for at in range(len(each) - 1, -1, -1))
        return
    end = len(text)
    is_quoted = False
    for at in range(len(text) - 1, -1, -1):
        char = text[at]
        if char == '"':
            before = text[:at]
            if not is_quoted or (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                is_quoted = not is_quoted
        elif char == "," and not is_quoted:
            yield text[at + 1 : end], False
            end = at
    yield text[:end], True


def _element(text: str) -> Element | None:
    said: dict[str, str] = {}
    at = 0
    text = text.rstrip(" \t;")
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        name = pair[1].lower()
        if name in said:
            return None
        said[name] = pair[2] if pair[2] is not None else _ESCAPE.sub(r"\1", pair[3])
        at = pair.end()
    return Element(
        hop=hop_of(said["for"]) if "for" in said else None,
        scheme=SCHEMES.get(said.get("proto", "").lower()),
        host=said.get("host"),
        by=said.get("by"),
    )
