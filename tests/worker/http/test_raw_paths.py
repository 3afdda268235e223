"""Paths are cut where they are as they were sent, and variables cannot lead anywhere else."""

from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.captures import Captures, names_of
from penstock.worker.http.raw_paths import (
    below_root,
    decoded,
    has_dot_segment,
    raw_span,
    single_slash,
    uri_safe,
    without_prefix,
)
from penstock.worker.http.rewrite import Rewrite
from penstock.worker.http.template import Template, TemplateError
from penstock.worker.spec import RewriteSpec

pieces = st.lists(
    st.sampled_from(
        ["a", "/", "%2F", "%2f", "%C3%A4", "%41", "%", "%zz", "%FF", "%5C", "\\", ".", "%2e", "%25"]
    ),
    max_size=12,
)
raw_paths = pieces.map(lambda each: ("/" + "".join(each)).encode())


@given(raw_paths, st.data())
def test_a_piece_means_what_it_meant_in_the_whole(raw_path: bytes, data: st.DataObject) -> None:
    """
    Wherever it is cut: and put together again, the pieces are the whole.
    """
    path = decoded(raw_path)
    first = data.draw(st.integers(0, len(path)))
    second = data.draw(st.integers(first, len(path)))
    if path.encode() == unquote_to_bytes(raw_path):
        spans = [
            raw_span(path, raw_path, *each) for each in ((0, first), (first, second), (second, len(path)))
        ]
        assert b"".join(spans) == raw_path
    assert decoded(raw_span(path, raw_path, first, second)) == path[first:second]


@pytest.mark.parametrize(
    ("raw_path", "prefix", "rest"),
    [
        (b"/api/x", b"/api", b"/x"),
        (b"/api", b"/api", b""),
        (b"/apix", b"/api", None),
        (b"/%61pi/%2F", b"/api", b"/%2F"),
        (b"/api%2Fx", b"/api", None),
        (b"/%C3%A4/x", "/ä".encode(), b"/x"),
        (b"/b", b"/api", None),
    ],
)
def test_a_prefix_ends_at_a_slash_that_was_sent_as_one(
    raw_path: bytes, prefix: bytes, rest: bytes | None
) -> None:
    """
    However its letters were written.
    """
    assert without_prefix(raw_path, prefix) == rest


@pytest.mark.parametrize(
    ("path", "has"),
    [
        *((path, True) for path in ("/a/../b", "/..", "/./a", "/a/.", "/a\\..\\b", "/x/..\\b", "/x/..;y/b")),
        *((path, False) for path in ("/.a", "/a..", "/...", "/", "*", "/..\n", "/a;../b")),
    ],
)
def test_dot_segments_are_seen(path: str, has: bool) -> None:
    """
    By whatever slash they are parted.
    """
    assert has_dot_segment(path) is has


def test_the_root_path_is_taken_off_once() -> None:
    """
    Whether the site has put it there or the client's proxy has left it.
    """
    assert below_root("/s/a", b"/s/a", "/s") == ("/a", b"/a")
    assert below_root("/s", b"/s", "/s") == ("/", b"/")
    assert below_root("/sa", b"/sa", "/s") == ("/sa", b"/sa")
    assert below_root("/a", b"/a", "") == ("/a", b"/a")


# Rewrites.


def rewritten(path: bytes, *, is_app: bool = False, root: str = "", **spec: Any) -> tuple[str, str, bytes]:
    rewrite = Rewrite(RewriteSpec(**spec), is_app=is_app)
    return rewrite.apply(root, root + decoded(path), root.encode() + path)


@pytest.mark.parametrize(
    ("raw_path", "spec", "becomes"),
    [
        (b"/api/x", {"strip_prefix": "/api"}, b"/x"),
        (b"/api", {"strip_prefix": "/api"}, b"/"),
        (b"/api//evil", {"strip_prefix": "/api"}, b"/evil"),
        (b"/api/\\evil", {"strip_prefix": "/api"}, b"/evil"),
        (b"/api%2Fx", {"strip_prefix": "/api"}, b"/api%2Fx"),
        (b"/b/x", {"strip_prefix": "/api"}, b"/b/x"),
        (b"/x", {"add_prefix": "/v2"}, b"/v2/x"),
        (b"/x", {"add_prefix": "/ä b"}, b"/%C3%A4%20b/x"),
        (b"/api/x", {"strip_prefix": "/api", "add_prefix": "/v2"}, b"/v2/x"),
        (b"/u/7/p%2Fq", {"replace": ("^/u/([0-9]+)", "/users/{1}")}, b"/users/7/p%2Fq"),
        (b"/u/p%2Fq", {"replace": ("^/u/(.*)", "/{1}/x")}, b"/p%2Fq/x"),
        (b"/u/x", {"replace": ("/nothing", "/y")}, b"/u/x"),
        (b"/u/x", {"replace": ("^/u", "")}, b"/x"),
        (b"/u/x", {"replace": ("^/u/", "")}, b"/x"),
        (b"/u/x/x", {"replace": ("x", "y")}, b"/u/y/x"),
        (b"/a/u/x", {"strip_prefix": "/a", "replace": ("^/u", "/{{}}"), "add_prefix": "/z"}, b"/z/%7B%7D/x"),
        (b"*", {"add_prefix": "/z"}, b"*"),
    ],
)
def test_a_path_is_stripped_replaced_in_and_added_to(
    raw_path: bytes, spec: dict[str, Any], becomes: bytes
) -> None:
    """
    In this order, and what was encoded stays so.
    """
    assert rewritten(raw_path, **spec) == ("", decoded(becomes), becomes)


