"""
Where the responses of a route are counted: in the cells of this process's row.

Counting goes on from whatever value a cell has, since rows outlive processes.
This happens once a request; `counting.py` has it natively where it can.
"""

from typing import Final

from penstock.shm.histogram import BUCKET_COUNT, bucket_of

CLASS_FIRST: Final = 2
CLASS_COUNT: Final = 4

# Buckets of times below 4 ms: a look-up is cheaper than bit_length().
BUCKETS_COUNT: Final = 4096
BUCKETS: Final = tuple(bucket_of(elapsed_us) for elapsed_us in range(BUCKETS_COUNT))


class Meter:
    """
    The numbers of one route: responses by class, and how long they took.

    `first_class` is the first of the four words of responses, which names the
    route wherever a number must do, and `duration` that of the histogram.
    """

    __slots__ = ("_cells", "_classes", "_first_bucket", "_sum", "first_class", "route")

    def __init__(self, cells: memoryview, first_class: int, duration: int, route: str) -> None:
        if not 0 <= first_class <= len(cells) - CLASS_COUNT or not 0 <= duration < len(cells) - BUCKET_COUNT:
            raise IndexError("a route's words lie outside of the row")
        self.route = route  # what the numbers are labelled with
        self.first_class = first_class
        self._cells = cells
        self._classes = first_class - CLASS_FIRST  # plus the class is the word of 2xx to 5xx
        self._sum = duration
        self._first_bucket = duration + 1

    def count(self, status: int, elapsed_us: int) -> None:
        """
        Count a response, of status 200 to 599.

        This is `histogram.observe`, unrolled: the bucket before the sum.
        """
        bucket = BUCKETS[elapsed_us] if 0 <= elapsed_us < BUCKETS_COUNT else bucket_of(elapsed_us)
        cells = self._cells
        cells[self._first_bucket + bucket] += 1
        if elapsed_us > 0:
            cells[self._sum] += elapsed_us
        cells[self._classes + status // 100] += 1
