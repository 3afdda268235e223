"""Processor time and collections are counted as they are spent, and only once."""

import gc
import os
import time

from penstock.worker.expense import Expense
from penstock.worker.spec import WorkerCells

WORDS = WorkerCells(cpu_us=0, gc_collections=1)


def cells_of(count: int = 4) -> memoryview:
    return memoryview(bytearray(8 * count)).cast("Q")


def test_processor_time_is_counted_in_microseconds() -> None:
    """All that the process has used, the time before the first look included."""
    cells = cells_of()
    expense = Expense(cells, WORDS)
    expense.count()
    assert 0 < cells[0] <= time.process_time_ns() // 1000
    while time.process_time_ns() // 1000 < cells[0] + 2000:
        pass
    before = cells[0]
    expense.count()
    assert cells[0] >= before + 2000


def test_a_successor_goes_on_counting() -> None:
    """The row's counter is the row's, whoever owns it."""
    cells = cells_of()
    cells[0] = 5_000_000_000
    Expense(cells, WORDS).count()
    assert 5_000_000_000 < cells[0] <= 5_000_000_000 + time.process_time_ns() // 1000


def test_a_child_counts_its_own_time_alone() -> None:
    """What the master has used is not the worker's."""
    until_s = time.process_time() + 0.2
    while time.process_time() < until_s:
        pass
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        cells = cells_of()
        Expense(cells, WORDS).count()
        os.write(writing, str(cells[0]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    counted_us = int(os.read(reading, 100))
    os.close(reading)
    os.close(writing)
    assert 0 < counted_us < 200_000


def test_collections_are_counted_from_the_first_look_on() -> None:
    """By generation; those that a child inherited are the master's."""
    cells = cells_of()
    expense = Expense(cells, WORDS)
    gc.collect()
    gc.collect(1)
    expense.count()
    seen = cells.tolist()[1:]
    assert seen[1] >= 1
    assert seen[2] >= 1
    gc.collect()
    expense.count()
    assert cells[3] == seen[2] + 1


def test_nothing_is_counted_where_there_are_no_words_for_it() -> None:
    """Such as in a process that is no worker of a server."""
    cells = cells_of()
    Expense(cells, None).count()
    assert cells.tolist() == [0, 0, 0, 0]
