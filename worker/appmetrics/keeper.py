"""
Keeps the numbers of this process's metrics in its row, and reads those of all.

Before there is a row (the master imports the app) they are kept aside, and bound
to cells in each worker. It knows keys, cells and sources, and of
prometheus_client only how it makes a value.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from penstock.shm.exemplars import ExemplarReading, ExemplarWriter
from penstock.shm.gauges import WORKER_MODES
from penstock.shm.keylog import Family, Key
from penstock.shm.merged import Merger
from penstock.shm.readings import FamilyReading, Source
from penstock.shm.values import REMOVED, CellTable, ValueArea
from penstock.worker.appmetrics.cells import VALUES, GaugeValue, Value

Found = TypeVar("Found")


class View(Protocol):
    """Where the areas of all workers can be read."""

    def look(self, reading: Callable[[Sequence[Source]], Found]) -> Found:
        """Read from all of them while nothing is moved."""


class OneArea:
    """An area alone."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def look(self, reading: Callable[[Sequence[Source]], Found]) -> Found:
        """Read from it."""
        return reading(self._sources)


# What is told of each kind of trouble, by name; an app with more has one cause for all of it.
NAMES_TOLD_MAX = 20

_SUFFIXES = {"counter": "_total", "gauge": ""}


class Keeper:
    """The one place of this process where values are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._table: CellTable | None = None
        self._exemplars: ExemplarWriter | None = None
        self._view: View = OneArea()
        self._merger = Merger()
        self._waiting: list[Value] = []  # for a row
        self._states: dict[Key, tuple[float, ...]] = {}  # likewise, of Enum and Info
        self._families: dict[str, Family] = {}
        self._has_removed = False
        self._on_trouble: Callable[[str], None] = lambda _: None
        self._told: set[str] = set()

    def bind(self, area: ValueArea, view: View, on_trouble: Callable[[str], None]) -> None:
        """Have a row from now on. No other thread runs yet."""
        self._lock = threading.RLock()  # The old one may have been held when this process was forked.
        self._table = CellTable(area)
        self._exemplars = ExemplarWriter(area.exemplars)
        self._view, self._on_trouble = view, on_trouble
        waiting, self._waiting = self._waiting, []
        for value in waiting:
            self._settle(value, self._table)
            if value.exemplar is not None:
                self.keep_exemplar(value, value.exemplar)
        for key, state in self._states.items():
            self.set_state(key, *state)

    # Making values.

    def make(  # noqa: PLR0917 - called by prometheus_client, in this order
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str = "",
        multiprocess_mode: str = "",
        **_: object,
    ) -> Value:
        """Make a value, called as prometheus_client calls its ValueClass."""
        suffix = name.removeprefix(metric_name)
        values = tuple(map(_plain, labelvalues))
        names = tuple(labelnames)
        if suffix == "_bucket" and names[-1:] == ("le",):
            names = names[:-1]
        mode = multiprocess_mode if typ == "gauge" else ""
        family = Family(typ, mode, _plain(metric_name), tuple(map(_plain, names)), _plain(help_text)[:1024])
        value = VALUES["gauge" if typ == "gauge" else ""](self, Key(family, suffix, values))
        with self._lock:
            if not self._accept(family):
                return value
            if self._table is None:
                self._waiting.append(value)
            else:
                self._settle(value, self._table)
        return value

    def is_accepted(self, family: Family) -> bool:
        """Say whether a metric is what its name means here, or nobody has used the name yet."""
        known = self._families.get(family.name)
        return known is None or _shape(known) == _shape(family)

    def _accept(self, family: Family) -> bool:
        known = self._families.setdefault(family.name, family)
        if _shape(known) == _shape(family):
            return True
        if self._table is not None:
            self._table.count_conflict()
        self._trouble(
            family.name,
            f"the app's metric {family.name!r} is a {_describe(family)} here and a {_describe(known)} "
            "elsewhere; this one stays in the worker that counts it",
        )
        return False

    def _settle(self, value: Value, table: CellTable) -> None:
        key = value.key
        cell = table.place(key)
        if cell is None:
            self._trouble("full", "there is no room for more metrics of the app; see app-metrics in the docs")
            return
        if table.find(key) is None:
            self._trouble(
                "full",
                f"the table of the app's metrics is full ({table.count} values); further label sets "
                f"are counted under _overflow, the first of them one of {key.family.name!r}",
            )
        value.bind(table.area.values, cell)
        if self._has_removed:
            self._bring_back(value, table)

    def _bring_back(self, value: Value, table: CellTable) -> None:
        key = value.key
        removal = table.find(Key(key.family, REMOVED, key.child))
        if removal is None or not table.area.values[removal]:
            return
        if isinstance(value, GaugeValue):
            value.begin_again(math.nextafter(table.area.values[removal], math.inf))
        else:
            table.area.values[removal] = 0.0

    # Enum and Info.

    def set_state(self, key: Key, *state: float) -> None:
        """Keep the state of an Enum, or that an Info was set; the last one set is everybody's."""
        with self._lock:
            if not self._accept(key.family):
                return
            if self._table is None:
                self._states[key] = state
                return
            cell = self._table.place(key)
            if cell is not None:
                for offset, number in enumerate(state):
                    self._table.area.values[cell + offset] = number

    # Removing.

    def remove(self, family: Family, children: Iterable[tuple[str, ...]]) -> None:
        """Have label sets vanish, whoever counted them, until they are used again."""
        with self._lock:
            if self._table is None or not self.is_accepted(family):
                return
            progress = self._progress(family.name)
            now_s = time.time()
            for child in children:
                if child not in progress:
                    continue
                cell = self._table.place(Key(family, REMOVED, child))
                if cell is not None:
                    counted = progress[child]
                    self._table.area.values[cell] = (
                        now_s if counted is None else math.nextafter(counted, math.inf)
                    )
                    self._has_removed = True

    def children(self, name: str) -> list[tuple[str, ...]]:
        """Give the label sets that any worker has used."""
        with self._lock:
            return list(self._progress(_plain(name)))

    def _progress(self, name: str) -> dict[tuple[str, ...], float | None]:
        return self._view.look(lambda sources: self._merger.progress(sources, name))

    # Reading what all have.

    def family(self, name: str) -> FamilyReading | None:
        """Read one metric over all workers."""
        with self._lock:
            return self._view.look(lambda sources: self._merger.family(sources, _plain(name)))

    def families(self) -> list[FamilyReading]:
        """Read all metrics over all workers."""
        with self._lock:
            return self._view.look(lambda sources: self._merger.families(sources, with_exemplars=True))[0]

    def total(self, value: Value) -> float:
        """Give the number of all workers; of a gauge that tells them apart, this one's."""
        key = value.key
        if value.cell is None or key.family.mode in WORKER_MODES:
            return value.own
        with self._lock:
            if key.family.kind != "gauge":
                return self._view.look(lambda sources: self._merger.total(sources, key))
            labels = dict(zip(key.family.label_names, key.child, strict=True))
            reading = self.family(key.family.name)
            found = [each.value for each in reading.samples if each.labels == labels] if reading else []
            return found[0] if found else value.own

    # Exemplars.

    def keep_exemplar(self, value: Value, exemplar: ExemplarReading) -> None:
        """Keep an exemplar where all can see it."""
        cell = value.cell
        if cell is None or self._exemplars is None:
            value.exemplar = exemplar
            return
        labels = {_plain(name): _plain(text) for name, text in exemplar.labels.items()}
        with self._lock:
            self._exemplars.put(cell, exemplar._replace(labels=labels))

    def exemplar_of(self, value: Value) -> ExemplarReading | None:
        """Give this process's last exemplar that lies nowhere else; the others are read with their family."""
        return value.exemplar

    # What is said.

    def note_reset(self, key: Key) -> None:
        """Say that a counter of all workers is not set back by one."""
        self._trouble(
            "reset " + key.family.name,
            f"Counter.reset() of {key.family.name!r} has no effect: the counter is the total of all workers",
        )

    def _trouble(self, name: str, text: str) -> None:
        if name not in self._told and len(self._told) < NAMES_TOLD_MAX:
            self._told.add(name)
            self._on_trouble(text)


def info_key(family: Family, values: Sequence[str], content: dict[str, str]) -> Key:
    """Give the key of an Info with this content, which is part of it."""
    text = msgspec.json.encode({_plain(name): _plain(str(text)) for name, text in content.items()})
    return Key(family, "_info", (*map(_plain, values), text.decode()))


def _plain(text: str) -> str:
    """Make text that can be encoded; a lone surrogate cannot, and must not fail a scrape later."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shape(family: Family) -> tuple[object, ...]:
    return family.kind, family.mode, family.label_names


def _describe(family: Family) -> str:
    labels = ", ".join(family.label_names) or "no labels"
    mode = f" of mode {family.mode}" if family.mode else ""
    return f"{family.kind}{mode} with {labels}"
