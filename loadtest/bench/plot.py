"""
The two pictures of the bench: latency over percentiles, and bars with a spread.

Both are SVG text that stands alone. What is Penstock's is drawn stronger, for
that is what the reader came to see.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from bench import scale, svg
from bench.markup import element
from bench.verdict import is_ours

# (percentile 0..100, µs), ascending; the last is the maximum.
Curve = tuple[tuple[float, int], ...]

NAME_LETTERS_MAX = 24
LEGEND_LETTERS_MAX = 20  # The figures beside it need the room.
SIDE_LETTERS_MAX = 15
PLOT_HEIGHT = 220
LEFT = 46
SIDE_STEP = svg.TEXT_SIZE + 2
LEGEND_STEP = svg.TEXT_SIZE + 6
ROW_HEIGHT = 24
BAR_HEIGHT = 13

# Percentiles told in words and in the legend.
TOLD_PERCENTILES = (50.0, 99.0, 99.9)

# Curves differ by more than colour: a grey print tells them apart as well.
DASHES = ("none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 3", "6 2 1 2 1 2")


@dataclass(frozen=True)
class Bar:
    """A row of `bars`. None stands for "no value", which is drawn as a dash."""

    name: str
    median: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Line:
    """A curve as it is drawn: points in nines and milliseconds."""

    name: str
    index: int  # Of its colour and its dashes.
    points: tuple[tuple[float, float], ...]

    @property
    def colour(self) -> str:
        return f"var(--line-{self.index % len(svg.LIGHT)})"

    def stroke(self, path: str) -> str:
        return element(
            "path",
            class_="curve",
            d=path,
            style=f"stroke:{self.colour}",
            stroke_width=3 if is_ours(self.name) else 1.8,
            stroke_dasharray=DASHES[self.index % len(DASHES)],
        )


@dataclass(frozen=True)
class _Frame:
    """The rectangle that curves are drawn in, and its two axes."""

    axis: scale.Axis
    end: float  # In nines.
    top: float
    right: float

    @property
    def bottom(self) -> float:
        return self.top + PLOT_HEIGHT

    def x(self, at: float) -> float:
        return LEFT + at / self.end * (self.right - LEFT)

    def y(self, value_ms: float) -> float:
        return self.bottom - self.axis.place(value_ms) * PLOT_HEIGHT


def percentile_plot(curves: Mapping[str, Curve], title: str, cast: Sequence[str] = ()) -> str:
    """
    Draw latency over percentiles, on an axis that gives each further nine the same room.

    Curves without points are named in the legend and not drawn. Plots with the
    same `cast`, the names of all who play in any of them, give a name the same
    colour. Returns SVG.
    """
    lines = _lines(curves, cast)
    heading, top = svg.heading(title)
    names = [svg.shortened(line.name, SIDE_LETTERS_MAX) for line in lines]
    frame = _Frame(
        axis=scale.axis_for(value for line in lines for _, value in line.points),
        end=max([scale.NINES_MIN, *(at for line in lines for at, _ in line.points)]),
        top=top + 30,
        right=svg.WIDTH - 26 - max([0.0, *map(svg.text_width, names)]),
    )
    drawn = [*heading, *_axes(frame)]
    # Ours is drawn last, so that it lies on top.
    for line in sorted(lines, key=lambda line: is_ours(line.name)):
        if line.points:
            drawn.append(
                line.stroke("M" + "L".join(f"{frame.x(a):.1f} {frame.y(v):.1f}" for a, v in line.points))
            )
    drawn += _side_labels([line for line in lines if line.points], frame)
    if not any(line.points for line in lines):
        middle = (LEFT + frame.right) / 2, (frame.top + frame.bottom) / 2
        drawn.append(svg.label("no latencies were measured", *middle, text_anchor="middle", class_="faint"))
    foot = frame.bottom + 62
    for line in lines:
        drawn += _legend_row(line, curves[line.name], foot)
        foot += LEGEND_STEP
    told = "; ".join(f"{name}: {_told(curve)}" for name, curve in curves.items())
    return svg.picture(foot - 4, title, f"Latency over percentiles. {told}.", drawn)


def bars(rows: Sequence[Bar], unit: str, title: str) -> str:
    """
    Draw a bar for each median, with a line from the lowest to the highest value.

    The axis begins at zero, so lengths may be compared. Returns SVG.
    """
    heading, top = svg.heading(title)
    top += 14
    names = [svg.shortened(row.name, NAME_LETTERS_MAX) for row in rows]
    left = 22 + max([0.0, *map(svg.text_width, names)])
    known = [value for row in rows for value in (row.median, row.low, row.high) if _is_drawable(value)]
    figures = [_figure(row.median, unit) for row in rows]
    right = svg.WIDTH - 22 - max([0.0, *map(svg.text_width, figures)])
    axis = scale.Axis(0.0, max([*known, 0.0]) or 1.0, False, ())

    def x(value: float) -> float:
        return left + axis.place(value) * (right - left)

    drawn = [*heading]
    for row, name, figure in zip(rows, names, figures, strict=True):
        drawn += _row(row, name, figure, x, top)
        top += ROW_HEIGHT
    drawn.append(svg.line(left, top - ROW_HEIGHT * len(rows), left, top, "axis"))
    told = "; ".join(f"{row.name}: {_spread_told(row, unit)}" for row in rows)
    return svg.picture(top + 10, title, f"Medians, lowest and highest. {told}.", drawn)


def _lines(curves: Mapping[str, Curve], cast: Sequence[str]) -> list[_Line]:
    """Turn points into places, and give each name a colour: the first one is kept for Penstock."""
    names = list(dict.fromkeys([*cast, *curves]))
    ranked = sorted(names, key=lambda name: not is_ours(name))
    first = 0 if ranked and is_ours(ranked[0]) else 1
    index_of = {name: index for index, name in enumerate(ranked, start=first)}
    return [_Line(name, index_of[name], _points(curve)) for name, curve in curves.items()]


def _points(curve: Curve) -> tuple[tuple[float, float], ...]:
    """
    Place a curve's points. The maximum has no place of its own, for 100 % lies infinitely far:
    it stands above the last percentile before it.
    """
    known = [(at, value_us / 1000) for at, value_us in curve if math.isfinite(at) and math.isfinite(value_us)]
    end = max((scale.nines(at) for at, _ in known if at < 100.0), default=scale.NINES_MIN)
    return tuple((min(scale.nines(at), end), value_ms) for at, value_ms in known)


def _axes(frame: _Frame) -> list[str]:
    drawn = [svg.label("latency, ms", 12, frame.top - 12, class_="faint")]
    for tick in frame.axis.ticks:
        y = frame.y(tick)
        drawn.append(svg.line(LEFT, y, frame.right, y, "grid"))
        drawn.append(svg.label(scale.tick_label(tick), LEFT - 6, y + 4, text_anchor="end", class_="faint"))
    free_from = 0.0
    for percentile in scale.nines_ticks(frame.end):
        x, text = frame.x(scale.nines(percentile)), scale.percentile_label(percentile)
        drawn.append(svg.line(x, frame.top, x, frame.bottom, "grid"))
        half = svg.text_width(text) / 2
        if x - half >= free_from:
            drawn.append(svg.label(text, x, frame.bottom + 18, text_anchor="middle", class_="faint"))
            free_from = x + half + 3
    drawn.append(svg.line(LEFT, frame.bottom, frame.right, frame.bottom, "axis"))
    middle = (LEFT + frame.right) / 2
    text = "percentile of requests; each further nine has the same room"
    drawn.append(svg.label(text, middle, frame.bottom + 37, text_anchor="middle", class_="faint"))
    return drawn


def _side_labels(lines: Sequence[_Line], frame: _Frame) -> list[str]:
    """Write each curve's name beside its end; names that would lie over each other move apart."""
    ends = sorted(((frame.y(line.points[-1][1]), line) for line in lines), key=lambda end: end[0])
    places: list[float] = []
    for y, _ in ends:
        places.append(max(y, places[-1] + SIDE_STEP) if places else y)
    floor = max(frame.bottom, frame.top + SIDE_STEP * (len(places) - 1))
    for index in reversed(range(len(places))):
        places[index] = min(places[index], floor)
        floor = places[index] - SIDE_STEP
    drawn = []
    for (y, line), place in zip(ends, places, strict=True):
        x = frame.x(line.points[-1][0])
        drawn.append(svg.line(x, y, frame.right + 8, place, "leader"))
        drawn.append(element("circle", cx=x, cy=y, r=2.8, style=f"fill:{line.colour}"))
        name = svg.shortened(line.name, SIDE_LETTERS_MAX)
        weight = "ours" if is_ours(line.name) else "peer"
        drawn.append(svg.label(name, frame.right + 11, place + 4, class_=weight))
    return drawn


