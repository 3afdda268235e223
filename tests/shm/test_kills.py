"""Counts are exact whenever an owner is killed, and go on under the next one."""

import os
import random
import signal
import time
from collections.abc import Callable
from subprocess import PIPE, Popen

import pytest

from penstock.shm import names
from penstock.shm.board import read_board
from penstock.shm.counting import PURE
from penstock.shm.histogram import BUCKET_COUNT
from penstock.shm.row import Kind
from penstock.shm.samples import read_samples
from penstock.shm.schema import SAMPLE_COUNT
from penstock.shm.segment import Segment
from penstock.shm.totals import totals

StartChild = Callable[..., "Popen[bytes]"]
WaitUntil = Callable[[Callable[[], bool]], None]


KILLS = 1_000


@pytest.mark.timeout(600)
def test_kills_lose_and_invent_nothing(
    segment: Segment, start_child: StartChild, wait_until: WaitUntil
) -> None:
    """
    Each owner counts in one word and then in another, so at its death the first
    has counted as much as the second or one more.

    Then its row is folded and claimed again. Nobody who looks, while it counts,
    after its death or after the fold, ever sees a total fall.
    """
    chance = random.Random(11)
    first = segment.series.define("first_total", "counter")
    second = segment.series.define("second_total", "counter")
    seen = (0, 0)
    nursery = start_child("count.py", first, second, stdin=PIPE, stdout=PIPE)

    def ask(line: object) -> int:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(f"{line}\n".encode())
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    def told() -> tuple[int, int]:
        nonlocal seen
        counters = {series.name: total for series, total in totals(segment).counters}
        before, seen = seen, (counters["first_total"], counters["second_total"])
        assert seen[0] >= before[0]
        assert seen[1] >= before[1]
        return seen

    for kill in range(KILLS):
        base = told()
        row = segment.claim(kind=Kind.WORKER, generation=kill + 1, slot=0, now_ns=1)
        assert row.index == 0
        pid = ask(row.index)
        row.set_process(pid, started=kill)
        enough = base[1] + chance.randrange(1, 2_000)
        wait_until(lambda enough=enough: told()[1] >= enough)  # type: ignore[misc]
        os.kill(pid, signal.SIGKILL)
        assert ask("") == -signal.SIGKILL

        reading = row.read()
        assert reading is not None
        assert reading.is_current
        counted = row.cells[first], row.cells[second]
        assert counted[0] - counted[1] in (0, 1)
        assert told() == (base[0] + counted[0], base[1] + counted[1])

        samples = [sample for sample in read_samples(row) if sample.generation == kill + 1]
        # It may have died within the push of its last one, which takes the place of the oldest.
        assert len(samples) >= min(counted[1] - 1, SAMPLE_COUNT - 1)
        for sample in samples:
            count = sample.requests
            assert (sample.time_ns, sample.errors, sample.sent_bytes) == (count + 1, 2 * count, 3 * count)
            assert (sample.connections, sample.loop_lag_us) == (count & 0xFFFF, count & 0xFF)
            assert count <= counted[1]

        segment.retire(row.index)
        assert told() == (base[0] + counted[0], base[1] + counted[1])
        assert (row.cells[first], row.cells[second]) == (0, 0)


@pytest.mark.parametrize("pure", ["0", "1"], ids=["native", "python"])
def test_a_request_is_counted_whole_or_is_the_last_one(
    segment: Segment, start_child: StartChild, wait_until: WaitUntil, pure: str
) -> None:
    """
    Bucket, sum, class and the app's own number are stored one after the other, whoever stores them.

    And a reader that looks meanwhile finds no entry on the board that is of two requests.
    """
    labels = (("listener", "web"), ("route", "/"))
    first = segment.series.define_group(names.REQUESTS, "counter", labels, "code", names.CODE_CLASSES)
    duration = segment.series.define(names.REQUEST_DURATION, "histogram", labels)
    chance = random.Random(12)
    for kill in range(6):
        row = segment.claim(kind=Kind.WORKER, generation=kill + 1, slot=0, now_ns=1)
        child = start_child("serve.py", row.index, first, duration, env=os.environ | {PURE: pure})
        row.set_process(child.pid, started=kill)
        wait_until(lambda row=row: row.cells[first] > 1_000)  # type: ignore[misc]
        until = time.monotonic() + chance.random() / 5
        while time.monotonic() < until:
            for active in read_board(row.board):
                assert active.path in (b"%048d" % active.started_ns, b"")
                assert active.route == active.started_ns
        child.kill()
        child.wait()

        cells = row.cells
        bucket, total, answered = cells[duration + 1 + 3], cells[duration] // 3, cells[first]
        own = int(row.values[0])
        assert sum(cells[duration + 1 : duration + 1 + BUCKET_COUNT]) == bucket
        assert cells[duration] == 3 * total
        assert bucket >= total >= answered >= own >= bucket - 1
        assert len(list(read_board(row.board))) <= 1
        segment.retire(row.index)
