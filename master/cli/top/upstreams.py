"""The table of upstreams, for servers that have any."""

from typing import Final

from penstock.master.cli.top.cells import state
from penstock.master.cli.top.figures import compact, count
from penstock.master.cli.top.line import Line, Piece, Style
from penstock.master.cli.top.rates import BackendRates, Rates
from penstock.master.cli.top.reading import Backend, Reading
from penstock.master.cli.top.table import Column, Row, table

UPSTREAM_COLUMNS: Final = (
    Column("UPSTREAM", 10, is_left=True),
    Column("SERVER", 16, rank=0, is_left=True, takes_rest=True),
    Column("STATE", 9, rank=1, is_left=True),
    Column("ACTV", 5, rank=2),
    Column("IDLE", 5, rank=4),
    Column("QUEUED", 6, rank=3),
    Column("REQ/S", 5, rank=5),
    Column("FAIL/S", 6, rank=6),
)


def upstreams(reading: Reading, rates: Rates, width: int) -> list[Line]:
    """Give a heading and a line for each server of each upstream."""
    rows = [
        _row(each, rates.backends.get((each.upstream, each.address), BackendRates()))
        for each in reading.backends
    ]
    return table(UPSTREAM_COLUMNS, rows, width)


def _row(backend: Backend, rates: BackendRates) -> Row:
    return [
        Piece(backend.upstream or "-"),
        Piece(backend.address or "-"),
        state(backend.state),
        Piece(count(backend.active)),
        Piece(count(backend.idle)),
        Piece(count(backend.queued), Style.WARNING if backend.queued else Style.PLAIN),
        Piece(compact(rates.requests_s)),
        Piece(compact(rates.failures_s), Style.BAD if rates.failures_s else Style.PLAIN),
    ]
