"""What becomes of an order, told as a list of events, with no process."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.fleet import Backoff, Fleet, State, Worker
from penstock.master.operations import (
    ENDED_MAX,
    ROLLING,
    RUNNING_MAX,
    STOPPING,
    TEXT_CHARS_MAX,
    Operation,
    Operations,
    judge_scale,
    new_id,
)
from penstock.master.verbs import VERBS

NOW_S = 1_700_000_000.0


def begun(operations: Operations, verb: str, argument: int | None = None, origin: str = "control") -> str:
    return operations.begin(verb, argument, origin=origin, id=new_id(), now_s=NOW_S).id


def found(operations: Operations, id: str) -> Operation:
    return next(each for each in operations.all if each.id == id)


def states(operations: Operations) -> list[str]:
    return [each.state for each in operations.all]


def fleet(*slots: int, wanted: int, failing: tuple[int, ...] = ()) -> Fleet:
    workers = tuple(
        Worker(
            pid=100 + slot,
            slot=slot,
            generation=1,
            row=slot,
            core=None,
            state=State.READY,
            since_s=0.0,
            spawned_s=0.0,
        )
        for slot in slots
    )
    backoff = {slot: Backoff(failures=1, not_before_s=1.0) for slot in failing}
    return Fleet(workers=workers, slot_count=wanted, generation=1, has_served=True, backoff=backoff)


def test_reload_is_done_when_its_generation_serves_and_not_before() -> None:
    """
    An earlier generation that gets ready meanwhile is not what was asked for.
    """
    operations = Operations()
    id = begun(operations, "reload")
    operations.rolled(1, NOW_S)
    assert operations.waiting("reload")

    operations.aim(2, "reload")
    assert not operations.waiting("reload")
    operations.rolled(1, NOW_S)
    assert found(operations, id).is_running

    operations.rolled(2, NOW_S + 5)
    ended = found(operations, id)
    assert (ended.state, ended.generation, ended.ended_at) == ("done", 2, NOW_S + 5)
    assert ended.result == "generation 2 serves"


def test_overtaken_roll_is_done_with_the_one_that_overtook_it() -> None:
    """
    It wanted code that is at most as old as itself, and that serves.
    """
    operations = Operations()
    for number in (2, 3):
        begun(operations, "reload")
        operations.aim(number, "reload")
    operations.rolled(3, NOW_S)

    assert [(each.state, each.generation) for each in operations.all] == [("done", 3)] * 2


def test_overtaken_roll_fails_with_the_one_that_overtook_it() -> None:
    """
    Nobody goes back to finishing it.
    """
    operations = Operations()
    begun(operations, "reload")
    operations.aim(2, "reload")
    begun(operations, "upgrade")
    operations.aim(3, "upgrade")
    begun(operations, "reload")  # Its turn is still to come.
    operations.abandoned("oops", NOW_S)

    assert states(operations) == ["failed", "failed", "running"]
    assert operations.all[0].reason == "oops"


def test_refusal_leaves_a_roll_under_way_alone() -> None:
    """
    The second reload found a broken file; the first one goes on.
    """
    operations = Operations()
    begun(operations, "reload")
    operations.aim(2, "reload")
    begun(operations, "reload")
    operations.refuse("reload", "line 3", NOW_S)

    assert states(operations) == ["running", "failed"]


def test_failed_check_does_not_end_the_reload_that_waits_for_it() -> None:
    """
    It is carried out afterwards.
    """
    operations = Operations()
    begun(operations, "upgrade")
    begun(operations, "upgrade")
    begun(operations, "reload")
    operations.refuse("upgrade", "oops", NOW_S)

    assert states(operations) == ["failed", "failed", "running"]
    assert operations.waiting("reload")


def test_new_code_takes_over_all_that_waited() -> None:
    """
    It has read the configuration after all of them were asked for.
    """
    operations = Operations()
    begun(operations, "upgrade")
    begun(operations, "reload")
    handed_over = Operations(operations.all)
    handed_over.aim(2, *ROLLING)
    handed_over.rolled(2, NOW_S)

    assert states(handed_over) == ["done", "done"]


def test_second_attempt_of_a_hot_restart_is_another_operation() -> None:
    """
    Whoever waited for the first was told that it failed, and has gone.
    """
    operations = Operations()
    begun(operations, "upgrade")
    begun(operations, "scale", 2)
    operations.retried(NOW_S)
    operations.aim(2, *ROLLING)
    operations.rolled(2, NOW_S)

    assert [(each.verb, each.state) for each in operations.all] == [
        ("upgrade", "failed"),
        ("scale", "failed"),
        ("upgrade", "done"),
    ]


def test_stop_ends_everything_but_itself() -> None:
    """
    What is under way will not happen any more.
    """
    operations = Operations()
    for verb in VERBS:
        begun(operations, verb, 2 if VERBS[verb].argument else None)
    operations.stopping(NOW_S)

    assert {each.verb for each in operations.all if each.is_running} == {"drain"}
    assert {each.reason for each in operations.all if each.state == "failed"} == {STOPPING}


@pytest.mark.parametrize(
    ("seen", "state", "told"),
    [
        (fleet(0, 1, wanted=2), "done", "2 workers"),
        (fleet(0, wanted=2), "running", ""),
        (fleet(0, 1, 2, wanted=2), "running", ""),
        (fleet(0, wanted=2, failing=(1,)), "failed", "slot 1 does not start"),
        (fleet(0, 1, wanted=2, failing=(1,)), "done", "2 workers"),
        (fleet(0, 1, wanted=2, failing=(5,)), "done", "2 workers"),
        (fleet(0, 1, wanted=1), "failed", "overtaken: 1 worker"),
        (fleet(0, 1, 2, wanted=3), "failed", "overtaken: 3 workers"),
    ],
)
def test_scaling_ends_as_the_fleet_shows(seen: Fleet, state: str, told: str) -> None:
    """
    Every slot serves and the surplus has gone; or that cannot be waited for.
    """
    operations = Operations()
    id = begun(operations, "scale", 2)
    assert operations.settle(seen, NOW_S) == (state != "running")

    ended = found(operations, id)
    assert ended.state == state
    assert told in ended.reason + ended.result
    assert not operations.settle(seen, NOW_S), "it ends once"


@pytest.mark.parametrize(
    ("wanted", "can_spawn", "told"),
    [
        (1, True, None),
        (8, True, None),
        (0, True, "1 to 8"),
        (9, True, "1 to 8"),
        (-1, True, "1 to 8"),
        (1, False, None),
        (2, False, None),
        (3, False, "reload or upgrade"),
    ],
)
def test_scale_is_refused_beyond_the_limits(wanted: int, can_spawn: bool, told: str | None) -> None:
    """
    And names them.
    """
    refusal = judge_scale(wanted, replace(fleet(0, 1, wanted=2), can_spawn=can_spawn), 8)

    assert refusal is None if told is None else told in (refusal or "")


def test_same_signal_again_is_the_same_operation_while_it_waits() -> None:
    """
    As in the kernel; once it is being carried out, another one is another wish.
    """
    operations = Operations()
    first = begun(operations, "reload", origin="SIGHUP")
    assert begun(operations, "reload", origin="SIGHUP") == first
    assert begun(operations, "reload") != first
    operations.aim(2, "reload")
    assert begun(operations, "reload", origin="SIGHUP") != first


def test_only_so_many_run_and_only_so_many_are_remembered() -> None:
    """
    Somebody's loop costs neither memory nor anybody's outcome.
    """
    operations = Operations()
    first = begun(operations, "reload")
    for _ in range(RUNNING_MAX - 1):
        begun(operations, "reload")
    refused = begun(operations, "reload")
    assert "under way" in found(operations, refused).reason
    for _ in range(100):
        begun(operations, "upgrade")

    assert len(operations.all) == RUNNING_MAX + ENDED_MAX
    assert found(operations, first).is_running
    begun(operations, "drain", origin="SIGTERM")
    assert operations.all[-1].is_running


def test_one_that_ended_is_not_ended_again() -> None:
    """
    Its outcome was told; what comes late is nobody's news.
    """
    operations = Operations()
    id, other = begun(operations, "drain"), begun(operations, "drain")
    operations.finish(id, "gone", NOW_S)
    operations.fail(id, "oops", NOW_S)
    operations.finish(id, "gone twice", NOW_S)

    assert (found(operations, id).state, found(operations, id).result) == ("done", "gone")
    assert found(operations, other).is_running


def test_reason_is_cut_to_its_end() -> None:
    """
    The last line of a traceback says what it was.
    """
    operations = Operations()
    id = begun(operations, "reload")
    operations.fail(id, "x" * TEXT_CHARS_MAX + "the point", NOW_S)

    assert len(found(operations, id).reason) == TEXT_CHARS_MAX
    assert found(operations, id).reason.endswith("the point")


EVENTS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(sorted(VERBS)), st.sampled_from(["control", "SIGHUP"])),
    st.tuples(st.just("aim"), st.sampled_from(sorted(ROLLING)), st.just("")),
    st.tuples(
        st.sampled_from(["rolled", "abandoned", "stopping", "settle", "handover"]), st.just(""), st.just("")
    ),
    st.tuples(st.just("refuse"), st.sampled_from(sorted(ROLLING)), st.just("")),
)


@given(st.lists(EVENTS, max_size=80))
def test_an_end_is_final_and_the_list_is_bounded(events: list[tuple[str, str, str]]) -> None:
    """
    Whatever happens in whatever order, and over a hand-over.
    """
    operations, generation = Operations(), 1
    ended: dict[str, Operation] = {}
    for what, verb, origin in events:
        match what:
            case "begin":
                begun(operations, verb, 2 if VERBS[verb].argument else None, origin)
            case "aim":
                generation += 1
                operations.aim(generation, verb)
            case "rolled":
                operations.rolled(generation, NOW_S)
                assert not [
                    each for each in operations.all if each.is_running and each.generation is not None
                ]
            case "abandoned":
                operations.abandoned("oops", NOW_S)
            case "refuse":
                operations.refuse(verb, "oops", NOW_S)
                assert not operations.waiting(verb)
            case "stopping":
                operations.stopping(NOW_S)
                assert {each.verb for each in operations.all if each.is_running} <= {"drain"}
            case "settle":
                operations.settle(fleet(0, 1, wanted=2), NOW_S)
            case _:
                text = msgspec.json.encode(operations.all)
                operations = Operations(msgspec.json.decode(text, type=tuple[Operation, ...]))
        assert len({each.id for each in operations.all}) == len(operations.all)
        assert len(operations.all) <= RUNNING_MAX + len(VERBS) + generation + ENDED_MAX
        for each in operations.all:
            assert each.is_running == (each.ended_at is None)
            assert bool(each.reason) == (each.state == "failed")
            assert ended.get(each.id, each) == each
            if not each.is_running:
                ended[each.id] = each
