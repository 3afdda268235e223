"""From a path to the name of a file: what means one, and what never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.files.paths import name_of, prefix_of

NAMES = [
    (b"/static/a.txt", b"a.txt"),
    (b"/static/", b""),
    (b"/static/sub/", b"sub/"),
    (b"/static/sub/a", b"sub/a"),
    (b"/static/%61.txt", b"a.txt"),
    (b"/static/a%20b", b"a b"),
    (b"/static/%C3%A4", b"\xc3\xa4"),
    (b"/static/%ff", b"\xff"),
    (b"/static/a%25b", b"a%b"),
    (b"/static/%252e%252e/x", b"%2e%2e/x"),
    (b"/static/..a", None),
    (b"/static/a..", b"a.."),
    (b"/static/...", None),
    (b"/static/.well-known/x", b".well-known/x"),
    # Leaving the folder.
    (b"/static/..", None),
    (b"/static/../x", None),
    (b"/static/a/../b", None),
    (b"/static/%2e%2e/x", None),
    (b"/static/.%2e/x", None),
    (b"/static/./a", None),
    (b"/static/%2e/a", None),
    (b"/static/..%2fx", None),
    (b"/static/a%2fb", None),
    (b"/static%2fa", None),
    (b"/static/a\\b", None),
    (b"/static/..\\x", None),
    (b"/static/%5c..%5cx", None),
    (b"/static//a", None),
    (b"//static/a", None),
    (b"/static/a//", None),
    (b"/static/a%00", None),
    (b"/static/a%00.txt", None),
    (b"/static/a%0ab", None),
    (b"/static/a%7f", None),
    # Hidden.
    (b"/static/.env", None),
    (b"/static/%2eenv", None),
    (b"/static/.git/config", None),
    (b"/static/a/.b", None),
    (b"/static/a/.well-known/x", None),
    (b"/static/.well-known/.x", None),
    # Somewhere else.
    (b"/other/a", None),
    (b"/static", None),
    (b"/staticx/a", None),
    (b"", None),
    (b"*", None),
]


@pytest.mark.parametrize(("path", "name"), NAMES, ids=[str(path)[2:-1] for path, _ in NAMES])
def test_name_of_a_path(path: bytes, name: bytes | None) -> None:
    """
    Each part is decoded once, and judged by itself.
    """
    assert name_of(path, b"/static/", shows_dotfiles=False) == name


def test_dotfiles_can_be_shown() -> None:
    """
    But dots that walk stay what they are.
    """
    assert name_of(b"/.git/x", b"/", shows_dotfiles=True) == b".git/x"
    assert name_of(b"/../x", b"/", shows_dotfiles=True) is None


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (None, b"/"),
        ("/", b"/"),
        ("/static/", b"/static/"),
        ("/favicon.ico", b"/"),
        ("/a/b.txt", b"/a/"),
        ("~^/x", b"/"),
    ],
)
def test_prefix_of_a_route(pattern: str | None, prefix: bytes) -> None:
    """
    What of the path is not in the name: all up to the last slash of the route's.
    """
    assert prefix_of(pattern) == prefix


PARTS = st.sampled_from(
    [b"a", b"..", b".", b"%2e", b"%2f", b"%5c", b"/", b"\\", b"%00", b"%", b"%25", b"~", b"%zz"]
)


@given(st.lists(PARTS, max_size=12), st.booleans())
def test_no_path_leads_out(parts: list[bytes], shows_dotfiles: bool) -> None:
    """
    Whatever is put together: a name is relative, and walks down only.
    """
    name = name_of(b"/s/" + b"".join(parts), b"/s/", shows_dotfiles=shows_dotfiles)
    if name is not None:
        *folders, last = name.split(b"/")
        assert not {b"", b".", b".."}.intersection(folders)
        assert last not in {b".", b".."}
        assert b"\0" not in name
        assert b"\\" not in name
