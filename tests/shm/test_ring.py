"""A reader gets whole records or none, whenever the writer stops or is stopped."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.shm import layout
from penstock.shm.ring import Ring, RingWriter, read_records
from penstock.shm.schema import SAMPLE_COUNT, SAMPLE_WORDS

Payload = tuple[int, ...]

# Nine stores fill a record, the tenth publishes it.
STORES_PER_PUSH = 10


class Killed(BaseException):
    """The writer is gone, between two stores."""


class Memory:
    """
    Words of which each store can be the last, and each load the occasion for something else.

    It stands in for a memoryview, so that it is the real writer and the real
    reader that are broken off and interleaved.
    """

    def __init__(self) -> None:
        self.owner = memoryview(bytearray(layout.LINE_WORDS * 8)).cast("Q")
        self.ring = memoryview(bytearray(SAMPLE_COUNT * SAMPLE_WORDS * 8)).cast("Q")
        self.stores_left: int | None = None
        self.before_load: Callable[[], None] = lambda: None

    def view(self, words: memoryview) -> memoryview:
        return cast(memoryview, _View(self, words))

    def writer(self) -> RingWriter:
        return RingWriter(self.where())

    def read(self) -> list[tuple[int, Payload]]:
        return [(number, tuple(payload)) for number, payload in read_records(self.where())]

    def where(self) -> Ring:
        return Ring(self.view(self.ring), SAMPLE_WORDS, self.view(self.owner), layout.OWNER_SAMPLES_HEAD)


class _View:
    def __len__(self) -> int:
        return len(self._words)

    def __init__(self, memory: Memory, words: memoryview) -> None:
        self._memory = memory
        self._words = words

    def __getitem__(self, key: int | slice) -> int | memoryview:
        self._memory.before_load()
        return self._words[key]

    def __setitem__(self, index: int, word: int) -> None:
        if self._memory.stores_left == 0:
            raise Killed
        if self._memory.stores_left is not None:
            self._memory.stores_left -= 1
        self._words[index] = word


def payload(number: int) -> Payload:
    """Give a record that shows when two are mixed."""
    return (number, 2 * number, 3 * number, 4 * number, 5 * number, 6 * number)


class RingMachine(RuleBasedStateMachine):
    """
    Writers come, push, and are killed between any two stores; readers look at any time.

    A record counts from its last store on. Until then its number is free, and
    the next writer takes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.writer = self.memory.writer()
        self.pushed: list[Payload] = []
        self.made = 0

    def fresh(self) -> Payload:
        self.made += 1
        return payload(self.made)

    @rule(count=st.integers(1, 5))
    def push(self, count: int) -> None:
        for _ in range(count):
            record = self.fresh()
            self.writer.push(record)
            self.pushed.append(record)

    @rule()
    def push_more_than_the_ring_holds(self) -> None:
        self.push(SAMPLE_COUNT + 3)

    @rule(stores=st.integers(0, STORES_PER_PUSH - 1))
    def kill_and_replace_the_writer(self, stores: int) -> None:
        self.memory.stores_left = stores
        with pytest.raises(Killed):
            self.writer.push(self.fresh())
        self.memory.stores_left = None
        self.writer = self.memory.writer()

    @rule()
    def replace_the_writer(self) -> None:
        self.writer = self.memory.writer()

    @invariant()
    def readers_see_only_whole_records_in_order(self) -> None:
        accepted = self.memory.read()
        assert all(self.pushed[number] == record for number, record in accepted)
        numbers = [number for number, _ in accepted]
        assert numbers == sorted(set(numbers))

        # All of the newest are there, but one that a dying writer may have begun to overwrite.
        expected = min(len(self.pushed), SAMPLE_COUNT)
        assert len(numbers) >= expected - 1
        if expected:
            assert numbers[-1] == len(self.pushed) - 1


RingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRing = RingMachine.TestCase


def test_every_store_of_a_push_can_be_the_last() -> None:
    """The machine above counts on ten stores a push; a change of the writer must show here."""
    memory = Memory()
    memory.stores_left = 1000
    memory.writer().push(payload(1))
    assert memory.stores_left == 1000 - STORES_PER_PUSH


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_reader_interrupted_anywhere_rejects_what_changed_under_it(data: st.DataObject) -> None:
    """
    Between any two loads of the reader the writer may push, or push half of a record.

    The full ring makes every push overwrite a record that the reader wants.
    """
    memory = Memory()
    writer = memory.writer()
    pushed = [payload(number) for number in range(SAMPLE_COUNT)]
    for record in pushed:
        writer.push(record)

    loads = 0
    interrupt_at = data.draw(st.integers(1, 3 * SAMPLE_COUNT))
    pushes = data.draw(st.integers(0, 2 * SAMPLE_COUNT))
    stores = data.draw(st.integers(0, STORES_PER_PUSH - 1))

    def interrupt() -> None:
        nonlocal loads
        loads += 1
        if loads != interrupt_at:
            return
        for _ in range(pushes):
            record = payload(len(pushed))
            pushed.append(record)
            writer.push(record)
        memory.stores_left = stores
        with pytest.raises(Killed):
            writer.push(payload(len(pushed)))

    memory.before_load = interrupt
    for number, record in memory.read():
        assert record == pushed[number]


@pytest.mark.parametrize("word", range(1, 8))
def test_the_checksum_rejects_a_mixture_that_the_sequence_lets_through(word: int) -> None:
    """
    What a processor that reorders stores may show: the new sequence and an old word.
    """
    memory = Memory()
    writer = memory.writer()
    writer.push(payload(1))
    writer.push(payload(2))
    at = 1 * SAMPLE_WORDS
    memory.ring[at + word] = memory.ring[word]
    assert [number for number, _ in memory.read()] == [0]


@pytest.mark.parametrize("head", [2**54, 2**63, 2**64 - 1, 5, 1_000_000])
def test_an_insane_head_gives_no_records_and_no_error(head: int) -> None:
    """The owner's line may hold anything."""
    memory = Memory()
    memory.owner[layout.OWNER_SAMPLES_HEAD] = head
    assert memory.read() == []
    memory.writer().push(payload(1))
    assert [record for _, record in memory.read()] == [payload(1)]
