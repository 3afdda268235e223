"""
Figures that are measured in rounds, and what they are held against.

Pure: it knows names, numbers and verdicts, not how any of them is measured.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MET: Final = "met"
MISSED: Final = "missed"
ABSENT: Final = "not there yet"

# Of a round: figures by key. None is one that this release cannot measure.
Round = Mapping[str, float | None]


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    key: str
    title: str
    unit: str
    target: float | None = None
    # The figure that this one is divided by, and what the ratio may be.
    beside: str | None = None
    ratio_max: float | None = None
    # Whether the worst round is what is judged, as of an error; else the median.
    is_worst_judged: bool = False


@dataclass(frozen=True)
class Result:
    """A figure with what the rounds have found."""

    figure: Figure
    values: tuple[float, ...]
    ratio: float | None = None

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the targets are met; empty if there are none."""
        if not self.values:
            return ABSENT
        if self.figure.target is None and self.figure.ratio_max is None:
            return ""
        judged = max(self.values) if self.figure.is_worst_judged else self.median
        is_met = self.figure.target is None or judged <= self.figure.target
        if self.figure.ratio_max is not None:
            is_met = is_met and self.ratio is not None and self.ratio <= self.figure.ratio_max
        return MET if is_met else MISSED


def gather(figures: Sequence[Figure], rounds: Sequence[Round]) -> list[Result]:
    """
    Make results of rounds.

    A ratio is the median of the rounds' ratios: what a round shares, such as
    a busy neighbour, is in both of its figures.
    """
    return [Result(figure, tuple(_values(figure.key, rounds)), _ratio(figure, rounds)) for figure in figures]


def _values(key: str, rounds: Iterable[Round]) -> Iterable[float]:
    for each in rounds:
        value = each.get(key)
        if value is not None:
            yield value


def _ratio(figure: Figure, rounds: Iterable[Round]) -> float | None:
    if figure.beside is None:
        return None
    ratios = []
    for each in rounds:
        value, beside = each.get(figure.key), each.get(figure.beside)
        if value is not None and beside:
            ratios.append(value / beside)
    return statistics.median(ratios) if ratios else None


def table(results: Sequence[Result]) -> str:
    """Write the results as a table of Markdown."""
    titles = {result.figure.key: result.figure.title for result in results}
    lines = ["| figure | median (spread) | target | ratio | verdict |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(_cells(result, titles)) + " |" for result in results]
    return "\n".join(lines)


def _cells(result: Result, titles: Mapping[str, str]) -> list[str]:
    figure = result.figure
    measured = ""
    if result.values:
        low, high = min(result.values), max(result.values)
        measured = f"{number(result.median)} {figure.unit} ({number(low)}-{number(high)})"
    target = "" if figure.target is None else f"{number(figure.target)} {figure.unit}"
    if figure.ratio_max is not None:
        target = f"{target}, {figure.ratio_max:g} x".removeprefix(", ")
    ratio = ""
    if result.ratio is not None and figure.beside is not None:
        ratio = f"{number(result.ratio)} x {titles[figure.beside]}"
    return [figure.title, measured, target, ratio, result.verdict]


def number(value: float) -> str:
    """Write a number with three digits, or all of those before the point."""
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def plain(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Make what JSON can hold of the results."""
    return [
        {
            "key": result.figure.key,
            "title": result.figure.title,
            "unit": result.figure.unit,
            "median": result.median if result.values else None,
            "values": list(result.values),
            "target": result.figure.target,
            "beside": result.figure.beside,
            "ratio": result.ratio,
            "ratio_max": result.figure.ratio_max,
            "verdict": result.verdict,
        }
        for result in results
    ]
