"""A reader gets whole records or none, whenever the writer stops or is stopped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.shm import layout
from penstock.shm.schema import SAMPLE_COUNT, SAMPLE_WORDS
from tests.shm.mortal import STORES_PER_PUSH, Killed, Memory, payload


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
