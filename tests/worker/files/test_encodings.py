"""Which variant a client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.files.encodings import choose
from penstock.worker.files.media import MediaTypes

SIZES = {b"identity": 100, b"br": 10, b"zstd": 12, b"gzip": 20}
CHOICES = [
    (None, b"identity"),
    (b"", b"identity"),
    (b"gzip", b"gzip"),
    (b"x-gzip", b"gzip"),
    (b"GZIP", b"gzip"),
    (b"gzip, br", b"br"),
    (b"gzip, deflate, br, zstd", b"br"),
    (b"gzip;q=1.0, br;q=0.5", b"gzip"),
    (b"gzip;q=0.2, br ; q=0.4", b"br"),
    (b"deflate", b"identity"),
    (b"*", b"br"),
    (b"*;q=0.5, gzip", b"gzip"),
    (b"identity", b"identity"),
    (b"identity;q=0.5, gzip;q=0.1", b"identity"),
    (b"gzip;q=0", b"identity"),
    (b"gzip;q=0, *", b"br"),
    (b"identity;q=0, gzip", b"gzip"),
    (b"identity;q=0", b"identity"),
    (b"*;q=0", b"identity"),
    (b"gzip;q=2", b"identity"),
    (b"gzip;q=x", b"identity"),
    (b"gzip;q=0.0001", b"identity"),
    (b"gzip;q=0.001", b"gzip"),
    (b";;,,=", b"identity"),
]


@pytest.mark.parametrize(("accept", "coding"), CHOICES, ids=[str(each[0]) for each in CHOICES])
def test_choice(accept: bytes | None, coding: bytes) -> None:
    """
    The client's weights first, then the smallest.
    """
    assert choose(accept, SIZES) == coding


def test_variant_that_is_larger_is_not_chosen() -> None:
    """
    Among what the client likes as much.
    """
    assert choose(b"gzip, identity", {b"identity": 5, b"gzip": 30}) == b"identity"


@given(st.binary(max_size=60))
def test_any_header_has_a_choice(accept: bytes) -> None:
    """
    Of what there is.
    """
    assert choose(accept, SIZES) in SIZES


@pytest.mark.parametrize(
    ("name", "media"),
    [
        (b"a/b.html", b"text/html; charset=utf-8"),
        (b"a.JS", b"text/javascript; charset=utf-8"),
        (b"a.mjs", b"text/javascript; charset=utf-8"),
        (b"a.css", b"text/css; charset=utf-8"),
        (b"a.json", b"application/json"),
        (b"a.svg", b"image/svg+xml"),
        (b"a.wasm", b"application/wasm"),
        (b"a.woff2", b"font/woff2"),
        (b"a.tar.gz", b"application/gzip"),
        (b"a.unheard-of", b"application/octet-stream"),
        (b"Makefile", b"application/octet-stream"),
        (b"b.html/c", b"application/octet-stream"),
        (b".html", b"application/octet-stream"),
        (b"a.x", b"text/x; charset=ascii"),
    ],
)
def test_media_type(name: bytes, media: bytes) -> None:
    """
    By the end of the name; text says how it is encoded.
    """
    assert MediaTypes({".x": "text/x; charset=ascii"}).of(name) == media
