"""
Columns that fit: the least important are left out until the rest does.

A column has a least width, so that the next frame has it where this one had it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from penstock.master.cli.top.line import Line, Piece, Style, fitted
from penstock.master.cli.top.text import cut

GAP = 1


class Column(NamedTuple):
    """A column. The higher `rank`, the earlier it is left out; rank 0 always stays."""

    title: str
    width: int  # at least
    rank: int = 0
    is_left: bool = False
    width_max: int = 24
    takes_rest: bool = False


Row = Sequence[Piece]


def table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """Give the heading and the rows, of the columns that have room."""
    widths = [
        min(
            max(column.width, len(column.title), *(len(row[index].text) for row in rows), 0), column.width_max
        )
        for index, column in enumerate(columns)
    ]
    kept = _kept(columns, widths, width)
    taken = sum(widths[index] + GAP for index in kept if not columns[index].takes_rest)
    for index in kept:
        if columns[index].takes_rest:
            widths[index] = max(width - taken, columns[index].width)
    heading = [Piece(column.title, Style.HEADING) for column in columns]
    lines = []
    for row in (heading, *rows):
        pieces: list[Piece] = []
        for index in kept:
            is_last = index == kept[-1]
            pieces.append(_cell(columns[index], row[index], widths[index], is_last=is_last))
            if not is_last:
                pieces.append(Piece(" " * GAP, Style.HEADING if row is heading else Style.PLAIN))
        lines.append(fitted(pieces, width))
    filled = len("".join(piece.text for piece in lines[0]))
    lines[0] = (*lines[0], Piece(" " * (width - filled), Style.HEADING)) if filled < width else lines[0]
    return lines


def _kept(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    kept = list(range(len(columns)))

    def taken() -> int:
        least = (columns[each].width if columns[each].takes_rest else widths[each] for each in kept)
        return sum(least) + GAP * (len(kept) - 1)

    while taken() > width:
        highest = max(kept, key=lambda each: columns[each].rank)
        if columns[highest].rank == 0:
            break
        kept.remove(highest)
    return kept


def _cell(column: Column, piece: Piece, width: int, *, is_last: bool) -> Piece:
    text = cut(piece.text, width)
    if column.is_left:
        return Piece(text if is_last else text.ljust(width), piece.style)
    return Piece(text.rjust(width), piece.style)