def _legend_row(line: _Line, curve: Curve, y: float) -> list[str]:
    name = svg.shortened(line.name, LEGEND_LETTERS_MAX)
    weight = "ours" if is_ours(line.name) else "peer"
    return [
        line.stroke(f"M12 {y - 4:.1f}H38"),
        svg.label(name, 46, y, class_=weight),
        svg.label(_told(curve), svg.WIDTH - 14, y, text_anchor="end", class_="faint"),
    ]


def _told(curve: Curve) -> str:
    """Say the percentiles that people ask for, in milliseconds."""
    if not curve:
        return "no latencies"
    told = []
    for percentile in TOLD_PERCENTILES:
        value_us = next((value_us for at, value_us in curve if at >= percentile - 1e-9), curve[-1][1])
        told.append(f"p{percentile:g} {scale.figure(value_us / 1000)}")
    return ", ".join([*told, f"max {scale.figure(curve[-1][1] / 1000)} ms"])


def _row(row: Bar, name: str, figure: str, x: Callable[[float], float], top: float) -> list[str]:
    middle = top + ROW_HEIGHT / 2
    weight = "ours" if is_ours(row.name) else "peer"
    left = x(0.0)
    drawn = [svg.label(name, left - 8, middle + 4, text_anchor="end", class_=weight)]
    end = left
    if _is_drawable(row.median):
        end = x(row.median)
        drawn.append(
            element(
                "rect",
                class_=f"bar {weight}",
                x=left,
                y=middle - BAR_HEIGHT / 2,
                width=max(end - left, 1.0),
                height=BAR_HEIGHT,
                rx=1.5,
            )
        )
    if _is_drawable(row.low) and _is_drawable(row.high):
        low, high = x(row.low), x(row.high)
        caps = (
            f"M{low:.1f} {middle - 4:.1f}v8M{low:.1f} {middle:.1f}H{high:.1f}M{high:.1f} {middle - 4:.1f}v8"
        )
        drawn.append(element("path", class_="spread", d=caps))
        end = max(end, high)
    drawn.append(svg.label(figure, end + 8, middle + 4, class_=weight))
    return drawn


def _is_drawable(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _figure(value: float | None, unit: str) -> str:
    return f"{scale.figure(value)} {unit}".rstrip() if value is not None else "\N{EN DASH}"


def _spread_told(row: Bar, unit: str) -> str:
    if row.median is None:
        return "no value"
    told = _figure(row.median, unit)
    if row.low is None or row.high is None:
        return told
    return f"{told} ({scale.figure(row.low)} to {scale.figure(row.high)})"
