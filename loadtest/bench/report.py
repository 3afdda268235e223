"""
A comparison as one page of HTML that a sceptic can read.

Self-contained: style and pictures are inside, nothing is fetched and no script
runs. Every figure comes with its spread, every server with its command, and what
went wrong is said where it matters.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from bench import plot, scale, verdict
from bench.markup import element, escaped
from bench.result import Cell, Comparison, Metric, Sample, Table

HERE = Path(__file__).parent
DASH = "\N{EN DASH}"
MEDIAN_ROUND_PERCENTILE = 99.0


def render(comparison: Comparison) -> str:
    """Write the page. Whatever is missing is left out or shown as a dash."""
    template = Template((HERE / "report.html").read_text(encoding="utf-8"))
    count = comparison.rounds
    return template.substitute(
        title="Penstock beside its peers",
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        when=escaped(f"{comparison.started_at.replace('T', ' ')}, {_counted(count, 'round')}"),
        machine="\n".join(
            element("div", element("dt", escaped(name)), element("dd", escaped(value)))
            for name, value in comparison.machine.items()
        ),
        command=escaped(comparison.command),
        summary=_summary(comparison),
        absent=_absent(comparison),
        contents=_contents(comparison.tables),
        scenarios="\n".join(_scenario(table, comparison) for table in comparison.tables),
        rounds=escaped(f"here {_counted(count, 'round')} of each"),
    )


def _summary(comparison: Comparison) -> str:
    said = [
        element("li", element("b", escaped(about)), escaped(finding))
        for about, finding in verdict.sentences(comparison)
    ]
    if not said:
        return element("p", "Nothing was compared.")
    opening = (
        "Medians; a ratio below 1 means less than Penstock, above 1 more. "
        "Less is better unless the scenario says otherwise."
    )
    return element("p", opening) + element("ul", *said, class_="summary")


def _absent(comparison: Comparison) -> str:
    if not comparison.absent:
        return ""
    items = [
        element("li", element("b", escaped(server)), f": {escaped(how)}")
        for server, how in comparison.absent.items()
    ]
    return element("div", element("p", "Not here, so not compared:"), _list(items), class_="notes absent")


def _contents(tables: Sequence[Table]) -> str:
    return _list(
        element("li", element("a", escaped(table.title), href=f"#{_anchor(table)}")) for table in tables
    )


def _scenario(table: Table, comparison: Comparison) -> str:
    cells = verdict.ranked(table)
    parts = [
        element("h2", escaped(table.title)),
        *(element("p", escaped(piece)) for piece in re.split(r"\n\s*\n", table.story) if piece.strip()),
        element("div", *_figures(table, cells), class_="figures"),
        _table(table, cells, comparison),
        _notes(cells),
        _commands(table),
    ]
    return element("section", *parts, id=_anchor(table), class_="scenario")


# Pictures.


def _figures(table: Table, cells: Sequence[Cell]) -> list[str]:
    """Draw the first metric as bars, and beside it the latencies, else the second metric."""
    curves = {cell.server: sample.curve for cell in cells if (sample := median_round(cell)) is not None}
    drawn = [element("figure", _bars(metric, cells)) for metric in table.metrics[: 1 if curves else 2]]
    if curves:
        caption = (
            f"Open loop. Each curve is one whole round, the one whose p{MEDIAN_ROUND_PERCENTILE:g} is the "
            f"median of its server's rounds. The dot is the slowest request."
        )
        picture = plot.percentile_plot(curves, f"Latency, {table.title}")
        drawn.append(element("figure", picture, element("figcaption", escaped(caption))))
    return drawn


def _bars(metric: Metric, cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        low, high = cell.spread(metric.key) or (None, None)
        rows.append(plot.Bar(cell.server, cell.median(metric.key), low, high))
    best = "shorter" if metric.lower_is_better else "longer"
    return plot.bars(rows, metric.unit, f"{metric.title}; {best} is better")


def median_round(cell: Cell) -> Sample | None:
    """
    Choose the round whose curve stands for all: the one with the median p99.

    Curves are not averaged: an average of percentiles is the percentile of nothing.
    """
    rounds = sorted((sample for sample in cell.samples if sample.curve), key=_tail_us)
    return rounds[(len(rounds) - 1) // 2] if rounds else None


def _tail_us(sample: Sample) -> int:
    at_least = (value_us for at, value_us in sample.curve if at >= MEDIAN_ROUND_PERCENTILE - 1e-9)
    return next(at_least, sample.curve[-1][1])


# The table.


def _table(table: Table, cells: Sequence[Cell], comparison: Comparison) -> str:
    if not table.metrics:
        return ""
    base, ours = verdict.base_cell(table, comparison.base), verdict.our_cell(table)
    base_name = base.server if base is not None else comparison.base
    first, *others = table.metrics
    head = [
        element("th", "server", scope="col"),
        element("th", escaped(first.title), _small(_direction(first)), scope="col"),
        element("th", "lowest to highest", scope="col"),
        element("th", escaped(f"\N{MULTIPLICATION SIGN} {base_name}"), scope="col"),
        element("th", "\N{MULTIPLICATION SIGN} Penstock", scope="col"),
        *(element("th", escaped(other.title), _small(_direction(other)), scope="col") for other in others),
        element("th", "rounds", scope="col"),
    ]
    rows = []
    for cell in cells:
        columns = [
            element("th", escaped(cell.server), _small(cell.version), scope="row"),
            element("td", _value(cell.median(first.key))),
            element("td", _spread(cell, first)),
            element("td", _value(verdict.ratio(cell, base, first))),
            element("td", _value(verdict.ratio(cell, ours, first))),
            *(
                element("td", _value(cell.median(other.key)), _small(_spread(cell, other)))
                for other in others
            ),
            element("td", f"{len(cell.samples)} of {comparison.rounds}"),
        ]
        rows.append(element("tr", *columns, class_="ours" if verdict.is_ours(cell.server) else "peer"))
    return element(
        "div",
        element("table", element("thead", element("tr", *head)), element("tbody", *rows)),
        class_="scroll",
        tabindex="0",  # So that keys can scroll it.
        role="region",
        aria_label=f"Figures of {table.title}",
    )


def _direction(metric: Metric) -> str:
    return f"{metric.unit}, {'less' if metric.lower_is_better else 'more'} is better".removeprefix(", ")


def _value(value: float | None) -> str:
    return DASH if value is None else escaped(scale.figure(value))


def _spread(cell: Cell, metric: Metric) -> str:
    spread = cell.spread(metric.key)
    return DASH if spread is None else f"{scale.figure(spread[0])}{DASH}{scale.figure(spread[1])}"


# What to know about it.


def _notes(cells: Iterable[Cell]) -> str:
    """Tell what the rounds noted, and why rounds are missing; what was said twice is said once."""
    items = []
    for cell in cells:
        noted = Counter(note for sample in cell.samples for note in sample.notes)
        items += [_note(cell.server, note, count) for note, count in noted.items()]
        items += [_note(cell.server, problem, count) for problem, count in Counter(cell.problems).items()]
        if not cell.samples and not cell.problems:
            items.append(_note(cell.server, "no round gave a figure", 1))
    return element("div", _list(items), class_="notes") if items else ""


def _note(server: str, text: str, count: int) -> str:
    first, _, rest = text.partition("\n")
    often = f" ({count} times)" if count > 1 else ""
    more = element("pre", escaped(rest)) if rest.strip() else ""
    return element("li", element("b", escaped(server)), f": {escaped(first)}{often}", more)


def _commands(table: Table) -> str:
    served = [
        element("dt", escaped(cell.server)) + element("dd", element("code", escaped(cell.command)))
        for cell in table.cells
    ]
    loads = [element("dd", element("code", escaped(command))) for command in table.load_commands]
    if loads:
        loads.insert(0, element("dt", "load"))
    return element("details", element("summary", "The exact commands"), element("dl", *served, *loads))


def _list(items: Iterable[str]) -> str:
    return element("ul", *items)


def _small(text: str) -> str:
    return element("small", escaped(text))


def _anchor(table: Table) -> str:
    return "scenario-" + re.sub(r"[^A-Za-z0-9]+", "-", table.name)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
