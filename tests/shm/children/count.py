"""Adopt a row, then count in two words and push samples, until killed."""

import os
import sys
import time

from penstock.shm.samples import SampleWriter
from penstock.shm.segment import Segment

fd, row_index, first, second = map(int, sys.argv[1:])
segment = Segment.attach(fd)
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
