"""
Counts responses into the cells of this process's row.

A meter continues from whatever value a cell has: rows outlive processes.
"""

from penstock.shm.histogram import bucket_of
from penstock.worker.spec import RouteCells

# Buckets of short times by table: a look-up is cheaper than bit_length().
TABLE_SIZE = 4096
_TABLE = tuple(bucket_of(elapsed_us) for elapsed_us in range(TABLE_SIZE))


class RouteMeter:
    """
    The numbers of one route: responses by class, and how long they took.
    """

    __slots__ = ("_buckets", "_cells", "_classes", "_sum")

    def __init__(self, cells: memoryview, where: RouteCells) -> None:
        self._cells = cells
        self._classes = where.requests - 2
        self._sum = where.duration
        self._buckets = where.duration + 1

    def count(self, status: int, elapsed_ns: int) -> None:
        """Count a response that was sent, whole or in part."""
        cells = self._cells
        elapsed_us = elapsed_ns // 1000
        # The bucket before the sum, as in `histogram.observe`, which this unrolls.
        bucket = _TABLE[elapsed_us] if elapsed_us < TABLE_SIZE else bucket_of(elapsed_us)
        cells[self._buckets + bucket] += 1
        cells[self._sum] += elapsed_us
        cells[self._classes + status // 100] += 1
