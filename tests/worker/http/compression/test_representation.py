"""Headers of responses that are compressed, and which are not to be."""

import pytest

from penstock.worker.http.compression.media_types import MediaTypes
from penstock.worker.http.compression.representation import Traits, coded, judge, revalidated, varied

JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (200, (b"content-encoding", b"br")),
        (200, (b"Content-Encoding", b"identity")),
        (200, (b"content-range", b"bytes 0-1/2")),
        (200, (b"cache-control", b"public, No-Transform")),
        (200, (b"content-digest", b"sha-256=:x:")),
        (200, (b"digest", b"md5=x")),
        (206, (b"x", b"")),
        (204, (b"x", b"")),
        (304, (b"x", b"")),
    ],
)
def test_some_responses_are_left_alone(status: int, header: tuple[bytes, bytes]) -> None:
    """
    Coded already, a part, reckoned from, forbidden or without a body.
    """
    assert judge(status, [JSON, header]) is None


def test_type_and_length_are_found() -> None:
    """
    Whatever case their names have.
    """
    assert judge(200, [(b"Content-Type", b"a/b"), (b"Content-Length", b"5")]) == Traits(b"a/b", b"5")
    assert judge(200, [JSON, (b"VARY", b"x")]) == Traits(b"application/json", None, has_vary=True)
    assert judge(404, [JSON, (b"cache-control", b"max-age=5")]) == Traits(b"application/json", None)
    assert judge(200, [(b"content-length", b"5")]) is None


def test_a_coded_response_has_other_headers() -> None:
    """
    Length, ranges, the tag, Vary and the coding; all others and their order are kept.
    """
    before = [
        (b"X-A", b"1"), (b"Content-Length", b"5"), (b"etag", b'"v"'), (b"accept-ranges", b"bytes"),
        (b"set-cookie", b"a"), (b"set-cookie", b"b"),
    ]  # fmt: skip
    assert coded(before, b"br") == [
        (b"X-A", b"1"), (b"etag", b'W/"v"'), (b"set-cookie", b"a"), (b"set-cookie", b"b"),
        (b"content-encoding", b"br"),
    ]  # fmt: skip
    assert coded([(b"ETag", b'W/"v"')], b"br")[0] == (b"ETag", b'W/"v"')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"Accept-Encoding"]),
        ([b"Cookie"], [b"Cookie, Accept-Encoding"]),
        ([b"a", b"b"], [b"a", b"b, Accept-Encoding"]),
        ([b"accept-ENCODING , b"], [b"accept-ENCODING , b"]),
        ([b"Accept-Encoding", b"b"], [b"Accept-Encoding", b"b"]),
        ([b"*"], [b"*"]),
        ([b"a, *"], [b"a, *"]),
        ([b""], [b"Accept-Encoding"]),
        ([b"a,"], [b"a, Accept-Encoding"]),
        ([b"x-accept-encoding"], [b"x-accept-encoding, Accept-Encoding"]),
    ],
)
def test_vary_has_it_once(before: list[bytes], after: list[bytes]) -> None:
    """
    Merged, not doubled.
    """
    headers = varied([(b"Vary", value) for value in before])

    assert [value for _, value in headers] == after


@pytest.mark.parametrize(
    ("had", "tag", "expected"),
    [
        (b'W/"v"', b'"v"', b'W/"v"'),
        (b'"a", W/"v"', b'"v"', b'W/"v"'),
        (b'"v"', b'"v"', b'"v"'),
        (b'"v", W/"v"', b'"v"', b'"v"'),
        (b'W/"other"', b'"v"', b'"v"'),
        (b"*", b'"v"', b'"v"'),
        (b'W/"v"', b'W/"v"', b'W/"v"'),
    ],
)
def test_a_304_has_the_tag_that_its_client_has(had: bytes, tag: bytes, expected: bytes) -> None:
    """
    The app knows of the strong one only.
    """
    assert revalidated([(b"ETag", tag)], [(b"if-none-match", had)]) == [(b"ETag", expected)]


@pytest.mark.parametrize(
    ("content_type", "is_included"),
    [
        (b"text/html", True),
        (b"Text/HTML; charset=utf-8", True),
        (b" text/plain ;x", True),
        (b"application/json;charset=utf-8", True),
        (b"application/problem+json", True),
        (b"application/jsonp", False),
        (b"image/png", False),
        (b"text/event-stream", False),
        (b"TEXT/EVENT-STREAM; charset=utf-8", False),
        (b"text", False),
        (b"text/a/b", False),
        (b"", False),
        (b"\xff/\xfe", False),
    ],
)
def test_types_are_compared_without_parameters_and_case(content_type: bytes, is_included: bool) -> None:
    """
    Twice, since the second time it is remembered.
    """
    types = MediaTypes(("text/*", "application/json", "application/*+json"))

    assert types.include(content_type) == types.include(content_type) == is_included


def test_a_star_takes_all_but_event_streams() -> None:
    """
    Those are never compressed.
    """
    types = MediaTypes(("*/*",))

    assert types.include(b"image/png")
    assert not types.include(b"text/event-stream;x=y")
