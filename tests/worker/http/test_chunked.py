"""The chunked coding, alone: what comes out, where it ends, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.chunked import ChunkedDecoder
from penstock.worker.http.head import RequestError


def decode(data: bytes, sizes: list[int]) -> tuple[bytes, bytes, bool]:
    """Feed data in pieces; return the body, what is left, and whether it is done."""
    decoder = ChunkedDecoder(100)
    body = b""
    at = 0
    for size in [*sizes, len(data)]:
        if decoder.is_done or at >= len(data):
            break
        body += decoder.feed(data[at : at + size])
        at += size
    return body, decoder.surplus + data[at:], decoder.is_done


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=6),
    st.binary(max_size=30),
    st.lists(st.integers(1, 50), max_size=80),
)
def test_any_body_in_any_pieces(chunks: list[bytes], surplus: bytes, sizes: list[int]) -> None:
    """
    The body comes out whole, and what belongs to the next request is left.
    """
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + surplus
    assert decode(data, sizes) == (b"".join(chunks), surplus, True)


@given(st.binary(max_size=60), st.lists(st.integers(1, 10), max_size=20))
def test_garbage_is_refused_or_waited_for_alike(data: bytes, sizes: list[int]) -> None:
    """
    Whether bytes are accepted does not depend on how they come.
    """

    def outcome(sizes: list[int]) -> object:
        try:
            return decode(data, sizes)
        except RequestError as error:
            return error.status

    assert outcome(sizes) == outcome([]) == outcome([1] * len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b" 1\r\nx\r\n",
        b"1 ;a\r\nx\r\n",
        b"1\nx\r\n",
        b"1\r\nxx\r\n",
        b"1\r\nx\n",
        b"1\r\nx\rx",
        b"1;\x00\r\n",
        b"0\r\n: x\r\n",
        b"0\r\nx\r\n",
        b"0\r\nX: \x01\r\n",
        b"0\r\nX: y\n",
        b"0" * 16 + b"\r\n",
        b"1;" + b"x" * 300,
    ],
)
def test_refused(data: bytes) -> None:
    """
    Strict: two readings of a body are one request too many.
    """
    with pytest.raises(RequestError) as caught:
        decode(data, [])
    assert caught.value.status == 400
    with pytest.raises(RequestError):
        decode(data, [1] * len(data))


def test_trailers_have_a_bound() -> None:
    """
    The same as headers.
    """
    with pytest.raises(RequestError) as caught:
        decode(b"0\r\n" + b"X: y\r\n" * 17, [])
    assert caught.value.status == 431
    with pytest.raises(RequestError) as caught:
        decode(b"0\r\nX: " + b"y" * 100, [])
    assert caught.value.status == 431


def test_many_small_chunks_take_linear_time() -> None:
    """
    A hundred thousand of them; were it quadratic, the test would not end.
    """
    data = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    assert decode(data, []) == (b"x" * 100_000, b"", True)
