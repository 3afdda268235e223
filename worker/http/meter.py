"""
Where the responses of a route are counted: in the cells of this process's row.

Counting goes on from whatever value a cell has, since rows outlive processes.
`Exchange` does it inline, for it happens once a request.
"""

from penstock.shm.histogram import bucket_of, observe
from penstock.worker.spec import RouteCells

# Buckets of times below 4 ms: a look-up is cheaper than bit_length().
BUCKETS_COUNT = 4096
BUCKETS = tuple(bucket_of(elapsed_us) for elapsed_us in range(BUCKETS_COUNT))


class RouteMeter:
    """
    The numbers of one route: responses by class, and how long they took.
    """

    __slots__ = ("cells", "classes", "first_bucket", "route", "sum")

    def __init__(self, cells: memoryview, where: RouteCells, route: str) -> None:
        self.route = route  # what the numbers are labelled with
        self.cells = cells
        self.classes = where.requests - 2  # plus the class is the word of 2xx to 5xx
        self.sum = where.duration
        self.first_bucket = where.duration + 1

    @property
    def first_class(self) -> int:
        """The first of the four words of responses: what names the route wherever a number must do."""
        return self.classes + 2

    def count(self, status: int, elapsed_us: int) -> None:
        """Count a response."""
        observe(self.cells, self.sum, elapsed_us)
        self.cells[self.classes + status // 100] += 1
