"""The decisions of a rolling restart, one by one and then all together under a random operator."""

import math
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.master.backoff import YOUNG_S, after_death
from penstock.master.fleet import Backoff, Event, Fleet, State, Worker
from penstock.master.obituary import Setback, judge_boot_failure
from penstock.master.rollout import (
    BOOT_GRACE_S,
    DRAIN_GRACE_S,
    HUNG,
    HUNG_GRACE_S,
    LEFTOVERS_MAX,
    Drain,
    Kill,
    Spawn,
    Step,
    abandon_roll,
    is_roll_done,
    late,
    next_deadline_s,
    next_step,
    surge_count,
)


def worker(pid: int, slot: int = 0, *, generation: int = 1, state: State = State.READY) -> Worker:
    return Worker(
        pid=pid,
        slot=slot,
        generation=generation,
        row=pid,
        core=None,
        state=state,
        since_s=0.0,
        spawned_s=0.0,
    )


OLD = worker(100)
BOOTING = worker(200, generation=2, state=State.STARTING)
YOUNG = worker(200, generation=2)


def fleet(*workers: Worker, slot_count: int = 1, generation: int = 2, is_rolling: bool = True) -> Fleet:
    return Fleet(
        workers=workers,
        slot_count=slot_count,
        generation=generation,
        is_rolling=is_rolling,
        has_served=True,
    )


def test_every_slot_is_filled_at_the_start_without_waiting_for_one_another() -> None:
    """A surge limit holds for replacements only: at the start there is nothing to spare."""
    empty = fleet(slot_count=2, generation=1, is_rolling=False)
    half = replace(empty, workers=(worker(1, state=State.STARTING),))

    assert next_step(empty, 0.0) == Spawn(0)
    assert next_step(half, 0.0) == Spawn(1)


def test_predecessor_drains_only_after_replacement_is_ready() -> None:
    """Capacity never dips: the old worker accepts until the new one can."""
    assert next_step(fleet(OLD), 0.0) == Spawn(0)
    assert next_step(fleet(OLD, BOOTING), 1.0) is None
    assert next_step(fleet(OLD, YOUNG), 2.0) == Drain(100, "roll")


def test_the_roll_is_done_when_the_last_predecessor_has_left() -> None:
    """Until then its generation is still needed, and `status` says that it rolls."""
    draining = replace(OLD, state=State.DRAINING)

    assert not is_roll_done(fleet(OLD, YOUNG))
    assert not is_roll_done(fleet(draining, YOUNG))
    assert is_roll_done(fleet(YOUNG))
    assert not is_roll_done(fleet(YOUNG, is_rolling=False))


def test_without_a_roll_an_outdated_worker_is_left_alone() -> None:
    """After a failed roll the old generation goes on serving."""
    assert next_step(fleet(OLD, is_rolling=False), 0.0) is None


@pytest.mark.parametrize(("slot_count", "surge"), [(1, 1), (4, 1), (7, 1), (8, 2), (64, 16)])
def test_a_quarter_of_the_slots_is_replaced_at_a_time(slot_count: int, surge: int) -> None:
    """Each replacement that boots costs memory and a core's time beside those that serve."""
    workers = [worker(slot + 1, slot) for slot in range(slot_count)]
    booting = [worker(slot + 1000, slot, generation=2, state=State.STARTING) for slot in range(surge)]

    assert surge_count(slot_count) == surge
    assert next_step(fleet(*workers, *booting[:-1], slot_count=slot_count), 0.0) == Spawn(surge - 1)
    assert next_step(fleet(*workers, *booting, slot_count=slot_count), 0.0) is None


def test_a_dead_worker_is_replaced_in_the_middle_of_a_roll() -> None:
    """The surge limit does not make an empty slot wait."""
    rolling = fleet(OLD, BOOTING, slot_count=2)

    assert next_step(rolling, 0.0) == Spawn(1)


