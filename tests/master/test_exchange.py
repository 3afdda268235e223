"""What becomes of `recycle SLOT`, told of fleets and no process."""

from dataclasses import replace

import pytest

from penstock.master.exchange import RECYCLE, Exchange, judge_exchange, judge_recycle
from penstock.master.fleet import Event, Fleet, State, Worker
from penstock.master.operations import Operation, Operations

OLD = Worker(pid=1, slot=0, generation=1, row=1, core=None, state=State.READY, since_s=0.0, spawned_s=0.0)
NEW = replace(OLD, pid=2, spawned_s=1.0)
FLEET = Fleet(workers=(OLD,), slot_count=1, generation=1, has_served=True)
LEAVING = FLEET.with_leave(1, RECYCLE)
OPEN = Exchange()


def test_the_worker_that_serves_the_slot_is_replaced() -> None:
    assert judge_recycle(0, FLEET) == OLD
    assert judge_recycle(0, replace(FLEET, workers=(OLD, NEW))) == NEW


@pytest.mark.parametrize(
    ("slot", "fleet", "told"),
    [
        (1, FLEET, "there is no slot 1: there is slot 0"),
        (3, replace(FLEET, slot_count=3), "there is no slot 3: there is slot 0 to 2"),
        (0, replace(FLEET, can_spawn=False), "reload or upgrade"),
        (0, replace(FLEET, workers=()), "nobody serves slot 0"),
        (0, FLEET.with_kill(1), "nobody serves slot 0"),
    ],
)
def test_where_nobody_can_be_replaced_the_reason_is_told(slot: int, fleet: Fleet, told: str) -> None:
    found = judge_recycle(slot, fleet)

    assert isinstance(found, str)
    assert told in found


def test_it_is_done_when_the_successor_serves_and_the_predecessor_has_left() -> None:
    """Not before: what it still finishes is the predecessor's."""
    booting = replace(LEAVING, workers=(*LEAVING.workers, replace(NEW, state=State.STARTING)))
    drains = replace(booting, workers=(replace(OLD, leave_reason=RECYCLE, state=State.DRAINING), NEW))

    for fleet in (LEAVING, booting, drains, FLEET.without(1)):
        assert judge_exchange(0, 1, fleet) == OPEN
    assert judge_exchange(0, 1, drains.without(1)) == Exchange(result="worker 1 of slot 0 was replaced by 2")


def test_a_roll_that_comes_in_between_has_the_same_outcome() -> None:
    """Or, if it is given up after a hot restart that forgot why, none."""
    rolling = replace(FLEET, generation=2, is_rolling=True)

    assert judge_exchange(0, 1, rolling) == OPEN
    assert judge_exchange(0, 1, replace(rolling, workers=(replace(NEW, generation=2),))).result
    assert "stays" in judge_exchange(0, 1, FLEET).failure


def test_a_slot_that_is_scaled_away_fails_it() -> None:
    assert "no slot 0 any more" in judge_exchange(0, 1, replace(LEAVING, slot_count=0)).failure


def ordered(operations: Operations, slot: int) -> str:
    id = operations.begin("recycle", slot, origin="control", id=f"id{slot}", now_s=1.0).id
    operations.concern(id, 1 + slot)
    return id


def found(operations: Operations, id: str) -> Operation:
    return next(each for each in operations.all if each.id == id)


def test_the_operation_ends_with_its_exchange() -> None:
    operations = Operations()
    id = ordered(operations, 0)

    assert not operations.settle(LEAVING, 2.0)
    assert operations.settle(replace(LEAVING, workers=(NEW,)), 3.0)
    assert (found(operations, id).state, found(operations, id).pid) == ("done", 1)
    assert found(operations, id).result == "worker 1 of slot 0 was replaced by 2"


def test_a_successor_that_does_not_start_fails_those_who_wait_for_that_slot() -> None:
    operations = Operations()
    first, second = ordered(operations, 0), ordered(operations, 1)

    operations.not_started(0, "ImportError: oops", 2.0)

    assert found(operations, first).reason == "the next worker of slot 0 does not start: ImportError: oops"
    assert found(operations, second).is_running


def test_the_predecessor_of_an_order_that_failed_stays_and_one_that_is_due_does_not() -> None:
    """Nobody would expect more attempts after the command has said that it failed."""
    assert LEAVING.without_leave(0, RECYCLE) == FLEET
    due = FLEET.with_leave(1, "max_rss")
    assert due.without_leave(0, RECYCLE) == due
    drains = LEAVING.with_state(1, Event.DRAIN, 1.0)
    assert drains.without_leave(0, RECYCLE) == drains
