"""An exemplar is read whole or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.shm.exemplars import (
    AREA_WORDS,
    RECORD_COUNT,
    RECORD_WORDS,
    ExemplarReading,
    ExemplarWriter,
    read_exemplars,
)


def words() -> memoryview:
    return memoryview(bytearray(AREA_WORDS * 8)).cast("Q")


def exemplar(number: float) -> ExemplarReading:
    return ExemplarReading({"trace_id": f"{int(number):032x}"}, number, 1000.0 + number)


def test_the_last_one_of_a_cell_is_kept() -> None:
    """
    Also by a writer that goes on where another one stopped.
    """
    section = words()
    writer = ExemplarWriter(section)
    for number in range(3):
        writer.put(7, exemplar(number))
    writer.put(9, exemplar(5))
    ExemplarWriter(section).put(7, exemplar(6))
    assert read_exemplars(section) == {7: exemplar(6), 9: exemplar(5)}


def test_the_oldest_cells_make_room() -> None:
    """
    More cells than records: those that came last are there.
    """
    section = words()
    writer = ExemplarWriter(section)
    for cell in range(RECORD_COUNT + 10):
        writer.put(cell, exemplar(cell))
    assert read_exemplars(section) == {cell: exemplar(cell) for cell in range(10, RECORD_COUNT + 10)}


def test_labels_that_are_too_long_are_left_out() -> None:
    """
    128 characters are allowed, and may be 512 bytes; there is room for 208.
    """
    section = words()
    writer = ExemplarWriter(section)
    assert writer.put(1, ExemplarReading({"a": "x" * 190}, 1.0, 2.0))
    assert not writer.put(2, ExemplarReading({"a": "ü" * 127}, 1.0, 2.0))
    assert list(read_exemplars(section)) == [1]


def test_a_writer_killed_between_two_stores_leaves_no_mixture() -> None:
    """
    The record is the old one, the new one, or none.
    """
    before, after = words(), words()
    ExemplarWriter(before).put(3, exemplar(1))
    after[:] = before
    ExemplarWriter(after).put(3, exemplar(2))
    torn = words()
    for stored in range(1, RECORD_WORDS):
        torn[:] = before
        torn[0] = 3
        torn[1:stored] = after[1:stored]
        assert read_exemplars(torn) == {}
        torn[0] = 2  # The reader has seen the old sequence, and then the new words.
        assert read_exemplars(torn) in ({}, {3: exemplar(1)})
    ExemplarWriter(torn).put(4, exemplar(9))
    assert read_exemplars(torn)[4] == exemplar(9)


@given(st.binary(max_size=AREA_WORDS * 8))
def test_noise_raises_nothing(noise: bytes) -> None:
    """
    A row may hold anything.
    """
    section = words()
    section.cast("B")[: len(noise)] = noise
    read_exemplars(section)
    ExemplarWriter(section).put(1, exemplar(1))