def test_a_prefix_that_is_only_taken_off_an_app_is_its_root() -> None:
    """
    Frameworks take it off by themselves, and make links with it.
    """
    strip: dict[str, Any] = {"strip_prefix": "/api"}
    assert rewritten(b"/api/x%2Fy", is_app=True, **strip) == ("/api", "/api/x/y", b"/api/x%2Fy")
    assert rewritten(b"/api", is_app=True, **strip) == ("/api", "/api/", b"/api/")
    assert rewritten(b"/api/x", is_app=True, root="/s", **strip) == ("/s/api", "/s/api/x", b"/s/api/x")
    assert rewritten(b"/b", is_app=True, root="/s", **strip) == ("/s", "/s/b", b"/s/b")
    both = {**strip, "add_prefix": "/v2"}
    assert rewritten(b"/api/x", is_app=True, root="/s", **both) == ("/s", "/s/v2/x", b"/s/v2/x")
    assert rewritten(b"/api/x", root="/s", **both) == ("/s", "/v2/x", b"/v2/x")


@given(raw_paths)
def test_no_path_is_rewritten_into_one_that_names_a_host(raw_path: bytes) -> None:
    """
    One slash, and nothing in it that a request line could not have.
    """
    specs: list[dict[str, Any]] = [{"strip_prefix": "/a"}, {"replace": ("^/a?/?(.*)", "/{1}")}]
    for spec in (*specs, {"strip_prefix": "/a", "add_prefix": "/b"}):
        _, path, raw = rewritten(raw_path, **spec)
        assert raw[:1] == b"/"
        assert raw[1:2] not in {b"/", b"\\"}
        assert path == decoded(raw)


# Templates and captures.


def test_a_template_is_text_and_variables() -> None:
    """
    Braces are doubled.
    """
    template = Template("a{x}{{y}}{z}", {"x", "z"})

    assert template.render(lambda name: name.upper().encode()) == b"aX{y}Z"
    assert template.names == {"x", "z"}
    for text in ("{", "}", "a{b", "{}", "{nothing}", "{x"):
        with pytest.raises(TemplateError):
            Template(text, {"x"})


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (None, {"rest"}),
        (("/a/", "/b"), {"rest"}),
        (("~(a)(?P<n>b)",), {"1", "2", "n"}),
        (("~(a)", "~(b)(c)"), {"1"}),
        (("/a", "~(b)"), set()),
    ],
)
def test_a_route_has_the_variables_that_each_of_its_paths_gives(
    paths: tuple[str, ...] | None, names: set[str]
) -> None:
    """
    So none is ever missing.
    """
    assert names_of(paths) == names


@pytest.mark.parametrize(
    ("paths", "raw_path", "captured"),
    [
        (("/a/",), b"/a/b%2Fc", {"rest": b"b%2Fc"}),
        (("/a/",), b"/a%2Fb", {"rest": b"b"}),
        (("/a",), b"/a", {"rest": b""}),
        (None, b"/x/y", {"rest": b"x/y"}),
        (("~^/(?P<n>[^x]*)(x)?$",), b"/p%20q", {"1": b"p%20q", "2": b"", "n": b"p%20q"}),
        (("/a/",), b"/s/a/b", {"rest": b"b"}),
    ],
)
def test_what_a_path_took_is_given_as_it_was_sent(
    paths: tuple[str, ...] | None, raw_path: bytes, captured: dict[str, bytes]
) -> None:
    """
    Also with the root path in front.
    """
    assert Captures(paths, "/s").of(decoded(raw_path), raw_path) == captured


@given(raw_paths)
def test_a_local_redirect_stays_on_its_host(raw_path: bytes) -> None:
    """
    As those read it who follow it.
    """
    target = single_slash(uri_safe(b"/" + raw_path)).decode("ascii")

    assert urlsplit(urljoin("http://here.example/x", target)).netloc == "here.example"
    assert not target.startswith(("//", "/\\"))
    assert "\\" not in target
    assert target.isprintable()


def test_what_ends_a_header_is_encoded() -> None:
    """
    And blanks, quotes and what is beyond ASCII.
    """
    assert uri_safe(b'/a\r\nb "\x00\xff%20{}') == b"/a%0D%0Ab%20%22%00%FF%20%7B%7D"
    assert quote_from_bytes(b"\r") == "%0D"