def test_a_replacement_of_yesterdays_generation_is_ended_when_the_next_roll_begins() -> None:
    """It has served nobody yet, and would only be replaced itself."""
    third = fleet(OLD, BOOTING, generation=3)

    assert next_step(third, 0.0) == Kill(200, "roll")
    assert next_step(third.with_kill(200), 0.0) is None
    assert next_step(third.without(200), 0.0) == Spawn(0)


def test_a_slot_gets_no_second_starting_worker_while_the_first_is_dying() -> None:
    """With room for two replacements, the killed one still has its slot until it is reaped."""
    workers = [worker(slot + 1, slot) for slot in range(8)]
    overtaken = worker(100, 0, generation=2, state=State.STARTING)
    rolling = fleet(*workers, overtaken, slot_count=8, generation=3)

    assert next_step(rolling, 0.0) == Kill(100, "roll")
    assert next_step(rolling.with_kill(100), 0.0) == Spawn(1)


def test_a_straggler_of_an_abandoned_roll_does_not_replace_who_serves() -> None:
    """The generation has failed elsewhere; a slot that it happens to reach would be the odd one out."""
    abandoned = abandon_roll(fleet(OLD, BOOTING), frozenset({1, 2}))
    adopted = abandon_roll(fleet(OLD, BOOTING), frozenset({2}))

    assert next_step(abandoned, 0.0) == Kill(200, "roll")
    assert next_step(adopted, 0.0) == Kill(200, "roll")


def test_a_straggler_on_an_empty_slot_gives_way_to_the_generation_that_serves() -> None:
    """Unless that one cannot be started any more: then any worker is better than none."""
    other = worker(101, 1)
    abandoned = abandon_roll(fleet(BOOTING, other, slot_count=2), frozenset({1, 2}))
    adopted = abandon_roll(fleet(BOOTING, other, slot_count=2), frozenset({2}))
    helpless = replace(adopted, generation=1, can_spawn=False)

    assert next_step(abandoned, 0.0) == Kill(200, "roll")
    assert next_step(adopted, 0.0) is None
    assert next_step(helpless, 0.0) is None


def test_a_worker_that_turns_ready_under_a_kill_replaces_nobody() -> None:
    """Its READY and our SIGKILL crossed; it will be gone in a moment."""
    doomed = replace(YOUNG, is_killed=True)

    assert next_step(fleet(OLD, doomed), 0.0) is None
    assert next_step(fleet(OLD), 0.0) == Spawn(0)


def test_a_draining_worker_is_killed_at_its_deadline_and_only_once() -> None:
    """Every wait of the master has an end."""
    draining = fleet(replace(OLD, state=State.DRAINING, since_s=5.0), YOUNG)
    deadline_s = 5.0 + 30.0 + DRAIN_GRACE_S

    assert next_deadline_s(draining) == deadline_s
    assert next_step(draining, math.nextafter(deadline_s, 0.0)) is None
    assert next_step(draining, deadline_s) == Kill(100, "draining for too long")
    assert next_step(draining.with_kill(100), deadline_s + 1000.0) is None
    assert next_deadline_s(draining.with_kill(100)) is None


def test_a_worker_that_never_gets_ready_is_killed() -> None:
    """An app that hangs at its import must not hold up the roll for ever."""
    rolling = fleet(OLD, BOOTING)

    assert late(rolling, 119.0) == set()
    assert late(rolling, 120.0) == {200}, "it is to be told what it hangs in"
    assert next_step(rolling, 120.0) is None
    assert next_deadline_s(rolling) == 120.0 + BOOT_GRACE_S
    assert next_step(rolling, 120.0 + BOOT_GRACE_S) == Kill(200, "starting for too long")


def test_a_worker_may_start_for_ever_if_the_operator_says_so() -> None:
    """Who trains a model while importing it knows that."""
    rolling = replace(fleet(OLD, BOOTING), boot_timeout_s=0.0)

    assert next_deadline_s(rolling) is None
    assert late(rolling, 1e9) == set()
    assert next_step(rolling, 1e9) is None


