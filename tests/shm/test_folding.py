"""A row's counts are in the totals once, at whatever store the master dies and whenever a reader looks."""

import os
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.shm import folding, layout, totals
from penstock.shm.base import Base
from penstock.shm.folding import Unsteady, steadily
from penstock.shm.histogram import observe
from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment

# Two counters, a gauge and a histogram take 708 cells.
SMALL = Geometry(row_count=4, cell_count=1024, value_count=64)
OTHER = Geometry(row_count=6, cell_count=2048, value_count=128)


class Killed(BaseException):
    """The master is gone, between two stores."""


class Stores:
    """How many stores the master has left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def next(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class Dying:
    """Stands in for the words that the master writes; a store of many words can end between any two."""

    def __init__(self, words: memoryview, stores: Stores) -> None:
        self._words = words
        self._stores = stores

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, key: int | slice) -> int | memoryview:
        return self._words[key]

    def __setitem__(self, key: int | slice, value: "int | memoryview | Dying") -> None:
        if isinstance(key, int):
            self._stores.next()
            self._words[key] = cast(int, value)
            return
        words = cast(memoryview, value)[:]
        for index, word in zip(range(*key.indices(len(self._words))), words, strict=True):
            self._stores.next()
            self._words[index] = word


def dying(words: memoryview, stores: Stores) -> memoryview:
    """Pass it off as what it stands in for."""
    return cast(memoryview, Dying(words, stores))


def mortal(segment: Segment, stores: Stores) -> Segment:
    """Have the master of this segment die after so many stores."""
    for base in segment.bases:
        for name in ("line", "folded", "cells"):
            setattr(base, name, dying(getattr(base, name), stores))
    segment._header = dying(segment._header, stores)
    for row in segment.own_rows():
        row.master = dying(row.master, stores)
    return segment


def define(segment: Segment) -> None:
    """Give the segment its series; the words come out the same each time."""
    segment.series.define("a_total", "counter")
    segment.series.define("open", "gauge")
    segment.series.define("b_total", "counter", (("code", "2xx"),))
    segment.series.define("a_seconds", "histogram")


def worker(segment: Segment, pid: int) -> Row:
    """Fork a worker, as far as the segment can tell."""
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    row.set_process(pid, started=1)
    return segment.adopt(row.index, pid=pid, now_ns=2)


def count(row: Row, times: int) -> None:
    """Have a worker count in each of its series."""
    words = {series.name: series.first for series in row.series.entries()}
    row.cells[words["a_total"]] += times
    row.cells[words["open"]] = 1
    row.cells[words["b_total"]] += 2 * times
    for _ in range(times):
        observe(row.cells, words["a_seconds"], 100 * times)


def told(segment: Segment) -> tuple[int, int, int, int]:
    """What the totals say: both counters, the histogram's sum, its count."""
    found = totals.totals(segment)
    counters = {series.name: value for series, value in found.counters}
    [(_, histogram)] = found.histograms
    return counters["a_total"], counters["b_total"], histogram.sum_us, sum(histogram.buckets)


@pytest.fixture
def segment() -> Iterator[Segment]:
    """A small segment in which one worker has died already, and a second one is about to."""
    segment = Segment.create(SMALL)
    define(segment)
    count(worker(segment, 100), 3)
    count(worker(segment, 101), 5)
    segment.retire(0)
    yield segment
    segment.close()


EXPECTED = (8, 16, 3 * 300 + 5 * 500, 8)


def stores_of_a_retirement() -> int:
    """Count the stores that a retirement takes."""
    segment = Segment.create(SMALL)
    define(segment)
    count(worker(segment, 100), 3)
    count(worker(segment, 101), 5)
    segment.retire(0)
    stores = Stores(10**6)
    mortal(segment, stores).retire(1)
    segment.close()
    return 10**6 - stores.left


STORES = stores_of_a_retirement()


def test_retirement_moves_counts_and_leaves_an_empty_row(segment: Segment) -> None:
    """The next owner starts from nothing, and its predecessor's pages are given back."""
    assert told(segment) == EXPECTED
    segment.retire(1)
    assert told(segment) == EXPECTED
    assert not any(segment.own(1).cells)
    assert segment.own(1).master[layout.MASTER_EMPTIED] == 1


@pytest.mark.parametrize("part", range(8))
def test_master_may_die_at_any_store_of_a_retirement(part: int) -> None:
    """
    Totals are right at that moment, and after somebody has gone on from there.
    """
    assert STORES > 700
    for stores in range(part, STORES, 8):
        segment = Segment.create(SMALL)
        define(segment)
        count(worker(segment, 100), 3)
        count(worker(segment, 101), 5)
        segment.retire(0)
        doomed = mortal(Segment.attach(os.dup(segment.fd)), Stores(stores))
        with pytest.raises(Killed):
            doomed.retire(1)
        os.close(doomed.fd)
        assert told(segment) == EXPECTED, f"after {stores} stores"
        survivor = Segment.attach(os.dup(segment.fd))
        if not survivor.own(1).is_free():
            survivor.own(1).release()
        for row in survivor.own_rows():
            survivor.clear(row)
        assert told(segment) == told(survivor) == EXPECTED, f"after {stores} stores"
        assert not any(survivor.own(1).cells)
        survivor.close()
        segment.close()


