"""
Adopt a row and do to it what each request does, until killed.

Each duration is 3 µs, and each number tells which turn it is, so that a reader
can say what was the last store.
"""

import itertools
import os
import sys
import time

from penstock.shm.counting import BoardWriter, Cell, Meter
from penstock.shm.segment import Segment

fd, row_index, first_class, duration = map(int, sys.argv[1:])
segment = Segment.attach(fd)
row = segment.adopt(row_index, pid=os.getpid(), now_ns=time.monotonic_ns())
meter = Meter(row.cells, first_class, duration, "/")
board = BoardWriter(row.board)
cell = Cell()
cell.bind(row.values, 0)
for turn in itertools.count(1):
    entry = board.begin(1 | turn << 16, turn, b"%048d" % turn)
    assert entry is not None
    meter.count(200, 3)
    cell.inc(1)
    board.end(entry)
