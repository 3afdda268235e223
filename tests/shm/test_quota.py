"""A limit over all processes is never exceeded, in whatever order they do what they do."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from penstock.shm import quota
from penstock.shm.fence import full_fence
from penstock.shm.quota import Quota
from penstock.shm.segment import Segment
from tests.shm.conftest import ClaimWorker
from tests.shm.model.checker import Port, Program, explore
from tests.shm.model.memory import Memory, Sequential, TotalStore, Weak

MOST = 20
ROUNDS = 3000


def taker(number: int, count: int, ports: list[Port | None], *, most: int) -> Program:
    """Take one, if there is one, and keep it."""

    def program(port: Port) -> bool:
        ports[0] = port
        views = [port.view(f"row {index}", 2) for index in range(count)]
        others = [(view, 0) for index, view in enumerate(views) if index != number]
        return Quota((views[number], 0), lambda: others, most).reserve()

    return program


@contextmanager
def fenced(ports: list[Port | None], *, is_fenced: bool) -> Iterator[None]:
    """Have the checker fence where the code does."""

    def fence() -> None:
        if is_fenced:
            assert ports[0] is not None
            ports[0].fence()

    with patch.object(quota, "full_fence", fence):
        yield


@pytest.mark.parametrize("memory", [Sequential, TotalStore, Weak])
@pytest.mark.parametrize("most", [1, 2])
def test_no_order_of_things_gives_one_too_many(memory: type[Memory], most: int) -> None:
    """
    Three that want one of two at the same time, or two that want the same one.
    """
    ports: list[Port | None] = [None]
    programs: list[Any] = [taker(number, most + 1, ports, most=most) for number in range(most + 1)]
    with fenced(ports, is_fenced=True):
        ends = set(explore(programs, memory, {}))
    assert all(sum(end) <= most for end in ends)
    assert any(sum(end) == most for end in ends)


@pytest.mark.parametrize("memory", [TotalStore, Weak])
def test_without_the_fence_two_would_get_the_last_one(memory: type[Memory]) -> None:
    """
    It is not there for nothing: x86 itself turns a store and a later load around.
    """
    ports: list[Port | None] = [None]
    programs: list[Any] = [taker(number, 2, ports, most=1) for number in range(2)]
    with fenced(ports, is_fenced=False):
        assert (True, True) in set(explore(programs, memory, {}))


def test_takes_as_many_as_there_are_and_tells_who_waits() -> None:
    """
    One process alone gets all; what it gives back is free.
    """
    words = [memoryview(bytearray(16)).cast("Q") for _ in range(2)]
    first = Quota((words[0], 0), lambda: [(words[1], 0)], 3)
    second = Quota((words[1], 0), lambda: [(words[0], 0)], 3)
    assert [first.reserve() for _ in range(4)] == [True, True, True, False]
    assert not second.reserve()
    second.want(2)
    assert first.wanted() == 2
    assert first.surplus(3) == 1  # beyond its share, and all for one that has none
    assert first.surplus(1) == 1
    first.hold(1)
    assert [second.reserve() for _ in range(3)] == [True, True, False]


def test_processes_that_fight_for_it_never_have_too_many(segment: Segment, claim_worker: ClaimWorker) -> None:
    """
    Real ones, on real memory; each adds up all after it was given one, and finds no more than there are.
    """
    rows = [claim_worker(pid=1000 + index, slot=index) for index in range(4)]

    def fight(index: int) -> None:
        own = rows[index].cells
        others = [(row.cells, 0) for row in rows if row is not rows[index]]
        mine = Quota((own, 0), lambda: others, MOST)
        held = 0
        for turn in range(ROUNDS):
            if mine.reserve():
                held += 1
                own[2] = held  # what it really has; the other word is ahead for a moment
                full_fence()
                assert held + sum(cells[2] for cells, _ in others) <= MOST
            if held and turn % 3 == index % 3:
                held -= 1
                own[2] = held
                mine.hold(held)

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=fight, args=(index,)) for index in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
