"""The lines at the top: which server it is, how it does, and what is wrong."""

from collections.abc import Iterable, Sequence

from penstock.master.cli.tables import duration
from penstock.master.cli.top.cells import number, state
from penstock.master.cli.top.figures import age, compact, count, size, span
from penstock.master.cli.top.line import Line, Piece, Style, fitted
from penstock.master.cli.top.rates import Rates
from penstock.master.cli.top.reading import Reading, Worker


def head(reading: Reading, rates: Rates, width: int) -> list[Line]:
    """Say which server it is and how it does, in two lines."""
    named = " ".join(filter(None, ("penstock", reading.name, reading.version)))
    up_s = None if reading.started_at is None else max(0.0, reading.wall_s - reading.started_at)
    first = (
        (0, (Piece(named, Style.STRONG),)),
        (0, (state(reading.state),)),
        (1, (Piece(f"generation {count(reading.generation)}"),)),
        (2, (Piece(f"up {duration(up_s)}"),)),
        (3, (Piece(f"pid {number(reading.pid)}"),)),
    )
    latency = reading.latency
    errors = Style.BAD if rates.errors_s else Style.PLAIN
    second = (
        (0, _figure(compact(rates.requests_s), " req/s")),
        (1, _figure(compact(rates.errors_s), " err/s", errors)),
        (3, _figure(size(rates.sent_bytes_s), "/s")),
        (4, _figure(span(latency.p50_s), "", before="p50 ")),
        (2, _figure(span(latency.p99_s), "", before="p99 ")),
        (5, _connections(reading.workers)),
    )
    return [_in_a_row(first, width), _in_a_row(second, width)]


def notices(reading: Reading) -> list[Line]:
    """Say what is not as it should be, or under way."""
    found = [
        (
            Style.BAD,
            f"crash loop: slot {number(each.slot)}, {count(each.failures)} failures, tried again "
            + ("now" if each.next_attempt_s is None else f"in {age(each.next_attempt_s)}")
            + (f": {each.reason}" if each.reason else ""),
        )
        for each in reading.crash_loops
    ]
    if reading.failure:
        ago = "" if reading.failed_at is None else f" {duration(reading.wall_s - reading.failed_at)} ago"
        found.append(
            (Style.BAD, f"last failure{ago}: {next(iter(reading.failure.strip().splitlines()), '')}")
        )
    if reading.under_way:
        found.append((Style.WARNING, f"under way: {', '.join(reading.under_way)}"))
    return [(Piece(text, style),) for style, text in found]


def _figure(text: str, unit: str, style: Style = Style.PLAIN, *, before: str = "") -> tuple[Piece, ...]:
    # As wide with any number, so that what comes after stays where it is.
    told = text.rjust(5)
    strong = Style.STRONG if style is Style.PLAIN else style
    return (Piece(before, Style.FAINT), Piece(told, strong), Piece(unit, Style.FAINT))


def _connections(workers: Sequence[Worker]) -> tuple[Piece, ...]:
    active = _sum(each.active for each in workers)
    idle = _sum(each.idle for each in workers)
    if active is None and idle is None:
        return _figure(count(_sum(each.connections for each in workers)), " connections")
    return (*_figure(count(active), " active"), Piece(" "), *_figure(count(idle), " idle"))


def _in_a_row(items: Iterable[tuple[int, tuple[Piece, ...]]], width: int) -> Line:
    """Put groups of pieces beside one another, without those of the highest ranks that have no room."""
    kept = list(items)

    def taken() -> int:
        return sum(len(piece.text) for _, pieces in kept for piece in pieces) + 2 * (len(kept) - 1)

    while len(kept) > 1 and taken() > width:
        highest = max(kept, key=lambda each: each[0])
        if highest[0] == 0:
            break
        kept.remove(highest)
    line: list[Piece] = []
    for index, (_, pieces) in enumerate(kept):
        line += [Piece("  "), *pieces] if index else pieces
    return fitted(line, width)


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None
