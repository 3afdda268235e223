"""The Range header."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.files.ranges import Span, spans_of
from penstock.worker.limits import RANGES_MAX

RANGES: list[tuple[bytes, int, list[Span] | None]] = [
    (b"bytes=0-0", 10, [(0, 0)]),
    (b"bytes=0-9", 10, [(0, 9)]),
    (b"bytes=0-", 10, [(0, 9)]),
    (b"bytes=3-99", 10, [(3, 9)]),
    (b"bytes=-3", 10, [(7, 9)]),
    (b"bytes=-99", 10, [(0, 9)]),
    (b"BYTES=1-2", 10, [(1, 2)]),
    (b"bytes= 1-2 , 4-5", 10, [(1, 2), (4, 5)]),
    (b"bytes=1-2,,4-5,", 10, [(1, 2), (4, 5)]),
    # In the order asked for, unless some are one.
    (b"bytes=4-5,1-2", 10, [(4, 5), (1, 2)]),
    (b"bytes=0-3,2-5", 10, [(0, 5)]),
    (b"bytes=0-3,4-5", 10, [(0, 5)]),
    (b"bytes=8-9,0-3,2-5", 10, [(0, 5), (8, 9)]),
    (b"bytes=0-0,20-", 10, [(0, 0)]),
    # There is nothing of it.
    (b"bytes=10-", 10, []),
    (b"bytes=10-20,99-", 10, []),
    (b"bytes=-0", 10, []),
    (b"bytes=0-", 0, []),
    (b"bytes=-5", 0, []),
    # No range, so the whole.
    (b"bytes=", 10, None),
    (b"bytes", 10, None),
    (b"bytes=-", 10, None),
    (b"bytes=5-3", 10, None),
    (b"bytes=a-b", 10, None),
    (b"bytes=1-2,x", 10, None),
    (b"bytes=1 -2", 10, None),
    (b"bytes=+1-2", 10, None),
    (b"bytes=--1", 10, None),
    (b"bytes=0x1-2", 10, None),
    (b"lines=1-2", 10, None),
    (b"bytes=" + b"9" * 30 + b"-", 10, None),
    (b"bytes=" + b",".join(b"%d-%d" % (each * 4, each * 4) for each in range(RANGES_MAX + 1)), 1000, None),
    (b"bytes=" + b"," * 5000 + b"1-2", 10, None),
]


@pytest.mark.parametrize(("value", "size", "spans"), RANGES, ids=[str(each[0])[2:40] for each in RANGES])
def test_spans_of_a_header(value: bytes, size: int, spans: list[Span] | None) -> None:
    """
    What is asked for and is there; None where there is no notice to be taken.
    """
    assert spans_of(value, size) == spans


@given(st.binary(max_size=60), st.integers(0, 1000))
def test_any_header_gives_spans_of_the_file(value: bytes, size: int) -> None:
    """
    Within the file, apart from each other, and never an exception.
    """
    for whole in (value, b"bytes=" + value):
        spans = spans_of(whole, size)
        if spans:
            assert all(0 <= first <= last < size for first, last in spans)
            ordered = sorted(spans)
            assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(ordered))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8))
def test_spans_have_every_byte_asked_for(wanted: list[tuple[int, int]]) -> None:
    """
    Nothing is lost when spans become one.
    """
    pairs = [(min(pair), max(pair)) for pair in wanted]
    spans = spans_of(b"bytes=" + b",".join(b"%d-%d" % pair for pair in pairs), 40)
    asked = {at for first, last in pairs for at in range(first, last + 1) if at < 40}
    assert spans is not None
    assert {at for first, last in spans for at in range(first, last + 1)} == asked
