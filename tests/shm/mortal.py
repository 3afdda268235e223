"""
Words of a ring whose writer can die at any store, and whose reader can be held up at any load.

They stand in for a memoryview, so that it is the real writer and the real
reader that are broken off and interleaved.
"""

from collections.abc import Callable
from typing import cast

from penstock.shm import layout
from penstock.shm.ring import Ring, RingWriter, read_records
from penstock.shm.schema import SAMPLE_COUNT, SAMPLE_WORDS

Payload = tuple[int, ...]

# Nine stores fill a record, the tenth publishes it.
STORES_PER_PUSH = 10


class Killed(BaseException):
    """The writer is gone, between two stores."""


def _nothing() -> None:
    pass


class Memory:
    """A ring of samples. The hooks are called before each store and each load, and may do anything."""

    def __init__(self) -> None:
        self.owner = memoryview(bytearray(layout.LINE_WORDS * 8)).cast("Q")
        self.ring = memoryview(bytearray(SAMPLE_COUNT * SAMPLE_WORDS * 8)).cast("Q")
        self.stores_left: int | None = None
        self.before_store: Callable[[], None] = _nothing
        self.before_load: Callable[[], None] = _nothing

    def writer(self) -> RingWriter:
        """Give a writer as the next owner of the row makes it."""
        return RingWriter(self._where())

    def read(self, since: int = 0) -> list[tuple[int, Payload]]:
        """Read as anyone may."""
        return [(number, tuple(payload)) for number, payload in read_records(self._where(), since)]

    def _where(self) -> Ring:
        return Ring(self._view(self.ring), SAMPLE_WORDS, self._view(self.owner), layout.OWNER_SAMPLES_HEAD)

    def _view(self, words: memoryview) -> memoryview:
        return cast(memoryview, _View(self, words))


class _View:
    def __init__(self, memory: Memory, words: memoryview) -> None:
        self._memory = memory
        self._words = words

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, key: int | slice) -> "int | _Slice":
        if isinstance(key, slice):
            return _Slice(self._memory, self._words[key])
        self._memory.before_load()
        return self._words[key]

    def __setitem__(self, index: int, word: int) -> None:
        self._memory.before_store()
        if self._memory.stores_left == 0:
            raise Killed
        if self._memory.stores_left is not None:
            self._memory.stores_left -= 1
        self._words[index] = word


class _Slice:
    """Many words that are copied by one call, and loaded one after the other all the same."""

    def __init__(self, memory: Memory, words: memoryview) -> None:
        self._memory = memory
        self._words = words

    def tolist(self) -> list[int]:
        words = []
        for index in range(len(self._words)):
            self._memory.before_load()
            words.append(self._words[index])
        return words


def payload(number: int) -> Payload:
    """Give a record that shows when two are mixed."""
    return (number, 2 * number, 3 * number, 4 * number, 5 * number, 6 * number)