def test_scaling_down_drains_who_serves_and_ends_who_boots() -> None:
    """A worker that does not serve yet has nothing to finish."""
    workers = (worker(1, 0), worker(2, 1), worker(3, 2, state=State.STARTING))
    scaled = fleet(*workers, slot_count=1, generation=1, is_rolling=False)

    assert next_step(scaled, 0.0) == Drain(2, "scale")
    assert next_step(scaled.with_state(2, Event.DRAIN, 0.0), 0.0) == Kill(3, "scale")


def test_stopping_drains_everyone_and_starts_nobody() -> None:
    """Whatever was on its way: a roll, an empty slot, a backoff."""
    stopping = replace(
        fleet(OLD, BOOTING, slot_count=3),
        is_stopping=True,
        backoff={2: Backoff(failures=1, not_before_s=9.0)},
    )

    assert next_step(stopping, 0.0) == Drain(100, "stop")
    stopping = stopping.with_state(100, Event.DRAIN, 0.0)
    assert next_step(stopping, 0.0) == Kill(200, "stop")
    assert next_step(stopping.with_kill(200), 10.0) is None
    assert next_step(stopping.without(100).without(200), 1000.0) is None
    assert next_deadline_s(stopping.without(100).without(200)) is None


def test_an_empty_slot_waits_for_its_backoff() -> None:
    """A crash loop must not take a core from the workers that serve."""
    waiting = replace(fleet(is_rolling=False), backoff={0: Backoff(failures=3, not_before_s=7.0)})

    assert next_step(waiting, 6.9) is None
    assert next_deadline_s(waiting) == 7.0
    assert next_step(waiting, 7.0) == Spawn(0)


def test_a_roll_pauses_while_new_code_crashes_just_after_it_was_ready() -> None:
    """Who still runs the old code is all that serves well, so no more of it is replaced."""
    crashed = Backoff(failures=1, not_before_s=5.0)
    half = replace(fleet(worker(200, generation=2), worker(101, slot=1), slot_count=2), backoff={0: crashed})

    assert next_step(half, 6.0) is None
    assert next_deadline_s(half) == 5.0 + YOUNG_S
    assert next_step(half, 5.0 + YOUNG_S) == Spawn(1)


def test_a_worker_drains_as_long_as_its_own_generation_was_promised() -> None:
    """A config with a shorter deadline is for those who are started by it."""
    draining = replace(OLD, state=State.DRAINING, drain_timeout_s=100.0)

    assert next_step(fleet(draining, YOUNG), 99.0 + DRAIN_GRACE_S) is None
    assert next_step(fleet(draining, YOUNG), 100.0 + DRAIN_GRACE_S) == Kill(100, "draining for too long")


def test_a_hung_worker_is_not_waited_for_once_its_successor_serves() -> None:
    """It does not hear that it is to drain; if it recovers in time, it may."""
    hung = replace(OLD, leave_reason=HUNG, silent_since_s=-60.0)
    assert next_step(fleet(hung, YOUNG), 0.0) == Drain(100, HUNG)

    draining = replace(hung, state=State.DRAINING)
    assert next_step(fleet(draining, YOUNG), HUNG_GRACE_S - 0.1) is None
    assert next_deadline_s(fleet(draining, YOUNG)) == HUNG_GRACE_S
    assert next_step(fleet(draining, YOUNG), HUNG_GRACE_S) == Kill(100, "it is still blocked")

    recovered = replace(draining, silent_since_s=None)
    assert next_step(fleet(recovered, YOUNG), HUNG_GRACE_S) is None
    assert next_deadline_s(fleet(recovered, YOUNG)) == 30.0 + DRAIN_GRACE_S


def test_a_suspect_in_a_roll_drains_as_long_as_any_other() -> None:
    """Nobody asked for its end but the roll, and it may be back in a moment."""
    draining = replace(OLD, state=State.DRAINING, silent_since_s=-2.0)
    assert next_deadline_s(fleet(draining, YOUNG)) == 30.0 + DRAIN_GRACE_S


