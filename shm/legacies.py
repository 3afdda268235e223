"""
What the values of a retired row become: part of the base.

The master folds when it takes a row back. It writes the inactive copy of the
base from the active one and the row, commits with one word, and only then
clears the row. Whoever is interrupted does it again from the beginning: nothing
here reads what it has written.
"""

from collections.abc import Callable, Iterable
from typing import Final

from penstock.shm.exemplars import RECORD_COUNT, ExemplarReading, ExemplarWriter, read_exemplars
from penstock.shm.keylog import Key
from penstock.shm.tidying import is_cluttered, tidy
from penstock.shm.values import REMOVED, CellTable, ValueArea, width

_WORKER_MODE: Final = "all"


def fold_values(
    source: ValueArea,
    base_before: ValueArea,
    base_after: ValueArea,
    *,
    slot: int | None,
    others: Callable[[], Iterable[ValueArea]] | None = None,
) -> None:
    """
    Make `base_after` what `base_before` becomes when the owner of `source` is gone for good.

    What only grows is added. Gauges are combined by their mode: those of the
    `live` modes go with their owner, and one of mode `all` is kept as the
    value of this slot. `others` are all areas but these three that count;
    without them, label sets that were removed are kept.
    """
    if source.is_empty() and base_before.is_empty() and base_after.is_empty():
        return
    base_after.copy_from(base_before)
    table = CellTable(base_after)
    owned = list(source.cells())
    removed = _removals((owned, source.values), (table.items(), base_after.values))
    moved: dict[int, int] = {}  # from a cell of the source to one of the base
    for key, cell in owned:
        if key.family.mode.startswith("live"):
            continue
        if key.family.kind in ("gauge", "stateset", "info") and key.suffix != REMOVED:
            set_at = source.values[cell + width(key) - 1]
            if set_at <= removed.get((key.family.name, key.child), -1.0):
                continue
        kept = key
        if key.family.mode == _WORKER_MODE and slot is not None and key.suffix != REMOVED:
            kept = key._replace(worker=str(slot))
        place = table.place(kept)
        if place is not None:
            moved[cell] = place
            _fold(key, source.values, cell, base_after.values, place)
    _fold_exemplars(source, base_before, base_after, moved)
    if others is not None and is_cluttered(table):
        tidy(base_after, others())


def _removals(
    *areas: tuple[Iterable[tuple[Key, int]], "memoryview[float]"],
) -> dict[tuple[str, tuple[str, ...]], float]:
    removed: dict[tuple[str, tuple[str, ...]], float] = {}
    for cells, values in areas:
        for key, cell in cells:
            if key.suffix == REMOVED and values[cell]:
                name = (key.family.name, key.child)
                removed[name] = max(removed.get(name, 0.0), values[cell])
    return removed


def _fold(key: Key, values: "memoryview[float]", cell: int, base: "memoryview[float]", place: int) -> None:
    if key.suffix == REMOVED:
        base[place] = max(base[place], values[cell])
        return
    if key.family.kind == "info":
        base[place] = max(base[place], values[cell])
        return
    if key.family.kind not in ("gauge", "stateset"):
        base[place] += values[cell]
        return
    value, set_at = values[cell], values[cell + 1]
    before, before_at = base[place], base[place + 1]
    match key.family.mode:
        case "sum":
            value += before
        case "min" if before_at:
            value = min(value, before) if set_at else before
        case "max" if before_at:
            value = max(value, before) if set_at else before
        case "mostrecent" | "" if before_at > set_at:
            value = before
    base[place] = value
    base[place + 1] = max(set_at, before_at) if key.family.mode != _WORKER_MODE else set_at


def _fold_exemplars(
    source: ValueArea, base_before: ValueArea, base_after: ValueArea, moved: dict[int, int]
) -> None:
    """Keep the youngest of both, as many as there is room for."""
    inherited = read_exemplars(source.exemplars)
    if not inherited:
        return
    kept: dict[int, ExemplarReading] = read_exemplars(base_before.exemplars)
    for cell, exemplar in inherited.items():
        place = moved.get(cell)
        if place is not None and (place not in kept or kept[place].timestamp < exemplar.timestamp):
            kept[place] = exemplar
    youngest = sorted(kept.items(), key=lambda item: item[1].timestamp)[-RECORD_COUNT:]
    base_after.exemplars.cast("B")[:] = bytes(base_after.exemplars.nbytes)
    writer = ExemplarWriter(base_after.exemplars)
    for place, exemplar in youngest:
        writer.put(place, exemplar)
