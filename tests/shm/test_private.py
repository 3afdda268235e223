"""What a worker's app forks never changes the worker's numbers."""

import os
from collections.abc import Callable
from subprocess import Popen

import pytest

from penstock.shm.row import Kind
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment

StartChild = Callable[..., "Popen[bytes]"]


@pytest.mark.parametrize("how", ["fork", "grandchild", "multiprocessing", "preexec", "subprocess", "closed"])
def test_children_count_for_themselves(segment: Segment, start_child: StartChild, how: str) -> None:
    """
    However they come to be, and even where the app has closed our descriptor under our feet.

    The child finds what was counted before, and its own numbers behind every view that it has.
    """
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    owner = start_child("fork.py", row.index, how)
    row.set_process(owner.pid, started=1)
    assert owner.wait(timeout=60) == 0

    assert list(row.cells[:2]) == [42, 0]
    reading = row.read()
    assert reading is not None
    assert reading.is_current
    assert reading.heartbeat_ns > 1
    assert (row.samples[0], row.events[0], row.board[0], row.values[0]) == (0, 0, 0, 0.0)


def test_without_it_they_would_count_for_the_worker(segment: Segment, start_child: StartChild) -> None:
    """The control, and what the master relies on for its own children."""
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    owner = start_child("fork.py", row.index, "unguarded")
    row.set_process(owner.pid, started=1)
    assert owner.wait(timeout=60) == 0

    assert list(row.cells[:2]) == [1042, 1000]


def test_segments_before_this_one_are_kept_from_children_too() -> None:
    """A worker that outlives a change of layout goes on counting in the older one."""
    older = Segment.create(Geometry(row_count=2, cell_count=1024))
    newer = older.succeed(Geometry(row_count=3, cell_count=1024), created_ns=1)
    assert [len(mapping) for _, mapping in newer.mappings()] == [
        os.fstat(fd).st_size for fd, _ in newer.mappings()
    ]
    assert [fd for fd, _ in newer.mappings()] == [newer.fd, older.fd]
    newer.close()
    older.close()
