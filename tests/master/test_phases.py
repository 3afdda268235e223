"""The states of the master: which holds, and what may follow what."""

import re
from itertools import product
from pathlib import Path

import pytest

from penstock.master.phases import MOVES, is_sound, phase
from penstock.shm.row import State

LIFECYCLE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


@pytest.mark.parametrize(
    ("is_leaving", "is_checking", "has_served", "is_rolling", "found"),
    [
        (False, False, False, False, State.STARTING),
        (False, False, True, False, State.RUNNING),
        (False, False, True, True, State.ROLLING),
        (False, True, True, False, State.UPGRADING),
        (False, True, True, True, State.UPGRADING),
        (True, False, False, False, State.DRAINING),
        (True, True, True, True, State.DRAINING),
    ],
)
def test_the_first_that_holds_is_the_state(
    is_leaving: bool, is_checking: bool, has_served: bool, is_rolling: bool, found: State
) -> None:
    seen = phase(is_leaving=is_leaving, is_checking=is_checking, has_served=has_served, is_rolling=is_rolling)
    assert seen is found


def test_nothing_follows_the_end_and_nothing_comes_before_the_first_service() -> None:
    for before, after in product(MOVES, MOVES):
        if before is State.DRAINING and after is not before:
            assert not is_sound(before, after)
        if after is State.STARTING and before is not after:
            assert not is_sound(before, after)
        assert is_sound(before, before)
        assert is_sound(before, State.DRAINING)


def test_an_image_begins_new_or_in_the_middle_of_a_hot_restart() -> None:
    sound = {state for state in MOVES if is_sound(None, state)}
    assert sound == {State.STARTING, State.ROLLING, State.RUNNING, State.DRAINING}


def test_the_drawing_shows_the_table() -> None:
    """
    The page is what an operator reasons with at night.
    """
    drawing = LIFECYCLE.read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", drawing, re.MULTILINE))
    moves = {(before.word, after.word) for before, afters in MOVES.items() for after in afters}
    assert {(before, after) for before, after in drawn if before != after} == moves
