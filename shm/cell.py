"""
A number of the app's, in the cells of this process's row.

Each row has one writer, this process, and CPython runs one thread at a time:
between the load and the store of `cells[i] += amount` there is no point at
which it would switch, so long as both operands are floats. Hence no lock. An
interpreter without the global lock takes one around it.

A number that was made before there is a row, or for which there is no room, has
cells of its own. `counting.py` has the same natively where it can.
"""

import time
from typing import Final

_time: Final = time.time


class Cell:
    """A number that only grows."""

    __slots__ = ("_cells", "_index")

    def __init__(self) -> None:
        self._cells: list[float] | memoryview[float] = [0.0, 0.0]
        self._index = 0

    def inc(self, amount: float) -> None:
        """Add. The conversion comes first: nobody else's `__radd__` runs between load and store."""
        amount = float(amount)
        self._cells[self._index] += amount

    def put(self, number: float) -> None:
        """Set."""
        self._cells[self._index] = number

    @property
    def own(self) -> float:
        """What this process has counted, or set."""
        return self._cells[self._index]

    @property
    def cell(self) -> int | None:
        """The cell in the row, if it has one."""
        return self._index if isinstance(self._cells, memoryview) else None

    def bind(self, cells: "memoryview[float]", index: int) -> None:
        """Move into a row, with what was counted so far. No other thread runs yet."""
        cells[index] += self._cells[self._index]
        self._cells, self._index = cells, index


class GaugeCell(Cell):
    """A number that is set, and in the cell behind it the time at which it was."""

    __slots__ = ()

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
        """Move into a row, with what was set so far."""
        value, set_at = self._cells[self._index], self._cells[self._index + 1]
        if set_at:
            cells[index], cells[index + 1] = value, set_at
        self._cells, self._index = cells, index

    def begin_again(self, after_s: float) -> None:
        """Be a new gauge in the cells of one that was removed."""
        self._cells[self._index] = 0.0
        self._cells[self._index + 1] = max(_time(), after_s)
