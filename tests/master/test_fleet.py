"""The table of a worker's life, whole, and what a fleet can be asked."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from penstock.master.fleet import TRANSITIONS, Event, Fleet, State, Worker, next_state


def worker(pid: int, slot: int = 0, *, generation: int = 1, state: State = State.READY) -> Worker:
    return Worker(
        pid=pid,
        slot=slot,
        generation=generation,
        row=pid,
        core=None,
        state=state,
        since_s=1.0,
        spawned_s=1.0,
    )


LEGAL = {
    (State.STARTING, Event.BOOTED): State.READY,
    (State.STARTING, Event.DRAIN): State.DRAINING,
    (State.STARTING, Event.EXITED): State.GONE,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.READY, Event.EXITED): State.GONE,
    (State.DRAINING, Event.BOOTED): State.DRAINING,
    (State.DRAINING, Event.EXITED): State.GONE,
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_the_life_of_a_worker_has_these_moves_and_no_others(state: State, event: Event) -> None:
    """A move that is not in the table is our bug, and shows as one."""
    if (state, event) in LEGAL:
        assert next_state(state, event) is LEGAL[state, event]
    else:
        with pytest.raises(AssertionError):
            next_state(state, event)


def test_every_life_can_end_and_no_end_has_a_sequel() -> None:
    assert TRANSITIONS[State.GONE] == {}
    assert all(TRANSITIONS[state][Event.EXITED] is State.GONE for state in State if state is not State.GONE)


def test_an_event_moves_one_worker_and_notes_when() -> None:
    fleet = Fleet(workers=(worker(1, state=State.STARTING), worker(2, 1)), slot_count=2, generation=1)

    moved = fleet.with_state(1, Event.BOOTED, 5.0)

    assert moved.workers == (replace(worker(1), since_s=5.0), worker(2, 1))
    assert fleet.workers[0].state is State.STARTING


@pytest.mark.parametrize(
    "change",
    [
        lambda fleet: fleet.with_kill(9),
        lambda fleet: fleet.without(9),
        lambda fleet: fleet.with_state(9, Event.EXITED, 0.0),
    ],
)
def test_a_stranger_changes_nothing(change: Callable[[Fleet], Fleet]) -> None:
    """Messages and exits may come late."""
    fleet = Fleet(workers=(worker(1),), slot_count=1, generation=1)

    assert change(fleet) == fleet


def test_the_workers_of_a_slot_are_listed_youngest_last() -> None:
    """By generation, and within one by when they were started."""
    third, first = worker(3, generation=2), worker(1)
    second = replace(worker(2), spawned_s=2.0)
    fleet = Fleet(workers=(third, second, worker(4, 1), first), slot_count=2, generation=2)

    assert [each.pid for each in fleet.on_slot(0, State.READY)] == [1, 2, 3]
    assert fleet.on_slot(0, State.STARTING) == ()


def test_the_serving_generation_is_the_youngest_that_is_ready() -> None:
    booting = worker(2, generation=3, state=State.STARTING)

    assert Fleet(workers=(worker(1), booting), slot_count=1, generation=3).serving_generation == 1
    assert Fleet(workers=(booting,), slot_count=1, generation=3).serving_generation == 3


def test_all_slots_are_ready_when_each_has_somebody_of_any_generation() -> None:
    """A draining worker serves what it has, and is no help to new connections."""
    other = worker(2, 1, generation=2)
    fleet = Fleet(workers=(worker(1), other), slot_count=2, generation=2)

    assert fleet.all_slots_ready
    assert not replace(fleet, slot_count=3).all_slots_ready
    assert not fleet.with_state(1, Event.DRAIN, 0.0).all_slots_ready


def test_a_worker_is_found_by_its_pid_until_it_is_forgotten() -> None:
    fleet = Fleet(workers=(worker(1), worker(2, 1)), slot_count=2, generation=1)

    assert fleet.find(2) == worker(2, 1)
    assert fleet.without(2).find(2) is None
    assert fleet.with_kill(1).workers[0].is_killed
