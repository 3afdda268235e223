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
NOTES_OPEN_MAX = 8


def render(comparison: Comparison) -> str:
    """Write the page. Whatever is missing is left out or shown as a dash."""
    template = Template((HERE / "report.html").read_text(encoding="utf-8"))
    count = comparison.rounds
    return template.substitute(
        title="Penstock beside its peers",
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        when=escaped(f"{_moment(comparison.started_at)}, {_counted(count, 'round')}"),
        machine="\n".join(
            element("div", element("dt", escaped(name)), element("dd", escaped(value)))
            for name, value in comparison.machine.items()
        ),
        command=escaped(comparison.command),
        summary=_summary(comparison),
        absent=_absent(comparison),
        contents=_contents(comparison.tables),
        scenarios="\n".join(_scenario(table, comparison) for table in comparison.tables),
        rounds=escaped(
            f"here {_counted(count, 'round')}, and fewer where a scenario takes long or hardly varies"
        ),
    )


def _summary(comparison: Comparison) -> str:
    said = [
        element("li", element("b", escaped(about)), escaped(finding))
        for about, finding in verdict.sentences(comparison)
    ]
    if not said:
        return element("p", "Nothing was compared.")
    opening = (
        "Medians of all rounds. A multiple above 1 means that a peer took more than Penstock, below 1 less; "
        "less is better unless it says otherwise."
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
        element("div", *_figures(table, cells, _cast(comparison)), class_="figures"),
        _table(table, cells, comparison),
        _notes(cells),
        _commands(table),
    ]
    return element("section", *parts, id=_anchor(table), class_="scenario")


# Pictures.


def _figures(table: Table, cells: Sequence[Cell], cast: Sequence[str]) -> list[str]:
    """Draw the first two metrics as bars, and beside them the latencies."""
    curves = {cell.server: sample.curve for cell in cells if (sample := median_round(cell)) is not None}
    drawn = [element("figure", _bars(metric, cells)) for metric in table.metrics[:2]]
    if not curves:
        return drawn
    caption = (
        f"Open loop. Each curve is one whole round, the one whose p{MEDIAN_ROUND_PERCENTILE:g} is the "
        "median of its server's rounds. The dot is the slowest request."
    )
    picture = plot.percentile_plot(curves, f"Latency: {table.title}", cast)
    return [element("div", *drawn), element("figure", picture, element("figcaption", escaped(caption)))]


def _bars(metric: Metric, cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        low, high = cell.spread(metric.key) or (None, None)
        rows.append(plot.Bar(cell.server, cell.median(metric.key), low, high))
    best = "shorter" if metric.lower_is_better else "longer"
    return plot.bars(rows, metric.unit, f"{_title(metric)}; {best} is better")


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
    first, *others = table.metrics
    references = _references(table, comparison.base)
    head = [
        element("th", "server", scope="col"),
        _head(first),
        element("th", "spread", _small(f"lowest{DASH}highest"), scope="col"),
        *(element("th", f"\N{MULTIPLICATION SIGN} {escaped(name)}", scope="col") for name in references),
        *map(_head, others),
        element("th", "rounds", scope="col"),
    ]
    rows = []
    for cell in cells:
        columns = [
            element("th", escaped(cell.server), _small(cell.version), scope="row"),
            element("td", _value(cell.median(first.key))),
            element("td", _spread(cell, first)),
            *(element("td", _value(verdict.ratio(cell, each, first))) for each in references.values()),
            *(element("td", _value(cell.median(each.key)), _small(_spread(cell, each))) for each in others),
            element("td", str(len(cell.values(first.key))), _failed(cell)),
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


def _failed(cell: Cell) -> str:
    return _small(f"{len(cell.problems)} failed") if cell.problems else ""


def _references(table: Table, base: str) -> dict[str, Cell]:
    """Choose the columns of ratios: only to what can be divided by, and to nobody twice."""
    chosen = (verdict.base_cell(table, base), verdict.our_cell(table))
    return {cell.server: cell for cell in chosen if cell is not None and cell.median(table.metrics[0].key)}


def _head(metric: Metric) -> str:
    return element("th", escaped(_title(metric)), _small(_direction(metric)), scope="col")


def _title(metric: Metric) -> str:
    """Begin a title with a capital, unless it begins with a name such as p99."""
    return re.sub(r"^[a-z](?=[a-z]* )|^[a-z](?=[a-z]+$)", lambda first: first[0].upper(), metric.title)


def _direction(metric: Metric) -> str:
    return f"{metric.unit}, {'less' if metric.lower_is_better else 'more'} is better".removeprefix(", ")


def _value(value: float | None) -> str:
    return DASH if value is None else escaped(scale.figure(value))


def _spread(cell: Cell, metric: Metric) -> str:
    spread = cell.spread(metric.key)
    if spread is None:
        return DASH
    if len(cell.values(metric.key)) == 1:
        return "one round"
    low, high = map(scale.figure, spread)
    return low if low == high else f"{low}{DASH}{high}"


# What to know about it.


def _notes(cells: Iterable[Cell]) -> str:
    """
    Tell why rounds are missing, and what the others noted; what was said twice is said once.

    Many notes are folded up, failures never.
    """
    problems, notes = [], []
    for cell in cells:
        problems += [_note(cell.server, problem, count) for problem, count in Counter(cell.problems).items()]
        if not cell.samples and not cell.problems:
            problems.append(_note(cell.server, "no round gave a figure", 1))
        noted = Counter(note for sample in cell.samples for note in sample.notes)
        notes += [_note(cell.server, note, count) for note, count in noted.items()]
    if len(notes) <= NOTES_OPEN_MAX:
        problems, notes = problems + notes, []
    return "".join(
        (
            element("div", _list(problems), class_="notes") if problems else "",
            element("details", element("summary", f"{len(notes)} notes on single rounds"), _list(notes))
            if notes
            else "",
        )
    )


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


def _cast(comparison: Comparison) -> list[str]:
    """Name all servers of all scenarios, so that each has one colour throughout."""
    return list(dict.fromkeys(cell.server for table in comparison.tables for cell in table.cells))


def _list(items: Iterable[str]) -> str:
    return element("ul", *items)


def _small(text: str) -> str:
    return element("small", escaped(text))


def _moment(iso: str) -> str:
    """Write a moment for people: to the second, and UTC by its name."""
    return re.sub(r"(\.\d+)?(\+00:00|Z)$", " UTC", iso.replace("T", " ", 1))


def _anchor(table: Table) -> str:
    return "scenario-" + re.sub(r"[^A-Za-z0-9]+", "-", table.name)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
