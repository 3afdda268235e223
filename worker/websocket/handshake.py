"""
The two heads of a WebSocket handshake (RFC 6455, section 4.2): the client's is judged, ours is written.

Pure. What extensions there are is negotiated in `session`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from penstock.worker.http.fields import CONNECTION, CONTENT_LENGTH, DROPPED, judge_name, judge_value, meanings
from penstock.worker.http.responses import WITHOUT_DATE, WITHOUT_SERVER, HeadStarts

Field = tuple[bytes, bytes]

VERSION: Final = b"13"
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# Of the response these are ours, whatever the app sends.
_OURS: Final = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-version"))
_SUBPROTOCOL: Final = b"sec-websocket-protocol"
_OMITTED: Final = {b"server": WITHOUT_SERVER, b"date": WITHOUT_DATE}


class HandshakeError(Exception):
    """The client's handshake is none. Carries what to answer."""

    def __init__(self, reason: str, status: int = 400, headers: tuple[Field, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = headers


class Handshake(NamedTuple):
    """What a client asks for."""

    accept: bytes  # what proves that we have understood its key
    subprotocols: tuple[str, ...]
    extensions: tuple[str, ...]  # the values of its headers


def judge_handshake(headers: Iterable[Field], *, has_body: bool) -> Handshake:
    """
    Read a handshake. Raises HandshakeError.

    That it is a GET of HTTP/1.1 with the right Upgrade and Connection is known.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name.startswith(b"sec-websocket-"):
            found.setdefault(name, []).append(value)
    if has_body:
        raise HandshakeError("a WebSocket handshake has no body")
    if found.get(b"sec-websocket-version") != [VERSION]:
        told = ((b"sec-websocket-version", VERSION), (b"upgrade", b"websocket"))
        raise HandshakeError("the version of WebSocket that is spoken here is 13", 426, told)
    keys = found.get(b"sec-websocket-key", [])
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HandshakeError("invalid Sec-WebSocket-Key" if keys else "no Sec-WebSocket-Key")
    return Handshake(
        accept_of(keys[0]),
        tuple(_subprotocols(found.get(_SUBPROTOCOL, []))),
        tuple(value.decode("latin-1") for value in found.get(b"sec-websocket-extensions", [])),
    )


def accept_of(key: bytes) -> bytes:
    """Return what a server answers to a key."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


def accepting_head(
    accept: bytes,
    subprotocol: str | None,
    extensions: str | None,
    headers: Iterable[Field],
    starts: HeadStarts | None = None,
) -> bytes:
    """
    Compose our side of the handshake. Raises ValueError for what an app must not put into it.

    Of `starts` it has the headers that every response has, but those that the app gives itself.

    Framing, and what belongs to the handshake itself, is left out of the app's headers.
    """
    parts = [
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ",
        accept,
        b"\r\n",
    ]
    omitted = 0
    named: list[bytes] = []
    if subprotocol is not None:
        name = subprotocol.encode("latin-1", "replace")
        if _TOKEN.fullmatch(name) is None:
            raise ValueError(f"invalid subprotocol: {subprotocol!r}")
        parts += (_SUBPROTOCOL, b": ", name, b"\r\n")
    if extensions:
        parts += (b"sec-websocket-extensions: ", extensions.encode("ascii"), b"\r\n")
    for name, value in headers:
        meaning = meanings.get(name)
        if meaning is None:
            meaning = judge_name(name)
        judge_value(value)
        lower = name.lower()
        if meaning in (CONTENT_LENGTH, CONNECTION, DROPPED) or lower in _OURS:
            continue
        if lower == _SUBPROTOCOL and subprotocol is not None:
            continue
        omitted |= _OMITTED.get(lower, 0)
        named.append(lower)
        parts += (name, b": ", value, b"\r\n")
    if starts is not None:
        parts.insert(1, starts.defaults(omitted, named))
    parts.append(b"\r\n")
    return b"".join(parts)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _subprotocols(values: list[bytes]) -> Iterable[str]:
    for value in values:
        for word in value.split(b","):
            token = word.strip(b" \t")
            if _TOKEN.fullmatch(token) is None:
                raise HandshakeError("invalid Sec-WebSocket-Protocol")
            yield token.decode()
