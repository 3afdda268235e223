"""A line on the terminal: pieces of text, each in one style."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from penstock.master.cli.top.text import CUT, as_ascii, harmless


class Style(Enum):
    """What a text is, for the terminal to show in its way. None says anything that the text does not."""

    PLAIN = "plain"
    STRONG = "strong"
    HEADING = "heading"
    FAINT = "faint"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Piece(NamedTuple):
    """A text in a style."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Piece, ...]


def plain(line: Line) -> str:
    """Give a line's text."""
    return "".join(piece.text for piece in line).rstrip()


def fitted(line: Iterable[Piece], width: int) -> Line:
    """Make a line harmless and cut it to a width, with a mark where something is missing."""
    pieces = [Piece(harmless(text), style) for text, style in line]
    if sum(len(piece.text) for piece in pieces) <= width:
        return tuple(piece for piece in pieces if piece.text)
    left = width - 1
    kept = []
    for text, style in pieces:
        kept.append(Piece(text[:left] if left > 0 else "", style))
        if len(text) > left:
            break
        left -= len(text)
    if width > 0:
        kept.append(Piece(CUT, kept[-1].style))
    return tuple(piece for piece in kept if piece.text)


def in_ascii(line: Line) -> Line:
    """Write a line for a terminal that knows ASCII alone."""
    return tuple(Piece(as_ascii(text), style) for text, style in line)
