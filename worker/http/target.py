"""
Takes a request target apart: origin form, absolute form, and the asterisk.
"""

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from penstock.worker.http.head import RequestError

# Decoded path, the path as it was sent, the query.
Target = tuple[str, bytes, bytes]

_ABSOLUTE = re.compile(rb"https?://([^/?@]*)([/?].*)?", re.IGNORECASE)


def split_target(target: bytes, method: str, host: bytes | None) -> Target:
    """
    Return decoded path, raw path and query of a target, or raise RequestError.

    In absolute form its authority must be the one that Host names: two answers
    to "which site" is how caches are poisoned.
    """
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise RequestError(HTTPStatus.BAD_REQUEST, "non-ASCII target") from None
    if "#" in text:
        raise RequestError(HTTPStatus.BAD_REQUEST, "fragment in target")
    if text[0] == "/":
        if "?" not in text and "%" not in text:
            return text, target, b""
    elif text == "*":
        if method != "OPTIONS":
            raise RequestError(HTTPStatus.BAD_REQUEST, "target * is for OPTIONS")
        return text, target, b""
    else:
        target = _origin_form(target, method, host)
    raw_path, _, query = target.partition(b"?")
    if b"%" in raw_path:
        # As urllib does: bytes that are no UTF-8 become U+FFFD; raw_path has them.
        return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query
    return raw_path.decode("ascii"), raw_path, query


def _origin_form(target: bytes, method: str, host: bytes | None) -> bytes:
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid target")
    authority, rest = match.groups()
    if not authority or (host is not None and host.strip(b" \t").lower() != authority.lower()):
        raise RequestError(HTTPStatus.BAD_REQUEST, "target and Host disagree")
    if rest is None:
        return b"*" if method == "OPTIONS" else b"/"
    return rest if rest[:1] == b"/" else b"/" + rest
