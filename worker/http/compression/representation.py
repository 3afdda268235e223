"""
What the headers of a response say about coding it, and what they say once it is coded.

Pure: headers go in, headers come out.
"""

from collections.abc import Iterable
from typing import NamedTuple

from penstock.worker.limits import RESPONSE_NAMES_MAX

Headers = list[tuple[bytes, bytes]]

# What a header means here. The presence of a FIXED one says that the bytes are to stay as they are:
# they are coded already, are a part of a whole that somebody else puts together, or something was
# reckoned from them.
OTHER, TYPE, LENGTH, CACHE_CONTROL, VARY, FIXED = range(6)
_ROLES = {
    b"content-type": TYPE,
    b"content-length": LENGTH,
    b"cache-control": CACHE_CONTROL,
    b"vary": VARY,
    b"content-encoding": FIXED,
    b"content-range": FIXED,
    b"content-digest": FIXED,
    b"content-md5": FIXED,
    b"digest": FIXED,
}
# Names as apps write them.
_roles: dict[bytes, int] = dict(_ROLES)

# Those that have no body, or a part of one.
_UNFIT = frozenset((204, 205, 206, 304))

ACCEPT_ENCODING = b"Accept-Encoding"
_CHANGED = (b"content-length", b"accept-ranges")
_VARIES = (b"vary", ACCEPT_ENCODING)


class Traits(NamedTuple):
    """What matters of a response's headers."""

    content_type: bytes
    declared: bytes | None  # its Content-Length
    has_vary: bool = False


def judge(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Traits | None:
    """Look at a response; None: it is to be left alone, whatever its type is."""
    if status in _UNFIT:
        return None
    content_type = declared = None
    has_vary = False
    for name, value in headers:
        role = _roles[name] if name in _roles else _role(name)
        if not role:
            continue
        if role == TYPE:
            content_type = value
        elif role == LENGTH:
            declared = value
        elif role == VARY:
            has_vary = True
        elif role == FIXED or b"no-transform" in value.lower():
            return None
    return None if content_type is None else Traits(content_type, declared, has_vary)


def _role(name: bytes) -> int:
    role = _ROLES.get(name.lower(), OTHER)
    if len(_roles) < RESPONSE_NAMES_MAX:
        _roles[name] = role
    return role


def coded(headers: Iterable[tuple[bytes, bytes]], coding: bytes) -> Headers:
    """
    Give the headers of the coded response.

    Its length is another one, ranges of it cannot be asked for, and it equals what the
    ETag names in meaning only. They were `varied` before.
    """
    kept: Headers = []
    for name, value in headers:
        folded = name.lower()
        if folded == b"etag":
            kept.append((name, weakened(value)))
        elif folded not in _CHANGED:
            kept.append((name, value))
    kept.append((b"content-encoding", coding))
    return kept


def varied(headers: Iterable[tuple[bytes, bytes]], *, has_vary: bool = True) -> Headers:
    """Give the headers with Accept-Encoding in Vary, once: caches keep a response for each."""
    kept = list(headers)
    if not has_vary:
        kept.append(_VARIES)
        return kept
    last = None
    for index, (name, value) in enumerate(kept):
        if name.lower() == b"vary":
            names = [each.strip(b" \t").lower() for each in value.split(b",")]
            if b"*" in names or b"accept-encoding" in names:
                return kept
            last = index
    if last is None:
        kept.append((b"vary", ACCEPT_ENCODING))
    else:
        name, value = kept[last]
        joined = value.rstrip(b" \t,")
        kept[last] = (name, joined + b", " + ACCEPT_ENCODING if joined else ACCEPT_ENCODING)
    return kept


def weakened(tag: bytes) -> bytes:
    """Make an entity tag weak, if it is a strong one (RFC 9110, section 8.8.3)."""
    return b"W/" + tag if tag.startswith(b'"') else tag


def revalidated(
    headers: Iterable[tuple[bytes, bytes]], request_headers: Iterable[tuple[bytes, bytes]]
) -> Headers:
    """
    Give the headers of a 304 with the ETag that its client has.

    The app knows nothing of the weak tag that went out with a coded 200, and a cache
    finds what it has stored by the tag (RFC 9111, section 4.3.4).
    """
    had: set[bytes] = set()
    for name, value in request_headers:
        if name == b"if-none-match":
            had.update(each.strip(b" \t") for each in value.split(b","))
    return [
        (name, weakened(value) if name.lower() == b"etag" and _is_had_weak(value, had) else value)
        for name, value in headers
    ]


def _is_had_weak(tag: bytes, had: set[bytes]) -> bool:
    return tag not in had and weakened(tag) in had