@pytest.mark.parametrize("stores", range(20, STORES, 40))
def test_what_a_dying_master_left_in_the_other_copy_is_not_kept(stores: int) -> None:
    """
    The next fold may be of another row, one that has nothing to add where the broken one stopped.
    """
    segment = Segment.create(SMALL)
    define(segment)
    count(worker(segment, 100), 3)
    worker(segment, 101)
    doomed = mortal(Segment.attach(os.dup(segment.fd)), Stores(stores))
    with pytest.raises(Killed):
        doomed.retire(0)
    os.close(doomed.fd)
    segment.retire(1)
    assert told(segment) == (3, 6, 900, 3)
    segment.close()


def test_reader_that_a_fold_overtakes_looks_again(segment: Segment) -> None:
    """It has seen the row neither in the base nor in itself, or in both."""
    looks: list[tuple[int, list[int]]] = []

    def look() -> tuple[int, list[int]]:
        base = segment.base.cells[0]
        if not looks:
            segment.retire(1)
        rows = [row.cells[0] for row in folding.counting_rows(segment)]
        looks.append((base, rows))
        return base, rows

    assert steadily(segment, look) == (8, [])
    assert looks == [(3, []), (8, [])]


def test_reader_that_never_finds_it_steady_says_so(segment: Segment) -> None:
    """Rather than hang, or tell a number that is wrong."""

    def look() -> None:
        segment._header[layout.HEADER_FOLDS] += 2

    with pytest.raises(Unsteady):
        steadily(segment, look)


def test_damaged_row_does_not_spoil_the_base(segment: Segment) -> None:
    """A word that nobody can have counted is left out; what is folded is there for good."""
    row = segment.own(1)
    row.cells[0] = 2**63
    row.cells[2] = 7
    row.cells[10] = 2**64 - 1
    segment.retire(1)
    assert told(segment)[:2] == (3, 6 + 7)
    assert sum(totals.totals(segment).histograms[0][1].buckets) < 100


def test_many_successors_leave_nothing_behind() -> None:
    """A thousand workers later the segment holds as much memory as after the first, and as many rows."""
    segment = Segment.create(Geometry.for_workers(2))
    define(segment)
    held = []
    for pid in range(1, 1001):
        count(worker(segment, pid), 1)
        segment.retire(0)
        if pid in (10, 1000):
            held.append(segment.resident_bytes)
    assert told(segment) == (1000, 2000, 100_000, 1000)
    assert len(segment.own_rows()) == 1
    assert held[1] == held[0]
    segment.close()


class Service(RuleBasedStateMachine):
    """Workers come, count and go, masters die at any store, layouts change: totals are what was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.segment = Segment.create(SMALL)
        define(self.segment)
        self.workers: list[int] = []
        self.pid = 1
        self.expected = (0, 0, 0, 0)

    def teardown(self) -> None:
        for segment in (self.segment, *self.segment.ancestors):
            segment.close()

    @precondition(lambda self: sum(not row.is_free() for row in self.segment.own_rows()) < 4)
    @rule()
    def start(self) -> None:
        self.workers.append(worker(self.segment, self.pid).index)
        self.pid += 1

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), times=st.integers(1, 5))
    def count(self, data: st.DataObject, times: int) -> None:
        count(self.segment.row(data.draw(st.sampled_from(self.workers))), times)
        a, b, sum_us, number = self.expected
        self.expected = a + times, b + 2 * times, sum_us + 100 * times * times, number + times

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(self.workers))
        self.workers.remove(index)
        self.segment.retire(index)
        assert self.segment.bury() == 0

    @precondition(lambda self: self.workers and not self.segment.ancestors)
    @rule(data=st.data(), stores=st.integers(0, STORES - 1))
    def end_with_the_master(self, data: st.DataObject, stores: int) -> None:
        """As a hot restart in the middle: another image goes on with the memory as it stands."""
        index = data.draw(st.sampled_from(self.workers))
        doomed = mortal(Segment.attach(os.dup(self.segment.fd)), Stores(stores))
        try:
            doomed.retire(index)
        except Killed:
            pass
        os.close(doomed.fd)
        heir = Segment.attach(os.dup(self.segment.fd))
        self.segment.close()
        self.segment = heir
        if heir.row(index).is_free():
            self.workers.remove(index)

    @rule(geometry=st.sampled_from([SMALL, OTHER]))
    @precondition(lambda self: len(self.segment.ancestors) < 3)
    def divide_anew(self, geometry: Geometry) -> None:
        self.segment = self.segment.succeed(geometry, created_ns=1)
        define(self.segment)
        assert self.segment.bury() == 0

    @invariant()
    def totals_are_what_was_counted(self) -> None:
        assert told(self.segment) == self.expected
        assert len({id(base) for base in self.segment.bases}) == 2
        assert isinstance(self.segment.base, Base)


Service.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestService = Service.TestCase
