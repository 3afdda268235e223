"""
What one upstream server does, counted: in the cells of this process's row, or for nobody.

Each request that a server is asked ends as one of three: it is answered
(`count`), it fails (`failed`), or its client leaves before the head of an
answer has come, which is nobody's fault and counted nowhere.
"""

from collections.abc import Callable
from typing import Final

from penstock.shm import names
from penstock.shm.counting import Meter
from penstock.shm.histogram import WORD_COUNT, observe
from penstock.worker.gateway.spec import ServerCells, ServerSpec

# How a server fails: places in names.UPSTREAM_FAILURE_REASONS.
CONNECT, CONNECT_TIMEOUT, CLOSED, TIMEOUT, PROTOCOL, OVERLOAD = range(len(names.UPSTREAM_FAILURE_REASONS))

# For a server without cells: the same words, in a place of its own.
_PRIVATE: Final = ServerCells(
    requests=0,
    connections=4,
    queued=6,
    left_out=7,
    failures=8,
    retries=14,
    ejections=15,
    duration=16,
    connect_duration=16 + WORD_COUNT,
)
_PRIVATE_WORDS: Final = 16 + 2 * WORD_COUNT


class ServerNumbers:
    """
    The numbers of one server in one worker.

    `count` takes the status of an answer, 200 to 599, and the µs from the
    request's being sent to the answer's end. It is the meter's own method, so
    that an answer pays for one call.
    """

    __slots__ = ("_cells", "_where", "count", "last_failure", "word")

    count: Callable[[int, int], None]

    def __init__(self, server: ServerSpec, cells: memoryview | None) -> None:
        is_counted = server.cells is not None and cells is not None
        # What others know the server by: the first of its words; 0 if it has none.
        self.word = server.cells.requests if server.cells is not None and is_counted else 0
        self._where = server.cells if server.cells is not None and is_counted else _PRIVATE
        self._cells = (
            cells if cells is not None and is_counted else memoryview(bytearray(8 * _PRIVATE_WORDS)).cast("Q")
        )
        self.count = Meter(self._cells, self._where.requests, self._where.duration, server.address).count
        self.last_failure = CONNECT

    def connected(self, elapsed_us: int) -> None:
        """Count a connection that was made, and how long that took."""
        observe(self._cells, self._where.connect_duration, elapsed_us)

    def failed(self, failure: int) -> None:
        """Count a request that was not answered."""
        self.last_failure = failure
        self._cells[self._where.failures + failure] += 1

    def note_retry(self) -> None:
        """Count a request that is sent another time after it has failed here."""
        self._cells[self._where.retries] += 1

    def note_ejection(self) -> None:
        """Count that the server is left out for a while, because of its failures."""
        self._cells[self._where.ejections] += 1

    def show(self, *, active: int, idle: int, queued: int, is_up: bool) -> None:
        """Say how things stand. With each tick, not with each request."""
        cells, where = self._cells, self._where
        cells[where.connections] = active
        cells[where.connections + 1] = idle
        cells[where.queued] = queued
        cells[where.left_out] = not is_up
