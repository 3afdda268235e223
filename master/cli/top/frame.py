"""
A whole frame: the sections, in as many lines as there are.

What matters most has its lines first: the head, what is wrong, some of the
workers, some of the requests. What is left goes to those who have more to say.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from penstock.master.cli.top.head import head, notices
from penstock.master.cli.top.line import Line, Piece, Style, fitted, in_ascii
from penstock.master.cli.top.listeners import listeners
from penstock.master.cli.top.options import SORTS, Options
from penstock.master.cli.top.rates import rates_between
from penstock.master.cli.top.reading import Reading
from penstock.master.cli.top.requests import requests
from penstock.master.cli.top.upstreams import upstreams
from penstock.master.cli.top.workers import workers

# From this height on there is a line's space between the sections.
AIRY_HEIGHT: Final = 20
# For `--once`: whoever reads a file scrolls.
ENDLESS: Final = 10_000


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to show: the last reading, one from before it, and why there is none since."""

    current: Reading | None = None
    before: Reading | None = None
    trouble: str = ""


class _Section(NamedTuple):
    """Lines that belong together. `least` of them come before anybody's others; the first is a heading."""

    lines: Sequence[Line]
    least: int
    skip: int = 0  # lines after the heading, to leave out


def frame(view: View, width: int, height: int, options: Options) -> list[Line]:
    """Make at most `height` lines, each at most `width` cells wide."""
    if width <= 0 or height <= 0:
        return []
    foot = [_foot(options, width)] if options.is_live and height > 2 else []
    body = _help() if options.is_help else _body(view, width, height - len(foot), options)
    lines = [fitted(line, width) for line in body[: height - len(foot)]]
    if foot:
        lines += [()] * (height - len(foot) - len(lines)) + foot
    return lines if options.is_unicode else [in_ascii(line) for line in lines]


def _body(view: View, width: int, height: int, options: Options) -> list[Line]:
    lines: list[Line] = [(Piece(view.trouble, Style.BAD),)] if view.trouble else []
    if view.current is None:
        return lines or [(Piece("asking the server", Style.FAINT),)]
    reading = view.current
    rates = rates_between(view.before, reading)
    lines += head(reading, rates, width)
    lines += notices(reading)[: max(0, height // 3)]
    rows = workers(reading, rates, options, width)
    parts = [
        _Section(rows, least=5, skip=min(options.skip, max(0, len(rows) - 2))),
        _Section(listeners(reading, width) if reading.listeners else (), least=2),
        _Section(upstreams(reading, rates, width) if reading.backends else (), least=3),
        _Section(requests(reading, width), least=4),
    ]
    gap = 1 if height >= AIRY_HEIGHT else 0
    return lines + _arranged(parts, height - len(lines), gap, width)


def _arranged(parts: Sequence[_Section], room: int, gap: int, width: int) -> list[Line]:
    """Share out the lines that there are."""
    given = [0] * len(parts)
    # Workers, requests, listeners, upstreams; in the same order for the rest.
    order = (0, 3, 1, 2)
    for is_first_round in (True, False):
        for index in order:
            part = parts[index]
            want = min(part.least, len(part.lines)) if is_first_round else len(part.lines)
            price = 0 if given[index] or not want else gap
            more = min(want - given[index], room - price)
            # A heading alone says nothing.
            if more > 0 and (given[index] or more > 1 or len(part.lines) == 1):
                given[index] += more
                room -= more + price
    lines: list[Line] = []
    for part, count in zip(parts, given, strict=True):
        if count:
            lines += [()] * gap
            lines += _cut(part, count, width)
    return lines


def _cut(part: _Section, count: int, width: int) -> list[Line]:
    """Give so many lines of a section, and say how many there are besides."""
    heading, rows = part.lines[0], part.lines[1:]
    shown = count - 1
    if len(rows) <= shown:
        return list(part.lines)
    if shown == 1:
        # One row says more than how many there are.
        return [heading, rows[min(part.skip, len(rows) - 1)]]
    skip = min(part.skip, len(rows) - shown + 1)
    visible = rows[skip : skip + shown - 1]
    below, above = len(rows) - skip - len(visible), skip
    told = " and ".join(
        f"{number} {where}" for number, where in ((above, "above"), (below, "more")) if number
    )
    return [heading, *visible, fitted([Piece(f"  … {told}", Style.FAINT)], width)]


def _foot(options: Options, width: int) -> Line:
    keys = f" q quit  s sort: {options.sort}  p pause  ? help"
    paused = "  PAUSED" if options.is_paused else f"  every {options.interval_s:g}s"
    text = keys + paused if len(keys + paused) <= width else f" q ? help{paused}"
    return fitted([Piece(text.ljust(width), Style.HEADING)], width)


def _help() -> list[Line]:
    told = [
        ("", "penstock top: a running server, live"),
        ("", ""),
        ("q", "quit, as do Esc and Ctrl-C"),
        ("s", f"sort the workers by the next of {', '.join(SORTS)}"),
        ("S", "sort by the one before"),
        ("j, k", "or the arrows: further down and up in the workers"),
        ("p", "pause: this frame stays; space does the same"),
        ("?", "help, and back from it"),
        ("", ""),
        ("req/s", "requests that ended, and 5xx of them (err/s), of the last two seconds"),
        ("p50", "half of the requests of the last 5 s took no longer; p99: 99 of 100"),
        ("CPU%", "of one core"),
        ("ACTV", "connections with a request in flight; IDLE: without"),
        ("LAG", "how late the worker's loop is, or how long it has been blocked"),
        ("QUEUED", "connections not yet accepted; requests that wait for a server"),
        ("FAIL/S", "requests that an upstream server did not answer"),
        ("-", "the server does not tell, or there was nothing to measure"),
    ]
    return [(Piece(key.ljust(8), Style.STRONG), Piece(text)) if key else (Piece(text),) for key, text in told]
