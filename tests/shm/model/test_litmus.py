"""
The checker finds what machines do, and nothing that they cannot do.

These are the small programs with which memory models are compared. What is
known of each must come out, or the checker's other verdicts mean nothing.
"""

from typing import Any

import pytest

from tests.shm.model.checker import Port, Program, Thread, outcomes
from tests.shm.model.memory import Memory, Sequential, TotalStore, Weak

ALL: list[type[Memory]] = [Sequential, TotalStore, Weak]


def store_then_load(mine: str, other: str, *, is_fenced: bool) -> Program:
    """Say that I am here, then look whether the other is."""

    def program(port: Port) -> int:
        port.store(mine, 1)
        if is_fenced:
            port.fence()
        return port.load(other)

    return program


@pytest.mark.parametrize(("memory", "both_miss"), [(Sequential, False), (TotalStore, True), (Weak, True)])
def test_store_buffering(memory: type[Memory], *, both_miss: bool) -> None:
    """Both stores wait while both loads look: the one thing that x86 turns around."""
    plain = [store_then_load("x", "y", is_fenced=False), store_then_load("y", "x", is_fenced=False)]
    fenced = [store_then_load("x", "y", is_fenced=True), store_then_load("y", "x", is_fenced=True)]
    assert ((0, 0) in outcomes(plain, memory)) == both_miss
    assert outcomes(fenced, memory) == {(0, 1), (1, 0), (1, 1)}


def message(*, writer: str = "", reader: str = "") -> list[Program | Thread]:
    """Data, then a flag that it is there; the flag, then the data."""

    def write(port: Port) -> None:
        port.store("data", 1)
        if writer:
            getattr(port, writer)()
        port.store("flag", 1)

    def read(port: Port) -> tuple[int, int]:
        flag = port.load("flag")
        if reader:
            getattr(port, reader)()
        return flag, port.load("data")

    return [write, read]


def loses_the_message(memory: type[Memory], **fences: str) -> bool:
    """Say whether the flag can be seen without the data."""
    return any(seen == (1, 0) for _, seen in outcomes(message(**fences), memory))


def test_messages_arrive_whole_on_x86_and_not_on_weaker_machines() -> None:
    """Unless both sides fence, or the reader does so for both."""
    assert not loses_the_message(Sequential)
    assert not loses_the_message(TotalStore)
    assert loses_the_message(Weak)
    assert loses_the_message(Weak, writer="fence")
    assert loses_the_message(Weak, reader="fence")
    assert not loses_the_message(Weak, writer="fence", reader="fence")
    assert not loses_the_message(Weak, reader="membarrier")


@pytest.mark.parametrize("memory", ALL)
def test_a_word_never_goes_back(memory: type[Memory]) -> None:
    """Coherence: a single word is in order on every machine there is."""

    def write(port: Port) -> None:
        port.store("x", 1)
        port.store("x", 2)

    def read(port: Port) -> tuple[int, int]:
        return port.load("x"), port.load("x")

    seen = {pair for _, pair in outcomes([write, read], memory)}
    assert seen == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}


def test_the_weak_memory_is_weaker_than_arm() -> None:
    """
    Two readers may disagree about the order of two writers, though they fence.

    ARMv8 does not do that, POWER does. So what is sound here is sound on both.
    """

    def write(word: str) -> Program:
        return lambda port: port.store(word, 1)

    def read(first: str, second: str) -> Program:
        def program(port: Port) -> tuple[int, int]:
            seen = port.load(first)
            port.fence()
            return seen, port.load(second)

        return program

    ends = outcomes([write("x"), write("y"), read("x", "y"), read("y", "x")], Weak)
    assert any(end[2:] == ((1, 0), (1, 0)) for end in ends)


@pytest.mark.parametrize("memory", ALL)
def test_a_thread_sees_its_own_stores(memory: type[Memory]) -> None:
    """At once, wherever they wait."""

    def program(port: Port) -> tuple[int, int]:
        port.store("x", 5)
        return port.load("x"), port.load("y")

    assert outcomes([program, lambda port: port.store("y", 1)], memory) == {((5, 0), None), ((5, 1), None)}


@pytest.mark.parametrize("memory", ALL)
def test_the_next_life_sees_all_that_the_last_one_did(memory: type[Memory]) -> None:
    """And the last one may have done any part of it, in order."""

    def first(port: Port) -> None:
        port.store("x", 1)
        port.store("y", 1)

    def second(port: Port) -> tuple[int, int]:
        return port.load("y"), port.load("x")

    assert {end[0] for end in outcomes([Thread([first, second])], memory)} == {(0, 0), (0, 1), (1, 1)}


@pytest.mark.parametrize("memory", ALL)
def test_a_started_thread_sees_what_was_before_its_start(memory: type[Memory]) -> None:
    """As after a fork."""

    def parent(port: Port) -> None:
        port.store("x", 1)
        port.start(1)

    def child(port: Port) -> Any:
        return port.load("x")

    assert outcomes([parent, Thread([child], is_started_by_another=True)], memory) == {(None, 1)}
