"""
Fork an owner for each row index that comes in, which counts in two words and pushes samples until killed.

A line with an index is answered with the pid, an empty line with the status of
the owner, once it has ended. To fork is a hundred times as fast as to start Python.
"""

import os
import sys
import time

from penstock.shm.samples import SampleWriter
from penstock.shm.segment import Segment

fd, first, second = map(int, sys.argv[1:])
segment = Segment.attach(fd)


def count(row_index: int) -> None:
    """Adopt the row, and never stop."""
    row = segment.adopt(row_index, pid=os.getpid(), now_ns=time.monotonic_ns())
    samples = SampleWriter(row)
    while True:
        row.cells[first] += 1
        row.cells[second] += 1
        count = row.cells[second]
        samples.push(
            time_ns=count + 1,
            requests=count,
            errors=2 * count,
            sent_bytes=3 * count,
            connections=count & 0xFFFF,
            loop_lag_us=count & 0xFF,
        )


pid = 0
try:
    for line in sys.stdin:
        if line.strip():
            pid = os.fork()
            if pid == 0:
                count(int(line))
            print(pid, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            pid = 0
finally:
    if pid > 0:
        os.kill(pid, 9)
