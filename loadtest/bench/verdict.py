"""
What a comparison says, in ratios and in plain words.

Computed from the medians, whoever wins; a difference that the spread of the
rounds covers is called one.
"""

from bench import scale
from bench.result import Cell, Comparison, Metric, Table

OURS = "penstock"
FLOOR = "floor"


def is_ours(name: str) -> bool:
    """Whether a server is Penstock, in whatever variant."""
    return name.lower().startswith(OURS)


def is_floor(name: str) -> bool:
    """Whether a server is a floor: no server one could use, but a bound below them all."""
    return name.lower().startswith(FLOOR)


def our_cell(table: Table) -> Cell | None:
    """Find Penstock in a table: the plain one, else its first variant."""
    ours = [cell for cell in table.cells if is_ours(cell.server)]
    return next((cell for cell in ours if cell.server == OURS), ours[0] if ours else None)


def base_cell(table: Table, base: str) -> Cell | None:
    """Find the server that ratios are made to: the named one, else the first."""
    return next((cell for cell in table.cells if cell.server == base), next(iter(table.cells), None))


def ratio(cell: Cell, reference: Cell | None, metric: Metric) -> float | None:
    """Divide two medians; None when one is missing, or nothing can be divided by it."""
    value = cell.median(metric.key)
    against = reference.median(metric.key) if reference is not None else None
    return None if value is None or not against else value / against


def overlaps(cell: Cell, other: Cell, metric: Metric) -> bool:
    """Whether the rounds of two servers overlap, so that their order may be chance."""
    spread, other_spread = cell.spread(metric.key), other.spread(metric.key)
    if spread is None or other_spread is None:
        return False
    return spread[0] <= other_spread[1] and other_spread[0] <= spread[1]


def ranked(table: Table) -> list[Cell]:
    """Order a table's servers by its first metric, the best first, those without a value last."""
    if not table.metrics:
        return list(table.cells)
    metric = table.metrics[0]
    sign = 1 if metric.lower_is_better else -1
    medians = {id(cell): cell.median(metric.key) for cell in table.cells}

    def rank(cell: Cell) -> tuple[bool, float]:
        median = medians[id(cell)]
        return median is None, sign * (median or 0.0)

    return sorted(table.cells, key=rank)


def sentences(comparison: Comparison) -> list[tuple[str, str]]:
    """Sum each scenario up: its title and metric, and what was found about Penstock beside the others."""
    found = []
    for table in comparison.tables:
        if table.metrics:
            metric = table.metrics[0]
            about = f"{table.title}: {metric.title}" + ("" if metric.lower_is_better else " (more is better)")
            found.append((about, _finding(table, metric, comparison.base)))
    return found


def _finding(table: Table, metric: Metric, base: str) -> str:
    ours = our_cell(table)
    value = ours.median(metric.key) if ours is not None else None
    if ours is None or value is None:
        return "Penstock has no figure here."
    said = f"Penstock {quantity(value, metric)}"
    floor = base_cell(table, base)
    to_floor = ratio(ours, floor, metric)
    if floor is not None and floor is not ours and to_floor is not None:
        said += f", {times(to_floor)} {floor.server}"
    beside = ", ".join(
        _beside(cell, ours, metric)
        for cell in ranked(table)
        if not is_ours(cell.server) and not is_floor(cell.server) and cell.median(metric.key) is not None
    )
    if not beside:
        return f"{said}."
    return f"{said}. In multiples of Penstock's: {beside}." if value else f"{said}. The others: {beside}."


def _beside(cell: Cell, ours: Cell, metric: Metric) -> str:
    """Put a peer beside Penstock: by a ratio, or by its value where Penstock's is 0."""
    against = ratio(cell, ours, metric)
    if against is None:
        value = cell.median(metric.key)
        assert value is not None
        return f"{cell.server} {quantity(value, metric)}"
    told = f"{cell.server} {scale.figure(against)}"
    return f"{told} (the rounds overlap)" if overlaps(cell, ours, metric) else told


def times(value: float) -> str:
    """Write a ratio."""
    return f"{scale.figure(value)} \N{MULTIPLICATION SIGN}"


def quantity(value: float, metric: Metric) -> str:
    """Write a value with its unit."""
    return f"{scale.figure(value)} {metric.unit}".rstrip()
