"""
What prometheus_client keeps a number in: `values.ValueClass`, over cells of a row.

Each row has one writer, this process, and CPython runs one thread at a time:
between the load and the store of `cells[i] += amount` there is no point at
which it would switch, so long as both operands are floats. Hence no lock. An
interpreter without the global lock takes one.

A value that was made before there is a row, or for which there is no room, has
cells of its own.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from penstock.shm.exemplars import ExemplarReading
from penstock.shm.keylog import Key

HAS_GIL: Final = getattr(sys, "_is_gil_enabled", lambda: True)()

_time: Final = time.time


class Keeper(Protocol):
    """Who knows where values lie, as far as a value asks."""

    def total(self, value: "Value") -> float:
        """Give the number of all workers."""

    def keep_exemplar(self, value: "Value", exemplar: ExemplarReading) -> None:
        """Keep an exemplar where all can see it."""

    def exemplar_of(self, value: "Value") -> ExemplarReading | None:
        """Give the last exemplar of all workers."""

    def note_reset(self, key: Key) -> None:
        """Note that the app has tried to set a counter back."""


class Value:
    """A number that only grows: a counter, a count, a sum, a bucket."""

    __slots__ = ("_cells", "_index", "_keeper", "exemplar", "key")

    width = 1

    def __init__(self, keeper: Keeper, key: Key) -> None:
        self.key = key
        self._keeper = keeper
        self._cells: list[float] | memoryview[float] = [0.0] * self.width
        self._index = 0
        self.exemplar: ExemplarReading | None = None  # while there is no row

    # What prometheus_client calls.

    def inc(self, amount: float) -> None:
        """Add. The conversion comes first: nobody else's `__radd__` runs between load and store."""
        amount = float(amount)
        self._cells[self._index] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set to something higher; what counters of all workers add up to cannot be taken back."""
        if value < self._cells[self._index]:
            self._keeper.note_reset(self.key)
        else:
            self._cells[self._index] = value

    def get(self) -> float:
        """Give the total over all workers."""
        return self._keeper.total(self)

    def set_exemplar(self, exemplar: Any) -> None:
        """Keep what an observation came with."""
        self._keeper.keep_exemplar(
            self,
            ExemplarReading(dict(exemplar.labels), float(exemplar.value), float(exemplar.timestamp or 0)),
        )

    def get_exemplar(self) -> Any:
        """Give the last exemplar of all workers."""
        return self._keeper.exemplar_of(self)

    # What the keeper calls.

    @property
    def own(self) -> float:
        """What this process has counted, or set."""
        return self._cells[self._index]

    @property
    def cell(self) -> int | None:
        """The cell in the row, if it has one."""
        return self._index if isinstance(self._cells, memoryview) else None

    def bind(self, cells: "memoryview[float]", index: int) -> None:
        """Move into the row, with what was counted so far. No other thread runs yet."""
        cells[index] += self._cells[self._index]
        self._cells, self._index = cells, index


class GaugeValue(Value):
    """A number that is set, and the time at which it was."""

    __slots__ = ()

    width = 2

    def inc(self, amount: float) -> None:
        """Add."""
        amount = float(amount)
        self._cells[self._index] += amount
        self._cells[self._index + 1] = _time()

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set."""
        self._cells[self._index] = value
        self._cells[self._index + 1] = timestamp or _time()

    def bind(self, cells: "memoryview[float]", index: int) -> None:
        """Move into the row, with what was set so far."""
        value, set_at = self._cells[self._index], self._cells[self._index + 1]
        if set_at:
            cells[index], cells[index + 1] = value, set_at
        self._cells, self._index = cells, index

    def begin_again(self, after_s: float) -> None:
        """Be a new gauge in the cells of one that was removed."""
        self._cells[self._index] = 0.0
        self._cells[self._index + 1] = max(_time(), after_s)


def _locked(value_class: type[Value]) -> type[Value]:
    """Make a class whose changes are safe where threads really run at once."""
    lock = threading.Lock()

    def guard(change: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any, **keywords: Any) -> None:
            with lock:
                change(*arguments, **keywords)

        return guarded

    return type(
        value_class.__name__,
        (value_class,),
        {"__slots__": (), "inc": guard(value_class.inc), "set": guard(value_class.set)},
    )


VALUES: Final[dict[str, type[Value]]] = (
    {"gauge": GaugeValue, "": Value} if HAS_GIL else {"gauge": _locked(GaugeValue), "": _locked(Value)}
)
