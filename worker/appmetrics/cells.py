"""
What prometheus_client keeps a number in: `values.ValueClass`, over cells of a row.

How a number is kept is in shm/cell.py, and why that takes no lock. An
interpreter without the global lock takes one, here.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from penstock.shm.counting import Cell, GaugeCell
from penstock.shm.exemplars import ExemplarReading
from penstock.shm.keylog import Key

HAS_GIL: Final = getattr(sys, "_is_gil_enabled", lambda: True)()


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


class Value(Cell):
    """A number that only grows: a counter, a count, a sum, a bucket. Its `inc` is the cell's."""

    __slots__ = ("_keeper", "exemplar", "key")

    def __init__(self, keeper: Keeper, key: Key) -> None:
        super().__init__()
        self.key = key
        self._keeper = keeper
        self.exemplar: ExemplarReading | None = None  # while there is no row

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set to something higher; what counters of all workers add up to cannot be taken back."""
        if value < self.own:
            self._keeper.note_reset(self.key)
        else:
            self.put(value)

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


class GaugeValue(GaugeCell, Value):
    """A number that is set, and the time at which it was. Its `inc` and `set` are the cell's."""

    __slots__ = ()


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
