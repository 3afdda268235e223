"""A row is believed only while the very process is there that it was claimed for."""

import os
import subprocess
import sys

import msgspec
import pytest

from penstock.shm import owner
from penstock.shm.owner import process_started, read_believed
from penstock.shm.row import Kind, Row
from penstock.shm.segment import Segment
from penstock.shm.totals import totals


def run(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_the_start_of_a_process_tells_it_from_another_with_its_pid() -> None:
    """It is there from the fork on, and gone with the process."""
    ours = process_started(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = process_started(child.pid)
    child.communicate(b"\n", timeout=30)

    assert 0 < ours <= theirs
    assert process_started(os.getpid()) == ours
    assert process_started(child.pid) == 0


def test_a_process_with_an_odd_name_has_a_start_too() -> None:
    """The name stands in the same line, and may hold blanks and brackets."""
    said = run(
        "import os\n"
        "from penstock.shm.owner import process_started\n"
        "open('/proc/self/comm', 'wb').write(b'\\xe9) S 1 (b')\n"
        "print(process_started(os.getpid()) > 0)\n"
    )
    assert said.strip() == "True"


def owned(segment: Segment, pid: int, started: int) -> Row:
    """A row that says that this process owns it, with one connection open."""
    segment.series.define("open", "gauge")
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    row.set_process(pid, started)
    segment.adopt(row.index, pid=pid, now_ns=2)
    row.cells[0] = 1
    return row


def believed(segment: Segment, row: Row) -> tuple[bool, int]:
    """Whether the owner is believed, and what the gauge says."""
    reading = read_believed(row)
    assert reading is not None
    [(_, value)] = totals(segment, read_believed).gauges
    return reading.is_current, value


def test_an_owner_that_is_there_is_believed(segment: Segment) -> None:
    """The pid and the time of its start are both the ones of the row."""
    row = owned(segment, os.getpid(), process_started(os.getpid()))
    assert believed(segment, row) == (True, 1)


def test_another_process_with_the_pid_is_not(segment: Segment) -> None:
    """The owner died while nobody freed its row, and the kernel gave its pid to somebody else."""
    row = owned(segment, os.getpid(), process_started(os.getpid()) - 1)
    reading = row.read()
    assert reading is not None
    assert reading.is_current, "as far as the row itself can tell"
    assert believed(segment, row) == (False, 0)
    assert read_believed(row) == msgspec.structs.replace(reading, is_current=False)


def test_a_dead_owner_is_not(segment: Segment) -> None:
    """Nobody has its pid."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    row = owned(segment, child.pid, process_started(child.pid))
    assert believed(segment, row) == (True, 1)
    child.communicate(b"\n", timeout=30)
    assert believed(segment, row) == (False, 0)


def test_a_process_that_cannot_be_looked_at_is_believed(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc is hidden, being there is all that can be known; and who claimed the row knew no more."""
    hidden = owned(segment, os.getpid(), 0)
    assert believed(segment, hidden) == (True, 1)
    monkeypatch.setattr(owner, "process_started", lambda pid: 0)
    assert believed(segment, hidden) == (True, 1)


def test_counters_need_no_owner(segment: Segment) -> None:
    """They are the row's."""
    segment.series.define("served_total", "counter")
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    row.set_process(os.getpid(), started=1)
    segment.adopt(row.index, pid=os.getpid(), now_ns=2)
    row.cells[0] = 7
    assert [value for _, value in totals(segment, read_believed).counters] == [7]
