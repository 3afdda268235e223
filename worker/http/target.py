"""
Takes a request target apart: origin form, absolute form, and the asterisk.
"""

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from penstock.worker.http.head import Headers, RequestError, is_host

# Decoded path, the path as it was sent, the query.
Target = tuple[str, bytes, bytes]

_ABSOLUTE = re.compile(rb"(https?)://([^/?@]*)([/?].*)?", re.IGNORECASE)


def split_target(target: bytes) -> Target:
    """Return decoded path, raw path and query of an origin form or "*", or raise RequestError."""
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise RequestError(HTTPStatus.BAD_REQUEST, "non-ASCII target") from None
    if "#" in text:
        raise RequestError(HTTPStatus.BAD_REQUEST, "fragment in target")
    if "?" not in text and "%" not in text:
        return text, target, b""
    raw_path, _, query = target.partition(b"?")
    if b"%" in raw_path:
        # As urllib does: bytes that are no UTF-8 become U+FFFD; raw_path has them.
        return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query
    return raw_path.decode("ascii"), raw_path, query


def reduce_target(
    target: bytes, method: str, host: bytes | None, headers: Headers, *, is_tls: bool
) -> tuple[bytes, bytes]:
    """
    Return origin form and host of a target that does not begin with a slash, or raise RequestError.

    In absolute form its authority must be the one that Host names: two answers
    to "which site" is how caches are poisoned. Where there is no Host, as HTTP/1.0
    may have it, the authority becomes one.
    """
    if target == b"*":
        if method != "OPTIONS":
            raise RequestError(HTTPStatus.BAD_REQUEST, "target * is for OPTIONS")
        return target, host or b""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid target")
    scheme, authority, rest = match.groups()
    if not authority or not is_host(authority):
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid target")
    if host is None:
        headers.insert(0, (b"host", authority))
    elif host.lower() != authority.lower():
        raise RequestError(HTTPStatus.BAD_REQUEST, "target and Host disagree")
    if len(scheme) == len(b"https") and not is_tls:
        # What is asked for over TLS is not to be had without (RFC 9110, section 7.4).
        raise RequestError(HTTPStatus.MISDIRECTED_REQUEST, "https without TLS")
    if rest is None:
        return b"*" if method == "OPTIONS" else b"/", authority
    return rest if rest[:1] == b"/" else b"/" + rest, authority
