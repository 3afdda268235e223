"""Who is replaced for use, age and size: one by one, and then all together under a random load."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.master.backoff import after_death, after_recovery
from penstock.master.config.model import Recycle
from penstock.master.fleet import Backoff, Event, Fleet, State, Worker
from penstock.master.recycling import (
    JITTER,
    LIFETIME,
    MAX_REQUESTS,
    MAX_RSS,
    VAIN_PAUSE_FIRST_S,
    VAIN_PAUSE_S_MAX,
    VAIN_S,
    Recycling,
    Replacement,
    Wear,
)
from penstock.master.rollout import Drain, Kill, Spawn, is_roll_done, next_deadline_s, next_step

MIB = 2**20


def worker(pid: int, slot: int = 0, *, since_s: float = 0.0, state: State = State.READY) -> Worker:
    return Worker(
        pid=pid,
        slot=slot,
        generation=1,
        row=pid,
        core=None,
        state=state,
        since_s=since_s,
        spawned_s=since_s,
    )


ONE, TWO = worker(1, 0, since_s=10.0), worker(2, 1, since_s=20.0)
FLEET = Fleet(workers=(ONE, TWO), slot_count=2, generation=1, has_served=True)


def chances(*given: float) -> Callable[[], float]:
    """Give these, one after the other."""
    rest = list(given)
    return lambda: rest.pop(0)


def fixed() -> Recycling:
    return Recycling(lambda: 0.0)


def test_without_limits_nobody_is_replaced() -> None:
    wear = {1: Wear(requests=10**9, rss_bytes=10**12)}

    assert fixed().next(FLEET, Recycle(), wear, 1e9) is None
    assert fixed().next(FLEET, Recycle(max_requests=0), wear, 1e9) is None, "as gunicorn has it"


def test_requests_are_counted_with_a_jitter_of_each_worker() -> None:
    """Workers that share the load evenly would otherwise all be due at once."""
    recycling = Recycling(chances(0.0, 0.999))
    limits = Recycle(max_requests=1000)

    assert recycling.next(FLEET, limits, {1: Wear(requests=999)}, 30.0) is None
    assert recycling.next(FLEET, limits, {1: Wear(requests=1000)}, 30.0) == Replacement(1, MAX_REQUESTS)
    assert recycling.next(FLEET, limits, {2: Wear(requests=1000)}, 30.0) is None
    assert recycling.next(FLEET, limits, {2: Wear(requests=1098)}, 30.0) is None
    assert recycling.next(FLEET, limits, {2: Wear(requests=1099)}, 30.0) == Replacement(2, MAX_REQUESTS)


def test_jitter_can_be_set_and_switched_off() -> None:
    for jitter, requests in ((0, 1000), (500, 1250)):
        recycling = Recycling(lambda: 0.5)
        limits = Recycle(max_requests=1000, max_requests_jitter=jitter)

        assert recycling.next(FLEET, limits, {1: Wear(requests=requests - 1)}, 30.0) is None
        assert recycling.next(FLEET, limits, {1: Wear(requests=requests)}, 30.0) is not None


def test_a_lifetime_begins_when_the_worker_is_ready() -> None:
    recycling = Recycling(chances(0.5, 0.0))
    limits = Recycle(lifetime_s=100.0)

    assert recycling.next(FLEET, limits, {}, 110.0 + 100.0 * JITTER / 2 - 0.01) is None
    assert recycling.next(FLEET, limits, {}, 110.0 + 100.0 * JITTER / 2) == Replacement(1, LIFETIME)


def test_memory_has_no_jitter_and_what_cannot_be_read_is_no_reason() -> None:
    limits = Recycle(max_rss_bytes=100 * MIB)

    for rss_bytes, expected in ((None, None), (100 * MIB, None), (100 * MIB + 1, Replacement(2, MAX_RSS))):
        recycling = Recycling(lambda: 0.9)
        assert recycling.next(FLEET, limits, {2: Wear(rss_bytes=rss_bytes)}, 30.0) == expected


def test_who_has_served_longest_goes_first() -> None:
    """Else a slot that is due again and again would keep the others waiting."""
    both = {1: Wear(requests=5), 2: Wear(requests=50)}

    assert fixed().next(FLEET, Recycle(max_requests=5), both, 30.0) == Replacement(1, MAX_REQUESTS)
    young = replace(FLEET, workers=(replace(ONE, since_s=25.0), TWO))
    assert fixed().next(young, Recycle(max_requests=5), both, 30.0) == Replacement(2, MAX_REQUESTS)


@pytest.mark.parametrize(
    "fleet",
    [
        replace(FLEET, is_rolling=True),
        replace(FLEET, is_stopping=True),
        replace(FLEET, has_served=False),
        replace(FLEET, can_spawn=False),
        FLEET.with_leave(2, "recycle"),
        FLEET.with_leave(2, MAX_RSS).with_state(2, Event.DRAIN, 30.0),
        replace(FLEET, backoff={1: Backoff(failures=1, not_before_s=0.0)}),
        FLEET.with_kill(1).with_kill(2),
    ],
    ids=[
        "rolling",
        "stopping",
        "starting",
        "no code",
        "another leaves",
        "another drains",
        "crashes",
        "killed",
    ],
)
def test_it_waits_while_there_is_something_else(fleet: Fleet) -> None:
    """One at a time, and never while it is not known whether new workers live."""
    assert fixed().next(fleet, Recycle(lifetime_s=1.0), {}, 1000.0) is None
    assert fixed().next(FLEET, Recycle(lifetime_s=1.0), {}, 1000.0) is not None


def test_the_crashes_of_a_slot_that_is_gone_hold_nobody() -> None:
    fleet = replace(FLEET, backoff={2: Backoff(failures=9, not_before_s=0.0)})

    assert fixed().next(fleet, Recycle(lifetime_s=1.0), {}, 1000.0) is not None


def grown(recycling: Recycling, pid: int, *, ready_s: float, now_s: float) -> Replacement | None:
    """Have one worker that is too large, ready since and looked at then."""
    fleet = replace(FLEET, workers=(worker(pid, since_s=ready_s),), slot_count=1)
    limits = Recycle(max_rss_bytes=100 * MIB)
    return recycling.next(fleet, limits, {pid: Wear(rss_bytes=101 * MIB)}, now_s)


def test_a_limit_that_new_workers_exceed_slows_down_and_is_told_once() -> None:
    """It would otherwise boot workers for ever, one after the other."""
    recycling = fixed()
    assert grown(recycling, 1, ready_s=0.0, now_s=5.0) == Replacement(1, MAX_RSS)
    assert not recycling.warnings, "the first may be a leak"

    now_s, pauses = 5.0, []
    for pid in range(2, 9):
        ready_s = now_s + 1.0
        now_s = ready_s + 1.0
        assert grown(recycling, pid, ready_s=ready_s, now_s=now_s) is None
        noted_s = now_s
        while grown(recycling, pid, ready_s=ready_s, now_s=now_s) is None:
            now_s += 1.0
        pauses.append(now_s - noted_s)

    first = VAIN_PAUSE_FIRST_S
    assert pauses == [first, 2 * first, 4 * first, 8 * first, *[VAIN_PAUSE_S_MAX] * 3]
    (warning,) = recycling.warnings
    assert "recycle.max_rss 100MiB" in warning
    assert "slot 0" in warning


def test_a_replacement_that_served_a_while_forgives_those_in_vain() -> None:
    """Then it is a leak, which is what the limit is for."""
    recycling = fixed()
    grown(recycling, 1, ready_s=0.0, now_s=5.0)
    assert grown(recycling, 2, ready_s=6.0, now_s=7.0) is None
    assert grown(recycling, 3, ready_s=100.0, now_s=100.0 + VAIN_S) == Replacement(3, MAX_RSS)
    assert grown(recycling, 4, ready_s=200.0, now_s=201.0) is None
    assert grown(recycling, 4, ready_s=200.0, now_s=201.0 + VAIN_PAUSE_FIRST_S) is not None


def test_another_limit_is_another_chance() -> None:
    """Whoever corrects it and sends HUP need not wait for the pause of the old one."""
    recycling = fixed()
    grown(recycling, 1, ready_s=0.0, now_s=5.0)
    assert grown(recycling, 2, ready_s=6.0, now_s=7.0) is None

    fleet = replace(FLEET, workers=(worker(2, since_s=6.0),), slot_count=1)
    larger = Recycle(max_rss_bytes=200 * MIB)
    assert recycling.next(fleet, larger, {2: Wear(rss_bytes=199 * MIB)}, 8.0) is None
    assert recycling.next(fleet, larger, {2: Wear(rss_bytes=201 * MIB)}, 9.0) == Replacement(2, MAX_RSS)


LIMITS = Recycle(max_requests=100, lifetime_s=300.0, max_rss_bytes=100 * MIB)


class RecyclingMachine(RuleBasedStateMachine):
    """A fleet under load whose workers are recycled, beside everything else that happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(slot_count=1, generation=1)
        self.now_s = 0.0
        self.last_pid = 0
        self.wear: dict[int, Wear] = {}
        self.recycling = Recycling(lambda: 0.0)

    @initialize(slot_count=st.integers(1, 5), random=st.randoms(use_true_random=False))
    def start(self, slot_count: int, random: Any) -> None:
        self.recycling = Recycling(random.random)
        self.fleet = replace(self.fleet, slot_count=slot_count)
        self.advance()
        for each in self.fleet.workers:
            self.fleet = self.fleet.with_state(each.pid, Event.BOOTED, self.now_s)
        self.fleet = replace(self.fleet, has_served=True)

    def advance(self) -> None:
        self.fleet = after_recovery(self.fleet, self.now_s)
        while (step := next_step(self.fleet, self.now_s)) is not None:
            match step:
                case Spawn(slot):
                    self.last_pid += 1
                    new = worker(self.last_pid, slot, since_s=self.now_s, state=State.STARTING)
                    new = replace(new, generation=self.fleet.generation)
                    self.fleet = replace(self.fleet, workers=(*self.fleet.workers, new))
                    self.wear[new.pid] = Wear(requests=0, rss_bytes=30 * MIB)
                case Drain(pid):
                    self.fleet = self.fleet.with_state(pid, Event.DRAIN, self.now_s)
                case Kill(pid):
                    self.fleet = self.fleet.with_kill(pid)
        if is_roll_done(self.fleet):
            self.fleet = replace(self.fleet, is_rolling=False)

    def look(self) -> Replacement | None:
        """Do what the master does every second, and check what it would do."""
        before = self.fleet
        chosen = self.recycling.next(before, LIMITS, self.wear, self.now_s)
        if chosen is not None:
            found = before.find(chosen.pid)
            assert found is not None
            assert found.state is State.READY
            assert not before.is_rolling
            assert not before.is_stopping
            assert all(each.leave_reason is None for each in before.workers)
            assert chosen.reason in self.due(found)
            self.fleet = before.with_leave(chosen.pid, chosen.reason)
            self.advance()
        return chosen

    def due(self, found: Worker) -> list[str]:
        """List the limits that a worker is beyond, jitter aside."""
        wear = self.wear[found.pid]
        assert wear.requests is not None
        assert wear.rss_bytes is not None
        beyond = {
            MAX_REQUESTS: wear.requests >= 100,
            LIFETIME: self.now_s - found.since_s >= 300.0,
            MAX_RSS: wear.rss_bytes > 100 * MIB,
        }
        return [reason for reason, is_beyond in beyond.items() if is_beyond]

    @rule()
    def the_master_looks(self) -> None:
        self.look()

    @rule(data=st.data(), requests=st.integers(1, 60), mib=st.integers(0, 60))
    def a_worker_serves(self, data: st.DataObject, requests: int, mib: int) -> None:
        ready = self.fleet.in_state(State.READY)
        if ready:
            pid = data.draw(st.sampled_from(ready)).pid
            wear = self.wear[pid]
            self.wear[pid] = Wear(
                requests=(wear.requests or 0) + requests, rss_bytes=(wear.rss_bytes or 0) + mib * MIB
            )

    @rule(seconds=st.floats(0.1, 200.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.advance()

    @rule(data=st.data())
    def somebody_boots(self, data: st.DataObject) -> None:
        starting = [each for each in self.fleet.in_state(State.STARTING) if not each.is_killed]
        if starting:
            self.boot(data.draw(st.sampled_from(starting)))

    def boot(self, who: Worker) -> None:
        self.fleet = self.fleet.with_state(who.pid, Event.BOOTED, self.now_s)
        self.advance()

    @rule(data=st.data())
    def somebody_ends(self, data: st.DataObject) -> None:
        """As it was told to, or by a crash."""
        if self.fleet.workers:
            self.end(data.draw(st.sampled_from(self.fleet.workers)))

    def end(self, who: Worker) -> None:
        self.fleet = self.fleet.without(who.pid)
        if who.state is not State.DRAINING and not who.is_killed:
            lived_s = self.now_s - who.since_s if who.state is State.READY else 0.0
            previous = self.fleet.backoff.get(who.slot)
            backoff = after_death(previous, lived_s=lived_s, now_s=self.now_s, jitter=0.5)
            others = {slot: each for slot, each in self.fleet.backoff.items() if slot != who.slot}
            self.fleet = replace(
                self.fleet, backoff=others | ({} if backoff is None else {who.slot: backoff})
            )
        self.advance()

    @precondition(lambda self: self.fleet.has_served)
    @rule()
    def roll(self) -> None:
        self.fleet = replace(self.fleet, generation=self.fleet.generation + 1, is_rolling=True, backoff={})
        self.advance()

    @rule(slot_count=st.integers(1, 5))
    def scale(self, slot_count: int) -> None:
        self.fleet = replace(self.fleet, slot_count=slot_count)
        self.advance()

    @invariant()
    def never_two_at_once(self) -> None:
        assert sum(each.leave_reason is not None for each in self.fleet.workers) <= 1

    def teardown(self) -> None:
        """All limits are honoured in the end: whoever is due now is gone when nothing fails any more."""
        due = {each.pid for each in self.fleet.in_state(State.READY) if self.due(each)}
        # Somebody may be due by a limit without jitter alone; none lies further than a tenth.
        self.wear = {
            pid: replace(each, requests=(each.requests or 0) + 11) if pid in due else each
            for pid, each in self.wear.items()
        }
        for _ in range(4000):
            left = {each.pid for each in self.fleet.workers} & due
            if not left:
                return
            for each in self.fleet.workers:
                if each.is_killed or each.state is State.DRAINING:
                    self.end(each)
            for each in self.fleet.in_state(State.STARTING):
                if not each.is_killed:
                    self.boot(each)
            self.look()
            self.now_s += 1.0
            self.advance()
            next_deadline_s(self.fleet)
        pytest.fail(f"never replaced: {due}")


RecyclingMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestRecyclingUnderARandomLoad = RecyclingMachine.TestCase
