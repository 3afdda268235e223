"""
Tables of a comparison for the terminal: medians, spread and ratios.
"""

from bench.result import Cell, Metric, Table
from bench.verdict import OURS, base_cell, our_cell, ratio

BASE = "floor+task"
NAME_WIDTH = 15


def as_text(table: Table) -> str:
    """Write one scenario's table."""
    base = base_cell(table, BASE) if any(cell.server == BASE for cell in table.cells) else None
    ours = our_cell(table)
    lines = [f"\n{table.title}", " " * NAME_WIDTH + "".join(f"{_heading(m):>34}" for m in table.metrics)]
    first = table.metrics[0]
    for cell in table.cells:
        line = f"{cell.server:{NAME_WIDTH}}" + "".join(f"{_figure(cell, m):>34}" for m in table.metrics)
        for name, reference in ((BASE, base), (OURS, ours)):
            times = ratio(cell, reference, first)
            if reference is not None and reference is not cell and times is not None:
                line += f"   {times:.2f} x {name}"
        lines.append(line.rstrip())
        lines += [f"{'':{NAME_WIDTH}}{note}" for note in _remarks(cell)]
    return "\n".join(lines)


def _heading(metric: Metric) -> str:
    return f"{metric.title} [{metric.unit}]"[:33]


def _figure(cell: Cell, metric: Metric) -> str:
    median, spread = cell.median(metric.key), cell.spread(metric.key)
    if median is None or spread is None:
        return "-"
    return f"{_number(median)} ({_number(spread[0])}-{_number(spread[1])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _remarks(cell: Cell) -> list[str]:
    notes = [note for sample in cell.samples for note in sample.notes]
    return list(dict.fromkeys([*notes, *cell.problems]))
