"""A small segment for each test, and a way to run another process on it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.shm.row import Kind, Row
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment

CHILDREN = Path(__file__).parent / "children"

StartChild = Callable[..., "subprocess.Popen[bytes]"]
ClaimWorker = Callable[..., Row]
WaitUntil = Callable[[Callable[[], bool]], None]


@pytest.fixture
def segment() -> Iterator[Segment]:
    """An empty segment with eight rows."""
    segment = Segment.create(Geometry(row_count=8, cell_count=2048))
    yield segment
    segment.close()


@pytest.fixture
def claim_worker(segment: Segment) -> ClaimWorker:
    """Claim a row for a worker and adopt it, as far as the segment can tell."""

    def claim(pid: int, slot: int = 0, generation: int = 1) -> Row:
        row = segment.claim(kind=Kind.WORKER, generation=generation, slot=slot, core=slot, now_ns=1)
        row.set_process(pid, started=1)
        return segment.adopt(row.index, pid=pid, now_ns=2)

    return claim


@pytest.fixture
def start_child(segment: Segment) -> Iterator[StartChild]:
    """Run a script of `children/` with the segment's descriptor as its first argument."""
    children: list[subprocess.Popen[bytes]] = []

    def start(script: str, *arguments: object, **popen: Any) -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(CHILDREN / script), str(segment.fd), *map(str, arguments)]
        child = subprocess.Popen(command, pass_fds=[segment.fd], **popen)
        children.append(child)
        return child

    yield start
    for child in children:
        if child.stdin is not None:
            child.stdin.close()  # It may have children of its own to end.
            try:
                child.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                pass
        if child.stdout is not None:
            child.stdout.close()
        child.kill()
        child.wait()


@pytest.fixture
def wait_until() -> WaitUntil:
    """Look again and again until something holds, and fail if it does not within 30 seconds."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30.0
        while not holds():
            assert time.monotonic() < deadline, "it never came true"

    return wait