def test_a_backoff_that_is_over_is_no_deadline() -> None:
    """The slot is filled again: a master that slept until a moment in the past would spin."""
    recovered = replace(fleet(YOUNG), backoff={0: Backoff(failures=3, not_before_s=7.0)})

    assert next_deadline_s(recovered) is None


def test_a_backoff_behind_the_surge_limit_is_no_deadline() -> None:
    """It is the booting replacement that is waited for, and its boot deadline that counts."""
    other = worker(101, 1)
    rolling = replace(
        fleet(OLD, BOOTING, other, slot_count=2), backoff={1: Backoff(failures=1, not_before_s=7.0)}
    )

    assert next_step(rolling, 8.0) is None
    assert next_deadline_s(rolling) == 120.0 + BOOT_GRACE_S


def test_nobody_is_started_while_broken_code_is_mended() -> None:
    """Siblings that boot the same code would fail too, and say so again; whoever serves goes on."""
    held = replace(fleet(OLD, BOOTING, slot_count=2, is_rolling=False), is_held=True, is_watched=True)

    assert next_step(held, 0.0) == Kill(200, "roll")
    assert next_step(held.without(200), 0.0) is None
    assert next_deadline_s(held.without(200)) is None
    assert next_step(replace(held.without(200), is_held=False), 0.0) == Spawn(1)


def test_old_code_does_not_pile_up_while_one_develops() -> None:
    """Each save of a file leaves a worker that drains; of more than a few the oldest ends."""
    draining = [
        replace(worker(each), state=State.DRAINING, since_s=float(each))
        for each in range(1, LEFTOVERS_MAX + 2)
    ]
    crowd = fleet(*draining, worker(100, generation=2), is_rolling=False)

    assert next_step(crowd, 10.0) is None, "in production each has the time it was promised"
    watched = replace(crowd, is_watched=True)
    assert next_step(watched, 10.0) == Kill(1, "roll")
    assert next_step(watched.with_kill(1), 10.0) is None


def test_a_master_that_knows_no_code_starts_nobody() -> None:
    """After a hot restart whose config cannot be read, the adopted workers shrink and never grow."""
    adopted = replace(fleet(OLD, slot_count=2, is_rolling=False), can_spawn=False)

    assert next_step(adopted, 0.0) is None
    assert next_deadline_s(adopted) is None


def test_a_worker_that_is_to_leave_drains_only_after_its_successor_is_ready() -> None:
    before = fleet(worker(100), slot_count=1, generation=1, is_rolling=False).with_leave(100, "lifetime")
    assert next_step(before, 0.0) == Spawn(0)
    booting = replace(before, workers=(*before.workers, worker(200, state=State.STARTING)))
    assert next_step(booting, 0.0) is None
    ready = replace(before, workers=(*before.workers, replace(worker(200), spawned_s=1.0)))
    assert next_step(ready, 1.0) == Drain(100, "lifetime")


def test_workers_that_are_to_leave_go_one_at_a_time() -> None:
    leaving = [replace(worker(100 + slot, slot), leave_reason="max_requests") for slot in range(8)]
    before = fleet(*leaving, slot_count=8, generation=1, is_rolling=False)
    assert next_step(before, 0.0) == Spawn(0)
    booting = replace(before, workers=(*before.workers, worker(200, state=State.STARTING)))
    assert next_step(booting, 0.0) is None


def test_a_roll_takes_those_along_that_were_to_leave() -> None:
    leaving = fleet(replace(OLD, leave_reason="lifetime"), YOUNG)
    assert next_step(leaving, 0.0) == Drain(100, "lifetime")
    assert next_step(fleet(replace(OLD, leave_reason="lifetime")), 0.0) == Spawn(0)


