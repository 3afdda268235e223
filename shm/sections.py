"""
The sections of one row or base, as views of the mapping, by name.

A section that the segment does not have, since another release laid it out, is
an empty view: whoever asks for what lies there finds nothing.
"""

from collections.abc import Sequence
from typing import TypeVar

from penstock.shm.layout import WORD_SIZE
from penstock.shm.schema import Section

View = TypeVar("View", "memoryview[int]", "memoryview[float]")

_NOTHING = memoryview(b"")


class Sections:
    """Views that are made when they are asked for. `block` is bytes of the mapping."""

    def __init__(self, block: memoryview, sections: Sequence[Section]) -> None:
        self._block = block
        self._by_name = {each.name: each for each in sections}
        self._views: list[memoryview[int] | memoryview[float]] = [block]

    def u64(self, name: str) -> memoryview:
        """Give a section as unsigned words."""
        return self._keep(self._part(name).cast("Q"))

    def f64(self, name: str) -> "memoryview[float]":
        """Give a section as floating-point words."""
        return self._keep(self._part(name).cast("d"))

    def release(self) -> None:
        """Let go of all views."""
        for view in reversed(self._views):
            view.release()

    def _part(self, name: str) -> memoryview:
        section = self._by_name.get(name)
        if section is None:
            return _NOTHING
        return self._keep(self._block[section.start * WORD_SIZE : section.end * WORD_SIZE])

    def _keep(self, view: View) -> View:
        self._views.append(view)
        return view
