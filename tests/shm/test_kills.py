"""Counts are exact whenever an owner is killed, and go on under the next one."""

import random
from collections.abc import Callable
from subprocess import Popen

import pytest

from penstock.shm.row import Kind
from penstock.shm.samples import read_samples
from penstock.shm.segment import Segment
from penstock.shm.totals import totals

StartChild = Callable[..., "Popen[bytes]"]
WaitUntil = Callable[[Callable[[], bool]], None]


@pytest.mark.parametrize("kill_count", [50, pytest.param(1_000, marks=pytest.mark.soak)])
@pytest.mark.timeout(900)
def test_kills_lose_and_invent_nothing(
    segment: Segment, start_child: StartChild, wait_until: WaitUntil, kill_count: int
) -> None:
    """
    Each owner counts in one word and then in another, so at its death the first
    has counted as much as the second or one more, and neither ever falls.
    """
    chance = random.Random(11)
    first = segment.series.define("first_total", "counter")
    second = segment.series.define("second_total", "counter")
    total_before = 0

    for kill in range(kill_count):
        row = segment.claim(kind=Kind.WORKER, generation=kill + 1, slot=0, now_ns=1)
        assert row.index == 0
        cells = row.cells
        first_before, second_before = cells[first], cells[second]

        child = start_child("count.py", row.index, first, second)
        row.set_process(child.pid, started=kill)
        enough = second_before + chance.randrange(1, 2_000)
        wait_until(lambda cells=cells, enough=enough: cells[second] >= enough)  # type: ignore[misc]
        child.kill()
        child.wait()

        reading = row.read()
        assert reading is not None
        assert reading.is_current
        assert cells[first] - first_before - (cells[second] - second_before) in (0, 1)
        counters = {series.name: total for series, total in totals(segment).counters}
        assert counters["second_total"] == total_before + cells[second] - second_before > total_before
        total_before = counters["second_total"]

        samples = [sample for sample in read_samples(row) if sample.generation == kill + 1]
        assert samples, "the ring was not written"
        for sample in samples:
            count = sample.requests
            assert (sample.time_ns, sample.errors, sample.sent_bytes) == (count + 1, 2 * count, 3 * count)
            assert (sample.connections, sample.loop_lag_us) == (count & 0xFFFF, count & 0xFF)
            assert count <= cells[second]
        row.release()
