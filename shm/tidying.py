"""
Taking out of the base what nobody will ask for again.

An app whose label sets come and go (a gauge for each job, removed at its end)
leaves each of them in the base, with the note that it was removed. When there
are many, the copy that is being written is written anew without them.

Only label sets that no living worker has are taken out: to drop a part of a
counter that somebody still adds to would be to have it fall.
"""

from collections.abc import Collection, Iterable
from typing import Final

from penstock.shm.keylog import USED, Key
from penstock.shm.values import REMOVED, CellTable, ValueArea, width

# Of the values that there is room for: with more of them removed, tidying is worth its milliseconds.
_CLUTTER_SHARE: Final = 16

_LabelSet = tuple[str, tuple[str, ...]]


def is_cluttered(table: CellTable) -> bool:
    """Say whether many label sets were removed."""
    values = table.area.values
    removed = sum(key.suffix == REMOVED and values[cell] > 0 for key, cell in table.items())
    return removed > len(values) // _CLUTTER_SHARE


def tidy(area: ValueArea, others: Iterable[ValueArea]) -> None:
    """Write an area anew without the removed label sets that none of the others has. Nobody reads it yet."""
    kept = list(_kept(area, {_label_set(key) for other in others for key, _ in other.cells()}))
    area.keys[USED] = 0
    area.values[:] = memoryview(bytes(area.values.nbytes)).cast("d")
    # Their cells are other ones now; those of the next owners come soon.
    area.exemplars[:] = memoryview(bytes(area.exemplars.nbytes)).cast("Q")
    table = CellTable(area)
    for key, numbers in kept:
        place = table.place(key)
        assert place is not None, "what had room among more has room among less"
        for offset, number in enumerate(numbers):
            area.values[place + offset] = number


def _kept(area: ValueArea, in_use: Collection[_LabelSet]) -> Iterable[tuple[Key, list[float]]]:
    entries: list[tuple[Key, list[float]]] = [
        (key, list(area.values[cell : cell + width(key)])) for key, cell in area.cells()
    ]
    removed = {
        _label_set(key): numbers[0]
        for key, numbers in entries
        if key.suffix == REMOVED and numbers[0] and _label_set(key) not in in_use
    }
    progress: dict[_LabelSet, float] = {}
    for key, numbers in entries:
        if key.suffix in ("_total", "_count", "_bucket"):
            progress[_label_set(key)] = progress.get(_label_set(key), 0.0) + numbers[0]
    for key, numbers in entries:
        name = _label_set(key)
        if name in removed:
            if key.suffix == REMOVED:
                continue
            is_timed = key.family.kind in ("gauge", "stateset", "info")
            if numbers[-1] <= removed[name] if is_timed else progress.get(name, 0.0) < removed[name]:
                continue
        yield key, numbers


def _label_set(key: Key) -> _LabelSet:
    return key.family.name, key.child
