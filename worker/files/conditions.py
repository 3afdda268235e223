"""
Conditional requests: whether a client wants the file that there is (RFC 9110, section 13).

Pure: headers and what is known of the file go in, a verdict comes out.
"""

import calendar
import re
from collections.abc import Mapping
from email.utils import parsedate
from enum import Enum, auto

from penstock.worker.limits import FILE_HEADER_BYTES_MAX

_TAG = re.compile(rb'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
# A file may change again within the second that its date tells (RFC 9110, section 8.8.2.2).
_STRONG_AFTER_S = 1


class Verdict(Enum):
    """What to do with a request."""

    SEND = auto()
    NOT_MODIFIED = auto()  # 304
    FAILED = auto()  # 412


def judge(headers: Mapping[bytes, bytes], etag: bytes, modified_s: int) -> Verdict:
    """Weigh the conditions of a GET or HEAD for a file that is there, in the order of section 13.2.2."""
    if b"if-match" in headers:
        if not _names(headers[b"if-match"], etag, is_strong=True):
            return Verdict.FAILED
    elif b"if-unmodified-since" in headers:
        since_s = seconds_of(headers[b"if-unmodified-since"])
        if since_s is not None and modified_s > since_s:
            return Verdict.FAILED
    if b"if-none-match" in headers:
        if _names(headers[b"if-none-match"], etag, is_strong=False):
            return Verdict.NOT_MODIFIED
    elif b"if-modified-since" in headers:
        since_s = seconds_of(headers[b"if-modified-since"])
        if since_s is not None and modified_s <= since_s:
            return Verdict.NOT_MODIFIED
    return Verdict.SEND


def is_same(if_range: bytes, etag: bytes, modified_s: int, now_s: float) -> bool:
    """Tell whether an If-Range means this very file, so that a range of it is of use."""
    value = if_range.strip(b" \t")
    if value[:1] == b'"' or value[:2] == b"W/":
        return value == etag
    return seconds_of(value) == modified_s and now_s >= modified_s + _STRONG_AFTER_S


def seconds_of(date: bytes) -> int | None:
    """Read an HTTP date, of any of the three kinds; None if it is none."""
    if len(date) > 64:
        return None
    try:
        parsed = parsedate(date.decode("ascii"))
        return None if parsed is None else calendar.timegm(parsed)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _names(value: bytes, etag: bytes, *, is_strong: bool) -> bool:
    """Tell whether a list of entity tags has this one, which is strong. A malformed list has none."""
    if value.strip(b" \t") == b"*":
        return True
    if len(value) > FILE_HEADER_BYTES_MAX:
        return False
    at, found = 0, False
    while at < len(value):
        match = _TAG.match(value, at)
        if match is None:
            return False
        if match[2] == etag and not (is_strong and match[1]):
            found = True
        at = match.end()
    return found
