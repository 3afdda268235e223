"""
The Range header: which bytes of a file a client wants (RFC 9110, section 14).

Pure. What is not understood, or is more than anybody needs, is ignored, as it may
be: the client then gets the whole.
"""

import re
from collections.abc import Sequence

from penstock.worker.limits import CONTENT_LENGTH_DIGITS_MAX, FILE_HEADER_BYTES_MAX, RANGES_MAX

# First and last byte, both in.
Span = tuple[int, int]

_RANGE = re.compile(rb"(\d*)-(\d*)")


def spans_of(value: bytes, size: int) -> list[Span] | None:
    """
    Return the spans of a file of this size that a Range header asks for.

    None: take no notice of it. Empty: there is nothing of what it asks for. Spans
    that overlap or touch become one; else they are in the order asked for.
    """
    unit, equals, rest = value.partition(b"=")
    if not equals or unit.strip(b" \t").lower() != b"bytes" or len(value) > FILE_HEADER_BYTES_MAX:
        return None
    wanted = [each.strip(b" \t") for each in rest.split(b",")]
    wanted = [each for each in wanted if each]
    if not wanted or len(wanted) > RANGES_MAX:
        return None
    spans: list[Span] = []
    for each in wanted:
        match = _RANGE.fullmatch(each)
        if match is None or max(map(len, match.groups())) > CONTENT_LENGTH_DIGITS_MAX:
            return None
        first, last = match.groups()
        if not first:
            if not last:
                return None
            start, end = max(0, size - int(last)), size - 1
        else:
            start, end = int(first), min(int(last), size - 1) if last else size - 1
            if last and int(last) < start:
                return None
        if start <= end:
            spans.append((start, end))
    return _coalesced(spans)


def _coalesced(spans: Sequence[Span]) -> list[Span]:
    """Make one of those that overlap or touch, if there are any; else leave their order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return list(spans) if len(merged) == len(spans) else merged
