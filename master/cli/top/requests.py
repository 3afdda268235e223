"""The table of requests in flight, the slowest first."""

from typing import Final

from penstock.master.cli.top.cells import number
from penstock.master.cli.top.figures import size, span
from penstock.master.cli.top.line import Line, Piece, Style, fitted
from penstock.master.cli.top.reading import Reading, Request
from penstock.master.cli.top.table import Column, table
from penstock.master.cli.top.text import harmless_path

# A request in flight for so long is worth a look.
REQUEST_WARNING_S: Final = 1.0

REQUEST_COLUMNS: Final = (
    Column("AGE", 5),
    Column("SLOT", 4, rank=2),
    Column("STATE", 9, rank=3, is_left=True, width_max=16),
    Column("SENT", 5, rank=4),
    Column("METHOD", 7, rank=1, is_left=True, width_max=8),
    Column("SLOWEST REQUESTS IN FLIGHT", 20, rank=0, is_left=True, takes_rest=True),
)


# Where requests are passed on; an address is short, and a path may be cut.
SERVER_COLUMN: Final = Column("SERVER", 14, rank=1, is_left=True)


def requests(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each request in flight, the oldest first; or say that there are none."""
    if not reading.requests:
        why = "-" if reading.requests is None else "none"
        return [fitted([Piece(f"requests in flight: {why}", Style.FAINT)], width)]
    oldest_first = sorted(reading.requests, key=lambda each: -(each.age_s or 0.0))
    rows = [_request(each) for each in oldest_first]
    if not any(each.server for each in oldest_first):
        return table(REQUEST_COLUMNS, rows, width)
    for row, each in zip(rows, oldest_first, strict=True):
        row.insert(-1, Piece(each.server or "-"))
    return table((*REQUEST_COLUMNS[:-1], SERVER_COLUMN, REQUEST_COLUMNS[-1]), rows, width)


def _request(request: Request) -> list[Piece]:
    is_slow = (request.age_s or 0.0) >= REQUEST_WARNING_S
    # Those who ask over TCP are not told the path, and the route says something too.
    what = request.path if request.path is not None else request.route and f"route {request.route}"
    return [
        Piece(span(request.age_s), Style.WARNING if is_slow else Style.PLAIN),
        Piece(number(request.slot)),
        Piece(request.state or "-"),
        Piece(size(request.sent_bytes)),
        Piece(request.method or "-"),
        Piece(harmless_path(what or "-")),
    ]
