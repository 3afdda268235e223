"""What a client chooses is shown, and the terminal obeys none of it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.top.line import Piece, Style, fitted, in_ascii, plain
from penstock.master.cli.top.text import as_ascii, cut, harmless, harmless_path, is_harmless


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/plain?q=1&%20", "/plain?q=1&%20"),
        ("/\x1b]0;owned\x07", "/%1B]0;owned%07"),
        ("/\x1b[2J\r\n\t\0", "/%1B[2J%0D%0A%09%00"),
        ("/\x9b31m", "/%9B31m"),
        ("/caf\xc3\xa9", "/caf%C3%A9"),
        ("/caf\xe9/\u4f60", "/caf%C3%A9/%E4%BD%A0"),
        ("/e\u0301\u202e\u200b", "/e%CC%81%E2%80%AE%E2%80%8B"),
        ("/\udcff", "/?"),
    ],
)
def test_a_path_is_ascii_that_prints(path: str, shown: str) -> None:
    """
    An escape sequence in a path could retitle the operator's terminal, or type into it.
    """
    assert harmless_path(path) == shown


@given(st.text())
def test_harmless_text_takes_one_cell_a_character(text: str) -> None:
    """
    No control, no format, no combining, no wide character, and as long as before.
    """
    shown = harmless(text)

    assert len(shown) == len(text)
    for each in shown + harmless_path(text):
        assert each.isprintable()
        assert unicodedata.category(each)[0] != "M"
        assert unicodedata.east_asian_width(each) not in "WF"
    assert harmless_path(text).isascii()


def test_letters_of_western_alphabets_stay() -> None:
    """
    Names of listeners are written by people.
    """
    assert harmless("größe Ωμ путь") == "größe Ωμ путь"
    assert harmless("名前 🦊 \u0301") == "?? ? ?"
    assert not is_harmless("\x7f")


@pytest.mark.parametrize(("width", "text"), [(9, "/a/long/x"), (8, "/a/long…"), (1, "/"), (0, ""), (-1, "")])
def test_what_is_cut_says_so(width: int, text: str) -> None:
    """
    Half a path is a different path.
    """
    assert cut("/a/long/x", width) == text


def test_a_terminal_without_utf_8_gets_ascii_of_the_same_width() -> None:
    """
    The columns stay.
    """
    assert as_ascii("420µs café…") == "420us caf?~"
    assert in_ascii((Piece("é…", Style.BAD),)) == (Piece("?~", Style.BAD),)


@given(st.lists(st.tuples(st.text(max_size=10), st.sampled_from(Style))), st.integers(0, 30))
def test_a_fitted_line_is_never_too_wide(line: list[tuple[str, Style]], width: int) -> None:
    """
    A line that wraps pushes all below it down.
    """
    pieces = [Piece(text, style) for text, style in line]
    shown = fitted(pieces, width)
    whole = harmless("".join(text for text, _ in line))

    assert sum(len(piece.text) for piece in shown) <= width
    assert (
        plain(shown)
        == (whole if len(whole) <= width else cut(whole, width) if width > 1 else "…"[:width]).rstrip()
    )
