"""
The values of the app's metrics in one row, and where each of them lies.

An area is three sections of a row: values (8-byte floats), the key log that
says whose they are, and exemplars. It has one writer. The cells of a key follow
in the order of the log, so a key's place needs no word of its own:

    a gauge       value, and when it was set, in seconds since 1970; 0 is never
    a stateset    index of the state, and when it was set
    an info       when it was set
    anything else one number
    a removal     of a label set, by whoever called `remove` or `clear`; 0 is none

When an area is full, a new label set is counted under the label values
`_overflow` of its metric, for which some room is kept back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from penstock.shm.exemplars import AREA_WORDS
from penstock.shm.keylog import FIRST_ENTRY, USED, Family, Key, KeyReader, KeyWriter, LogFull
from penstock.shm.layout import WORD_SIZE
from penstock.shm.schema import VALUE_COUNT

# What only overflow series, and the rest of a label set that was begun, may use.
RESERVED_VALUES: Final = 512
RESERVED_WORDS: Final = 1_536

OVERFLOW: Final = "_overflow"

# The suffix of the cell that says that a label set was removed. No sample's name ends so.
REMOVED: Final = "-"

# Whose label sets have several values, of one cell each.
_GROUPED: Final = ("histogram", "summary")

# Kept by the area itself, in every one.
DROPPED: Final = Key(
    Family(
        "counter",
        "",
        "penstock_app_series_dropped",
        (),
        "Label sets of the app's metrics for which there was no room; counted under `_overflow`.",
    ),
    "_total",
    (),
)
CONFLICTS: Final = Key(
    Family(
        "counter",
        "",
        "penstock_app_metric_conflicts",
        (),
        "Metrics of the app that have the name of another one of another type, mode or labels.",
    ),
    "_total",
    (),
)


def width(key: Key) -> int:
    """Tell how many cells a key takes."""
    return 2 if key.family.kind in ("gauge", "stateset") and key.suffix != REMOVED else 1


@dataclass(frozen=True, slots=True)
class ValueArea:
    """Three sections of a row: values as "d", keys and exemplars as "Q"."""

    values: "memoryview[float]"
    keys: memoryview
    exemplars: memoryview

    @classmethod
    def scratch(cls, value_count: int = VALUE_COUNT, key_words: int = VALUE_COUNT) -> "ValueArea":
        """Make an area that is shared with nobody."""
        return cls(
            memoryview(bytearray(value_count * WORD_SIZE)).cast("d"),
            memoryview(bytearray(key_words * WORD_SIZE)).cast("Q"),
            memoryview(bytearray(AREA_WORDS * WORD_SIZE)).cast("Q"),
        )

    def is_empty(self) -> bool:
        """Say whether nothing was ever kept here."""
        return not len(self.keys) or self.keys[USED] <= FIRST_ENTRY

    def cells(self) -> Iterator[tuple[Key, int]]:
        """Give the keys that can be read, and the first cell of each."""
        cell = 0
        for key in KeyReader(self.keys).read():
            end = cell + width(key)
            if end > len(self.values):
                return
            yield key, cell
            cell = end

    def copy_from(self, other: "ValueArea") -> None:
        """Become like another area of the same size, which nobody writes meanwhile."""
        used = other.keys[USED]
        self.keys[USED] = 0
        self.keys[FIRST_ENTRY:used] = other.keys[FIRST_ENTRY:used]
        self.values[:] = other.values
        self.exemplars[:] = other.exemplars
        self.keys[USED] = used


class CellTable:
    """Finds and makes the cells of an area, as its one writer. Not for two threads at once."""

    def __init__(self, area: ValueArea) -> None:
        self.area = area
        self._writer = KeyWriter(area.keys)
        self._cells: dict[Key, int] = {}
        self._count = 0
        self._begun: set[tuple[Family, tuple[str, ...], str]] = set()
        # Of each family with several values a label set: those of the first one, in their order.
        self._patterns: dict[
            Family, tuple[tuple[tuple[str, ...], str], list[tuple[str, tuple[str, ...]]]]
        ] = {}
        self._refused: object = None
        for key in self._writer.keys:
            self._note(key)
        self._dropped = self._make(DROPPED)
        self._conflicts = self._make(CONFLICTS)

    @property
    def count(self) -> int:
        """How many cells are in use."""
        return self._count

    def items(self) -> Iterable[tuple[Key, int]]:
        """Give all keys and the first cell of each."""
        return self._cells.items()

    def find(self, key: Key) -> int | None:
        """Give the first cell of a key, if it has one."""
        return self._cells.get(key)

    def place(self, key: Key) -> int | None:
        """
        Give the first cell of a key, which is new if need be.

        With the area full it is the cell of the metric's overflow series, or
        None if there is no room for that either.
        """
        cell = self._cells.get(key)
        if cell is not None:
            return cell
        child = (key.family, key.child, key.worker)
        if child in self._begun or self._has_room():
            cell = self._make(key)
            if cell is not None:
                return cell
        if child != self._refused:
            self._refused = child
            self.count_dropped()
        if key.family.kind == "info" or key.suffix == REMOVED:
            return None
        names = len(key.family.label_names)
        return self._make(key._replace(values=(OVERFLOW,) * names + key.values[names:]))

    def count_dropped(self) -> None:
        """Count a label set that has no cells of its own."""
        if self._dropped is not None:
            self.area.values[self._dropped] += 1

    def count_conflict(self) -> None:
        """Count a metric that cannot be kept because another has its name."""
        if self._conflicts is not None:
            self.area.values[self._conflicts] += 1

    def _has_room(self) -> bool:
        # A tiny area, as in a test, keeps back an eighth.
        values, words = len(self.area.values), len(self.area.keys)
        return self._count < values - min(RESERVED_VALUES, values // 8) and self._writer.end < words - min(
            RESERVED_WORDS, words // 8
        )

    def _make(self, key: Key) -> int | None:
        cell = self._cells.get(key)
        if cell is not None:
            return cell
        cell = self._make_group(key)
        if cell is not None:
            return cell
        if self._count + width(key) > len(self.area.values):
            return None
        try:
            self._writer.append(key, limit=len(self.area.keys))
        except LogFull:
            return None
        return self._note(key)

    def _make_group(self, key: Key) -> int | None:
        """Make all cells of a label set at once, if it is the first of them and another one shows which."""
        known = self._patterns.get(key.family)
        if known is None or len(known[1]) < 2 or known[1][0][0] != key.suffix:
            return None
        pattern = tuple(known[1])
        if self._count + len(pattern) > len(self.area.values):
            return None
        keys = [key._replace(suffix=suffix, values=key.child + more) for suffix, more in pattern]
        if any(each in self._cells for each in keys):
            return None
        try:
            self._writer.append_group(key, pattern, limit=len(self.area.keys))
        except LogFull:
            return None
        for each in keys:
            self._note(each)
        return self._cells[key]

    def _note(self, key: Key) -> int:
        cell = self._cells[key] = self._count
        self._count += width(key)
        if key.suffix != REMOVED:
            if key.family.kind in _GROUPED:
                names = len(key.family.label_names)
                pattern = self._patterns.setdefault(key.family, ((key.child, key.worker), []))
                if pattern[0] == (key.child, key.worker):
                    pattern[1].append((key.suffix, key.values[names:]))
            self._begun.add((key.family, key.child, key.worker))
        return cell
