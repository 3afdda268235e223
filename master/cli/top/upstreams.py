"""The table of upstreams, for servers that have any."""

from typing import Final

from penstock.master.cli.top.cells import state
from penstock.master.cli.top.figures import count
from penstock.master.cli.top.line import Line, Piece, Style
from penstock.master.cli.top.reading import Reading
from penstock.master.cli.top.table import Column, Row, table

UPSTREAM_COLUMNS: Final = (
    Column("UPSTREAM", 10, is_left=True),
    Column("SERVER", 16, rank=0, is_left=True, takes_rest=True),
    Column("STATE", 9, rank=1, is_left=True),
    Column("ACTV", 5, rank=2),
    Column("IDLE", 5, rank=4),
    Column("QUEUED", 6, rank=3),
)


def upstreams(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each server of each upstream."""
    rows: list[Row] = [
        [
            Piece(each.upstream or "-"),
            Piece(each.address or "-"),
            state(each.state),
            Piece(count(each.active)),
            Piece(count(each.idle)),
            Piece(count(each.queued), Style.WARNING if each.queued else Style.PLAIN),
        ]
        for each in reading.backends
    ]
    return table(UPSTREAM_COLUMNS, rows, width)
