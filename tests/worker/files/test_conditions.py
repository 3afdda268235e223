"""Conditional requests: If-Match and its relatives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.files.conditions import Verdict, is_same, judge, seconds_of

ETAG = b'"a-1"'
NOW = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
SEND, SAME, FAILED = Verdict.SEND, Verdict.NOT_MODIFIED, Verdict.FAILED

CASES: list[tuple[dict[str, bytes], Verdict]] = [
    ({}, SEND),
    ({"if-none-match": ETAG}, SAME),
    ({"if-none-match": b'W/"a-1"'}, SAME),
    ({"if-none-match": b'"x", "a-1"'}, SAME),
    ({"if-none-match": b'"x","y"'}, SEND),
    ({"if-none-match": b"*"}, SAME),
    ({"if-none-match": b"a-1"}, SEND),
    ({"if-none-match": b'"x" "a-1"'}, SEND),
    ({"if-none-match": b""}, SEND),
    ({"if-match": ETAG}, SEND),
    ({"if-match": b"*"}, SEND),
    ({"if-match": b'"x", "a-1"'}, SEND),
    ({"if-match": b'"x"'}, FAILED),
    ({"if-match": b'W/"a-1"'}, FAILED),
    ({"if-modified-since": DATE}, SAME),
    ({"if-modified-since": LATER}, SAME),
    ({"if-modified-since": EARLIER}, SEND),
    ({"if-modified-since": b"yesterday"}, SEND),
    ({"if-modified-since": b"Sunday, 06-Nov-94 08:49:37 GMT"}, SAME),
    ({"if-modified-since": b"Sun Nov  6 08:49:37 1994"}, SAME),
    ({"if-unmodified-since": DATE}, SEND),
    ({"if-unmodified-since": EARLIER}, FAILED),
    ({"if-unmodified-since": b"?"}, SEND),
    # One that has a tag does not look at the date.
    ({"if-none-match": b'"x"', "if-modified-since": LATER}, SEND),
    ({"if-match": ETAG, "if-unmodified-since": EARLIER}, SEND),
    # What must match comes first.
    ({"if-match": b'"x"', "if-none-match": ETAG}, FAILED),
    ({"if-match": ETAG, "if-none-match": ETAG}, SAME),
    ({"if-unmodified-since": EARLIER, "if-modified-since": DATE}, FAILED),
]


@pytest.mark.parametrize(("headers", "verdict"), CASES, ids=[str(each[0]) for each in CASES])
def test_verdict(headers: dict[str, bytes], verdict: Verdict) -> None:
    """
    The order of RFC 9110, section 13.2.2.
    """
    assert judge({name.encode(): value for name, value in headers.items()}, ETAG, NOW) is verdict


@pytest.mark.parametrize(
    ("value", "now_s", "same"),
    [
        (ETAG, NOW, True),
        (b'W/"a-1"', NOW, False),
        (b'"x"', NOW, False),
        (DATE, NOW + 1, True),
        (DATE, NOW + 0.5, False),  # It may change again within this second.
        (LATER, NOW + 9, False),
        (EARLIER, NOW + 9, False),
        (b"", NOW + 9, False),
    ],
)
def test_if_range(value: bytes, now_s: float, same: bool) -> None:
    """
    Only the very same file may be continued.
    """
    assert is_same(value, ETAG, NOW, now_s) is same


@given(st.binary(max_size=80))
def test_any_value_has_a_verdict(value: bytes) -> None:
    """
    What clients write is judged, and never raises.
    """
    seconds_of(value)
    is_same(value, ETAG, NOW, NOW)
    for name in (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"):
        judge({name: value}, ETAG, NOW)
