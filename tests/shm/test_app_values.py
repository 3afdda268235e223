"""A segment's rows and base as a reader of the app's values sees them, while owners come and go."""

import os
import random

from penstock.shm.app_values import AppValues, area_of
from penstock.shm.keylog import Family, Key
from penstock.shm.merged import Merger
from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.shm.values import CellTable

TEA = Key(Family("counter", "", "tea", ("kind",), ""), "_total", ("assam",))
POTS = Key(Family("gauge", "livesum", "pots", (), ""), "", ())
COUNT = 300


def hire(segment: Segment, slot: int) -> tuple[Row, int, int]:
    """Have an owner for a row, with a counter and a gauge."""
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=slot, core=None, now_ns=1)
    row.set_process(1000 + slot, started=1)
    segment.adopt(row.index, pid=1000 + slot, now_ns=2)
    table = CellTable(area_of(row))
    tea, pots = table.place(TEA), table.place(POTS)
    assert tea is not None
    assert pots is not None
    return row, tea, pots


def totals(values: AppValues, merger: Merger) -> tuple[float, float]:
    """Read both as a scrape does."""
    families, _ = values.look(merger.families)
    found = {family.family.name: family.samples[0].value for family in families if family.samples}
    return found.get("tea", 0.0), found.get("pots", 0.0)


def test_counters_outlive_their_owner_and_live_gauges_do_not() -> None:
    """
    Through the base, in which they are once.
    """
    segment = Segment.create(Geometry(row_count=4))
    values, merger = AppValues(segment), Merger()
    for number in range(10):
        row, tea, pots = hire(segment, number % 2)
        row.values[tea] += 3
        row.values[pots], row.values[pots + 1] = 5, 1000
        assert totals(values, merger) == (3 * (number + 1), 5)
        segment.retire(row.index)
        assert totals(values, merger) == (3 * (number + 1), 0)
    segment.close()


def test_values_go_over_to_the_next_layout() -> None:
    """
    A hot restart that divides rows otherwise: old and new workers are one total, and so it stays.
    """
    old = Segment.create(Geometry(row_count=4))
    before, tea, _ = hire(old, 0)
    before.values[tea] = 7
    gone, gone_tea, _ = hire(old, 1)
    gone.values[gone_tea] = 10
    old.retire(gone.index)
    heir = old.succeed(Geometry(row_count=6, value_count=4096), created_ns=1)
    row, tea, _ = hire(heir, 1)
    row.values[tea] = 100
    values, merger = AppValues(heir), Merger()
    assert totals(values, merger)[0] == 117
    heir.retire(before.index)
    assert totals(values, merger)[0] == 117
    assert heir.bury() == 0
    assert totals(values, merger)[0] == 117
    heir.close()


def test_a_reader_sees_no_total_fall_while_rows_are_folded() -> None:
    """
    Another process scrapes as fast as it can, and reports the first total that is less than the one before.
    """
    segment = Segment.create(Geometry(row_count=8))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(writer)
            os.set_blocking(reader, False)
            values, merger = AppValues(segment), Merger()
            last = 0.0
            status = 0
            while status == 0:
                try:
                    os.read(reader, 1)
                    break
                except BlockingIOError:
                    pass
                total, _ = totals(values, merger)
                status = 2 if total < last or total % 1 else 0
                last = total
            status = status or (0 if totals(values, merger)[0] == COUNT * 20 else 3)
        finally:
            os._exit(status)
    os.close(reader)
    chance = random.Random(4)
    owners: list[tuple[Row, int]] = []
    for number in range(COUNT):
        row, tea, _ = hire(segment, number % 3)
        owners.append((row, tea))
        for _ in range(20):
            row.values[tea] += 1
        while len(owners) > chance.randrange(1, 5):
            segment.retire(owners.pop(chance.randrange(len(owners)))[0].index)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    segment.close()