def test_a_successor_that_does_not_start_is_tried_again_after_its_backoff() -> None:
    leaving = fleet(worker(100), slot_count=1, generation=1, is_rolling=False).with_leave(100, "lifetime")
    waiting = replace(leaving, backoff={0: Backoff(failures=1, not_before_s=5.0)})
    assert next_step(waiting, 4.0) is None
    assert next_deadline_s(waiting) == 5.0
    assert next_step(waiting, 5.0) == Spawn(0)


def test_an_abandoned_roll_goes_back_to_the_generation_that_serves() -> None:
    """If this process can still start it: an adopted one is only a number."""
    assert abandon_roll(fleet(OLD), frozenset({1, 2})) == fleet(OLD, generation=1, is_rolling=False)
    assert abandon_roll(fleet(OLD), frozenset({2})) == fleet(OLD, generation=2, is_rolling=False)
    assert abandon_roll(fleet(), frozenset({1, 2})) == fleet(generation=2, is_rolling=False)


class RolloutMachine(RuleBasedStateMachine):
    """
    A supervisor without processes, an operator without patience, and apps without mercy.

    It notes what happens as the supervisor does and carries out every step; the
    workers boot, hang, fail, crash and leave whenever they like.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.next_pid = 1
        self.last_generation = 1
        self.spawnable = frozenset({1})
        self.fleet = Fleet(slot_count=1, generation=1)

    @initialize(slot_count=st.integers(1, 10), has_served=st.booleans(), is_watched=st.booleans())
    def start(self, slot_count: int, has_served: bool, is_watched: bool) -> None:
        self.fleet = Fleet(slot_count=slot_count, generation=1, is_watched=is_watched)
        self.advance()
        if has_served:
            for each in self.fleet.workers:
                self.boot(each)

    # What the supervisor does after every event.

    def advance(self) -> None:
        for _ in range(4 * (len(self.fleet.workers) + self.fleet.slot_count)):
            step = next_step(self.fleet, self.now_s)
            if step is None:
                break
            self.take(step)
        else:
            pytest.fail("next_step never waits")
        if is_roll_done(self.fleet):
            self.fleet = replace(self.fleet, is_rolling=False)
            self.advance()  # Who is to leave had to wait for the roll.

    def take(self, step: Step) -> None:
        before = self.fleet
        match step:
            case Spawn(slot):
                assert not before.is_stopping
                assert not before.is_held
                assert slot < before.slot_count
                assert not before.on_slot(slot, State.STARTING)
                if before.on_slot(slot, State.READY):
                    is_leaving = before.on_slot(slot, State.READY)[-1].leave_reason is not None
                    assert before.is_rolling or is_leaving
                    most = surge_count(before.slot_count) if before.is_rolling else 1
                    assert replacement_count(before) < most
                spawned = worker(self.next_pid, slot, generation=before.generation, state=State.STARTING)
                spawned = replace(spawned, since_s=self.now_s, spawned_s=self.now_s)
                self.next_pid += 1
                self.fleet = replace(before, workers=(*before.workers, spawned))
            case Drain(pid, reason):
                self.fleet = before.with_state(pid, Event.DRAIN, self.now_s)
                if reason in ("roll", "max_requests", HUNG):
                    assert served_slots(self.fleet) == served_slots(before)
            case Kill(pid, reason):
                victim = before.find(pid)
                assert victim is not None
                assert not victim.is_killed
                assert victim.state is not State.READY
                self.fleet = before.with_kill(pid)

    def back_off(self, dead: Worker, lived_s: float) -> None:
        previous = self.fleet.backoff.get(dead.slot)
        backoff = after_death(previous, lived_s=lived_s, now_s=self.now_s, jitter=0.5)
        slots = {slot: each for slot, each in self.fleet.backoff.items() if slot != dead.slot}
        self.fleet = replace(self.fleet, backoff=slots | ({dead.slot: backoff} if backoff else {}))

    # What happens to workers.

    def pick(self, data: st.DataObject, *states: State) -> Worker:
        return data.draw(st.sampled_from(self.fleet.in_state(*states)))

    def boot(self, each: Worker) -> None:
        self.fleet = self.fleet.with_state(each.pid, Event.BOOTED, self.now_s)
        if self.fleet.all_slots_ready:
            self.fleet = replace(self.fleet, has_served=True)

    @precondition(lambda self: self.fleet.in_state(State.STARTING))
    @rule(data=st.data())
    def a_worker_gets_ready_even_if_it_was_just_killed(self, data: st.DataObject) -> None:
        self.boot(self.pick(data, State.STARTING))
        self.advance()

    @precondition(lambda self: self.fleet.in_state(State.STARTING))
    @rule(data=st.data())
    def a_worker_fails_to_boot(self, data: st.DataObject) -> None:
        dead = self.pick(data, State.STARTING)
        self.fleet = self.fleet.without(dead.pid)
        if not self.fleet.is_stopping and not dead.is_killed:
            self.note_boot_failure(dead)
        self.advance()

    def note_boot_failure(self, dead: Worker) -> None:
        if self.fleet.is_held:
            return
        match judge_boot_failure(self.fleet):
            case Setback.END:
                self.fleet = replace(self.fleet, is_stopping=True)
                return
            case Setback.HOLD:
                self.fleet = replace(self.fleet, is_held=True, is_rolling=False)
                return
            case Setback.RETRY:
                pass
        self.back_off(dead, 0.0)
        ready = self.fleet.in_state(State.READY)
        if self.fleet.is_rolling and not any(each.generation == self.fleet.generation for each in ready):
            self.fleet = abandon_roll(self.fleet, self.spawnable)

    @precondition(lambda self: self.fleet.in_state(State.READY))
    @rule(data=st.data())
    def a_worker_crashes(self, data: st.DataObject) -> None:
        dead = self.pick(data, State.READY)
        self.fleet = self.fleet.without(dead.pid)
        self.back_off(dead, self.now_s - dead.since_s)
        self.advance()

    @precondition(lambda self: self.fleet.in_state(State.DRAINING))
    @rule(data=st.data())
    def a_worker_has_drained(self, data: st.DataObject) -> None:
        self.fleet = self.fleet.without(self.pick(data, State.DRAINING).pid)
        self.advance()

    # What the operator and the clock do.

    @precondition(lambda self: self.fleet.in_state(State.READY))
    @rule(data=st.data())
    def a_worker_is_to_be_replaced(self, data: st.DataObject) -> None:
        self.fleet = self.fleet.with_leave(self.pick(data, State.READY).pid, "max_requests")
        self.advance()

    @precondition(lambda self: self.fleet.in_state(State.READY))
    @rule(data=st.data())
    def a_worker_hangs_for_too_long(self, data: st.DataObject) -> None:
        pid = self.pick(data, State.READY).pid
        self.fleet = self.fleet.with_silence(pid, self.now_s).with_leave(pid, HUNG)
        self.advance()

    @precondition(lambda self: any(each.is_silent for each in self.fleet.workers))
    @rule(data=st.data())
    def a_worker_turns_again(self, data: st.DataObject) -> None:
        silent = [each for each in self.fleet.workers if each.is_silent]
        self.fleet = self.fleet.with_silence(data.draw(st.sampled_from(silent)).pid, None)
        self.advance()

    @precondition(
        lambda self: (self.fleet.has_served or self.fleet.is_watched) and not self.fleet.is_stopping
    )
    @rule(is_hot_restart=st.booleans())
    def roll(self, is_hot_restart: bool) -> None:
        self.last_generation += 1
        known = frozenset[int]() if is_hot_restart else self.spawnable
        self.spawnable = known | {self.last_generation}
        self.fleet = replace(
            self.fleet,
            generation=self.last_generation,
            is_rolling=True,
            is_held=False,
            can_spawn=True,
            backoff={},
        )
        self.advance()

    @precondition(lambda self: self.fleet.has_served and not self.fleet.is_stopping)
    @rule()
    def hot_restart_with_a_config_that_cannot_be_read(self) -> None:
        self.spawnable = frozenset()
        self.fleet = replace(self.fleet, is_rolling=False, can_spawn=False, backoff={})
        self.advance()

    @precondition(lambda self: not self.fleet.is_stopping)
    @rule(slot_count=st.integers(1, 10))
    def scale(self, slot_count: int) -> None:
        self.fleet = replace(self.fleet, slot_count=slot_count)
        self.advance()

    @rule()
    def stop(self) -> None:
        self.fleet = replace(self.fleet, is_stopping=True)
        self.advance()

    @rule(seconds=st.floats(0.01, 200.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.advance()

    @precondition(lambda self: next_deadline_s(self.fleet) is not None)
    @rule()
    def a_deadline_comes(self) -> None:
        self.now_s = next_deadline_s(self.fleet) or self.now_s
        self.advance()

    # What always holds.

    @invariant()
    def no_slot_has_two_starting_workers(self) -> None:
        slots = [each.slot for each in self.fleet.in_state(State.STARTING)]
        assert len(slots) == len(set(slots))

    @invariant()
    def the_deadline_tells_exactly_when_time_alone_changes_the_answer(self) -> None:
        deadline_s = next_deadline_s(self.fleet)
        if deadline_s is None:
            assert next_step(self.fleet, self.now_s + 1e9) is None
            return
        assert deadline_s > self.now_s
        assert next_step(self.fleet, math.nextafter(deadline_s, 0.0)) is None
        assert next_step(self.fleet, deadline_s) is not None

    @invariant()
    def old_code_does_not_pile_up_while_it_is_watched(self) -> None:
        for slot in range(10) if self.fleet.is_watched else ():
            draining = [each for each in self.fleet.on_slot(slot, State.DRAINING) if not each.is_killed]
            assert len(draining) <= LEFTOVERS_MAX

    @invariant()
    def nobody_that_hangs_holds_up_its_own_end(self) -> None:
        for each in self.fleet.in_state(State.DRAINING):
            if each.is_silent and each.leave_reason == HUNG and not each.is_killed:
                assert self.now_s < each.since_s + HUNG_GRACE_S

    @rule()
    def nothing_fails_any_more(self) -> None:
        """
        Everyone boots, drains and dies as told: the fleet becomes what it should be.

        Bounded: a roll of ten slots takes a handful of events a slot.
        """
        if self.fleet.is_held and not self.fleet.is_stopping:
            self.roll(is_hot_restart=False)  # The code was mended.
        for _ in range(200):
            self.advance()
            if settled(self.fleet):
                break
            for each in self.fleet.workers:
                if each.is_killed or each.state is State.DRAINING:
                    self.fleet = self.fleet.without(each.pid)
                elif each.state is State.STARTING:
                    self.boot(each)
            if not self.fleet.in_state(State.STARTING, State.DRAINING):
                self.now_s = max(self.now_s, next_deadline_s(self.fleet) or 0.0)
        else:
            pytest.fail("the fleet never settles")

    def teardown(self) -> None:
        self.nothing_fails_any_more()


def served_slots(fleet: Fleet) -> set[int]:
    return {each.slot for each in fleet.in_state(State.READY) if not each.is_killed}


def replacement_count(fleet: Fleet) -> int:
    return len([each for each in fleet.in_state(State.STARTING) if fleet.on_slot(each.slot, State.READY)])


def settled(fleet: Fleet) -> bool:
    """Whether nothing is on its way, and the fleet is what was asked for."""
    if fleet.is_stopping:
        return not fleet.workers
    if any(each.state is not State.READY or each.is_killed for each in fleet.workers):
        return False
    if any(each.slot >= fleet.slot_count for each in fleet.workers):
        return False
    if len({each.slot for each in fleet.workers}) < len(fleet.workers):
        return False
    if fleet.is_rolling:
        return False
    if not fleet.can_spawn:
        return True
    return fleet.all_slots_ready and all(each.leave_reason is None for each in fleet.workers)


RolloutMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRolloutUnderARandomOperator = RolloutMachine.TestCase
