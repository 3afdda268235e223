"""Flip the first sixteen cells of row 0 between zeros and ones, or keep storing ones, until killed."""

import struct
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
elif store == "packed":
    ones = (2**64 - 1,) * 16
    pack = struct.Struct("16Q")
    target = cells.cast("B")
    while True:
        pack.pack_into(target, 0, *ones)
