"""
What goes into a merger and what comes out: areas with their owners, and families with their samples.
"""

from collections.abc import Hashable
from typing import NamedTuple

from penstock.shm.exemplars import ExemplarReading
from penstock.shm.keylog import Family, Key, KeyReader
from penstock.shm.values import ValueArea, width


class Source(NamedTuple):
    """An area to be merged, and what is known of its owner."""

    identity: Hashable  # another one when the log has begun anew
    area: ValueArea
    worker: str = ""  # the label of its gauges
    is_live: bool = True
    rank: int = 0  # of two that disagree, the higher one is the younger


class SampleReading(NamedTuple):
    """One line of an exposition. The labels are shared and must not be changed."""

    name: str
    labels: dict[str, str]
    value: float
    exemplar: ExemplarReading | None = None


class FamilyReading(NamedTuple):
    """A metric with all its samples."""

    family: Family
    samples: list[SampleReading]


class DecodedKeys:
    """The keys of one area, as far as they were read."""

    def __init__(self, source: Source) -> None:
        self.area = source.area
        self.reader = KeyReader(source.area.keys)
        self.by_name: dict[str, list[tuple[int, Key]]] = {}
        self.count = 0  # of cells that are known

    def catch_up(self) -> None:
        """Read the keys that were added."""
        if self.reader.end >= self.reader.used:
            return
        for key in self.reader.read():
            end = self.count + width(key)
            if end > len(self.area.values):
                return
            self.by_name.setdefault(key.family.name, []).append((self.count, key))
            self.count = end
