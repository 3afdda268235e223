"""
Text that comes from somewhere else, made so that a terminal shows it and obeys none of it.

A client chooses the path that it asks for, and a terminal takes orders: to
change its title, to move the cursor, to answer as if somebody had typed. And a
character of no or of two cells would push what stands beside it. So what is
shown is ASCII that prints, and the letters of alphabets that take one cell in
every terminal.
"""

import unicodedata
from typing import Final
from urllib.parse import quote

# Latin, Greek and Cyrillic.
_LETTERS: Final = range(0xA1, 0x0530)

# Far more than any terminal is wide.
_PATH_CHARS_MAX: Final = 1024

CUT: Final = "…"

_PRINTABLE_ASCII: Final = "".join(map(chr, range(0x20, 0x7F)))


def is_harmless(character: str) -> bool:
    """Whether a terminal shows it, in one cell."""
    return (
        character in _PRINTABLE_ASCII
        or character == CUT
        or (
            ord(character) in _LETTERS
            and character.isprintable()
            and unicodedata.category(character)[0] != "M"
        )
    )


def harmless(text: str) -> str:
    r"""
    Replace what does not print in one cell.

    >>> harmless("caf\xe9 \x1b[2J \u202e")
    'café ?[2J ?'
    """
    if text.isascii() and text.isprintable():
        return text  # As nearly all of it is.
    return "".join(each if is_harmless(each) else "?" for each in text)


def harmless_path(path: str) -> str:
    r"""
    Write a path in ASCII, the rest as percents: as its client could have written it.

    >>> harmless_path("/caf\xc3\xa9/\x1b[2J%20")
    '/caf%C3%A9/%1B[2J%20'
    """
    shown = path[:_PATH_CHARS_MAX]
    try:
        sent = shown.encode("latin-1")  # The server tells a path as a character for each byte.
    except UnicodeEncodeError:
        sent = shown.encode("utf-8", "replace")
    return quote(sent, safe=_PRINTABLE_ASCII)


def cut(text: str, width: int) -> str:
    """
    Shorten a text to a width, and say so.

    >>> cut("/a/long/path", 8)
    '/a/long…'
    """
    if len(text) <= width:
        return text
    return text[: width - 1] + CUT if width > 1 else text[: max(0, width)]


def as_ascii(text: str) -> str:
    """
    Write it for a terminal that knows nothing else, in the same number of cells.

    >>> as_ascii("420µs café…")
    '420us caf?~'
    """
    return text.replace(CUT, "~").replace("µ", "u").encode("ascii", "replace").decode()
