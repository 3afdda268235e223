"""Whatever a client sends, a line stays one line and a field one field."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.escapes import CUT, json_bytes, json_text, shown, shown_word
from penstock.worker.limits import ACCESS_FIELD_BYTES_MAX

_ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|(["\\]))')


def unescaped(text: str) -> bytes:
    """Read an escaped field as a log parser would."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text).encode("latin-1")


@given(st.binary(max_size=200))
def test_text_cannot_leave_its_quotes(value: bytes) -> None:
    """
    Printable ASCII alone, every quote and backslash escaped; and nothing is lost.
    """
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in _ESCAPE.sub("", text)
    assert "\\" not in _ESCAPE.sub("", text)
    assert unescaped(text) == value


@given(st.binary(max_size=200))
def test_a_word_has_no_blank(value: bytes) -> None:
    """
    A user may call himself `x [date] "GET / HTTP/1.1" 200`.
    """
    word = shown_word(value)
    assert not word.split() or word.split() == [word]
    assert unescaped(word) == value


@given(st.binary(max_size=200))
def test_json_is_a_string_of_ascii(value: bytes) -> None:
    """
    Also where a reader splits at U+0085 and U+2028.
    """
    text = json_bytes(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value.decode("utf-8", "backslashreplace")


@given(st.text(max_size=100))
def test_json_text_is_what_it_was(value: str) -> None:
    """
    Names of routes may be in any script.
    """
    text = json_text(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value


def test_long_values_are_cut_and_it_shows() -> None:
    """
    A line has to fit what a pipe takes in one go.
    """
    assert shown(b"a" * 5000) == "a" * ACCESS_FIELD_BYTES_MAX + CUT
    assert json.loads(json_bytes(b"a" * 5000)) == "a" * ACCESS_FIELD_BYTES_MAX + CUT
