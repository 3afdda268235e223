"""Flip the first sixteen cells of row 0 between all zeros and all ones, until killed."""

import sys

from penstock.shm.segment import Segment

fd, store = int(sys.argv[1]), sys.argv[2]
cells = Segment.attach(fd).row(0).cells[:16]

if store == "words":
    while True:
        for value in (0, 2**64 - 1):
            for index in range(16):
                cells[index] = value
elif store == "halves":
    halves = cells.cast("B").cast("I")
    while True:
        for value in (0, 2**32 - 1):
            for index in range(32):
                halves[index] = value
