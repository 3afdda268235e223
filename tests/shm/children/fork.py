"""
Own a row, keep it from children, and fork in the way that is asked for.

Each child counts and beats as if it were the owner; the owner then counts one.
"""

import multiprocessing
import os
import subprocess
import sys
import time

from penstock.shm.private import keep_from_children
from penstock.shm.segment import Segment

fd, row_index, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
segment = Segment.attach(fd)
row = segment.adopt(row_index, pid=os.getpid(), now_ns=time.monotonic_ns())
row.cells[0] = 41
view = row.cells[:8]
if how != "unguarded":
    keep_from_children(segment)


def scribble() -> None:
    """Write wherever an owner writes, and see it."""
    assert how == "closed" or row.cells[0] == 41, "what was counted before is not there"
    for _ in range(1000):
        row.cells[0] += 1
        view[1] += 1
    row.beat(1)
    row.samples[0] = row.events[0] = row.board[0] = 7
    row.values[0] = 1.5
    assert (view[1], row.samples[0], row.values[0]) == (1000, 7, 1.5)


def fork(live: object) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            live()  # type: ignore[operator]
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


match how:
    case "fork" | "unguarded":
        fork(scribble)
    case "closed":
        os.close(fd)
        os.open("/dev/null", os.O_RDONLY)  # which gets the number of the descriptor
        fork(scribble)
    case "grandchild":
        fork(lambda: fork(scribble))
    case "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=scribble)
        child.start()
        child.join()
        assert child.exitcode == 0
    case "preexec":
        subprocess.run(["true"], preexec_fn=scribble, check=True)
    case "subprocess":
        assert subprocess.run(["echo", "hello"], capture_output=True, check=True).stdout == b"hello\n"
        assert os.system("true") == 0
row.cells[0] += 1
