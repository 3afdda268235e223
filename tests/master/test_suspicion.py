"""Who is taken for blocked and who is not, one by one and then under a random world."""

import math
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.master.suspicion import (
    DOUBT_S,
    OVERSLEPT_SHARE,
    SUSPECT_LOOK_S,
    Heart,
    Memory,
    Patience,
    Verdicts,
    look,
)

USUAL = Patience(suspect_s=1.0, replace_s=60.0)
START = Memory.fresh(100.0)
NOBODY = Verdicts()


def heart(stamp_s: float, *, silent_since_s: float | None = None, is_ready: bool = True) -> Heart:
    return Heart(pid=1, stamp_s=stamp_s, silent_since_s=silent_since_s, is_ready=is_ready)


def watched(stamp_s: float, *times_s: float, patience: Patience = USUAL) -> tuple[Verdicts, Memory]:
    """Look at one worker with an old stamp at each of these times."""
    memory, verdicts = START, NOBODY
    for now_s in times_s:
        verdicts, memory = look(memory, [heart(stamp_s)], patience, now_s)
    return verdicts, memory


def test_next_look_is_when_the_stamp_would_be_too_old() -> None:
    """
    The master sleeps until then: a worker that beats costs it one look a second.
    """
    verdicts, memory = watched(100.2, 100.3)

    assert verdicts == NOBODY
    assert memory.next_s == 101.2


def test_silent_worker_is_doubted_and_then_suspect() -> None:
    """
    Within a tenth of a second, since clients wait.
    """
    verdicts, memory = watched(100.2, 100.3, 101.2)
    assert verdicts == NOBODY
    assert memory.next_s == 101.2 + DOUBT_S

    verdicts, memory = look(memory, [heart(100.2)], USUAL, 101.2 + DOUBT_S)
    assert verdicts == Verdicts(suspects={1: 100.2})
    assert memory.next_s == 101.2 + DOUBT_S + SUSPECT_LOOK_S


def test_beat_in_the_moment_of_doubt_clears_it() -> None:
    """
    What stood still for a second together with the master beats as soon as it goes on.
    """
    _, memory = watched(100.2, 100.3, 101.2)

    verdicts, memory = look(memory, [heart(101.21)], USUAL, 101.2 + DOUBT_S)

    assert verdicts == NOBODY
    assert memory.next_s == 102.21


def test_master_that_slept_too_long_has_seen_no_silence() -> None:
    """
    A frozen container, a stopped process group, a paused virtual machine: everybody's stamp is old then.
    """
    _, memory = watched(100.2, 100.3)
    late_s = 200.0

    verdicts, memory = look(memory, [heart(100.2)], USUAL, late_s)
    assert verdicts == NOBODY
    assert memory.next_s == late_s + 1.0

    verdicts, memory = look(memory, [heart(100.2)], USUAL, late_s + 1.0)
    verdicts, memory = look(memory, [heart(100.2)], USUAL, late_s + 1.0 + DOUBT_S)
    assert verdicts.suspects == {1: 100.2}, "it does not beat although the master is awake"


def test_booting_and_draining_workers_are_no_suspects() -> None:
    """
    Whoever holds no shards makes no client wait for its accepting.
    """
    verdicts, _ = look(START, [heart(1.0, is_ready=False)], USUAL, 100.0)
    assert verdicts == NOBODY


def test_suspect_recovers_with_a_fresh_beat() -> None:
    """
    And it is told for how long it was blocked.
    """
    suspect = heart(100.0, silent_since_s=100.0)
    verdicts, memory = look(START, [suspect], USUAL, 103.0)
    assert (verdicts, memory.next_s) == (NOBODY, 103.0 + SUSPECT_LOOK_S)

    verdicts, memory = look(memory, [replace(suspect, stamp_s=103.1)], USUAL, 103.25)
    assert list(verdicts.recovered) == [1]
    assert math.isclose(verdicts.recovered[1], 3.1)


def test_suspect_that_beat_once_and_is_blocked_again_stays_one() -> None:
    """
    Its shards would come back only to wait again.
    """
    verdicts, _ = look(START, [heart(101.0, silent_since_s=99.0)], USUAL, 102.5)
    assert verdicts == NOBODY


def test_suspect_that_drains_may_recover_and_is_not_replaced() -> None:
    """
    Its successor serves already.
    """
    draining = heart(1.0, silent_since_s=1.0, is_ready=False)
    memory = replace(START, awake_since_s=0.0)
    assert look(memory, [draining], USUAL, 100.0)[0] == NOBODY
    assert look(memory, [replace(draining, stamp_s=99.9)], USUAL, 100.0)[0].recovered


def test_long_silence_is_for_replacing() -> None:
    """
    Counted while the master was awake to see it.
    """
    suspect = heart(100.0, silent_since_s=100.0)
    memory = replace(START, next_s=160.0)
    assert look(memory, [suspect], USUAL, 159.9)[0].overdue == frozenset()
    assert look(memory, [suspect], USUAL, 160.0)[0].overdue == {1}
    assert look(replace(memory, next_s=100.3), [suspect], USUAL, 160.0)[0].overdue == frozenset()
    assert look(memory, [suspect], replace(USUAL, replace_s=0.0), 1e6)[0].overdue == frozenset()


def test_switched_off_nobody_is_suspect() -> None:
    """
    And whoever was is so no more, when a reload has switched it off.
    """
    off = Patience(suspect_s=0.0, replace_s=0.0)
    assert watched(1.0, 100.0, 101.0, 200.0, patience=off)[0] == NOBODY
    assert look(START, [heart(1.0, silent_since_s=1.0)], off, 100.0)[0].recovered == {1: 99.0}


def test_without_suspicion_a_worker_is_replaced_all_the_same() -> None:
    """
    Each of the two limits works without the other.
    """
    late = Patience(suspect_s=0.0, replace_s=5.0)
    times_s = (100.3, 101.3, 102.3, 103.3, 104.3, 105.2, 105.2 + DOUBT_S)
    verdicts, memory = watched(100.2, *times_s, patience=late)
    assert verdicts.suspects == {1: 100.2}
    verdicts, _ = look(memory, [heart(100.2, silent_since_s=100.2)], late, memory.next_s)
    assert verdicts.overdue == {1}


class World(RuleBasedStateMachine):
    """Workers that beat, block and go on; a master that looks when it said it would, or much later."""

    BEAT_S = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.memory = Memory.fresh(self.now_s)
        self.stamps = dict.fromkeys((1, 2, 3), self.now_s)
        self.blocked: set[int] = set()
        self.silent: dict[int, float] = {}
        self.awake_s = self.now_s  # since then neither the master nor the machine stood still

    def _pass(self, until_s: float) -> None:
        """Let time pass: healthy workers beat and the master looks."""
        while self.memory.next_s <= until_s:
            self._advance(self.memory.next_s)
            self._look()
        self._advance(until_s)

    def _advance(self, until_s: float) -> None:
        for pid in self.stamps.keys() - self.blocked:
            beats = math.floor((until_s - self.stamps[pid]) / self.BEAT_S)
            self.stamps[pid] += max(0, beats) * self.BEAT_S
        self.now_s = until_s

    def _look(self) -> None:
        hearts = [
            Heart(pid=pid, stamp_s=stamp_s, silent_since_s=self.silent.get(pid))
            for pid, stamp_s in self.stamps.items()
        ]
        verdicts, self.memory = look(self.memory, hearts, USUAL, self.now_s)
        assert self.memory.next_s > self.now_s, "the master would spin"
        assert not verdicts.suspects.keys() & self.silent.keys()
        assert verdicts.recovered.keys() <= self.silent.keys()
        assert verdicts.overdue <= self.silent.keys()
        self.silent |= verdicts.suspects
        for pid in verdicts.recovered:
            del self.silent[pid]

    @rule(seconds=st.floats(0.01, 90.0))
    def live(self, seconds: float) -> None:
        self._pass(self.now_s + seconds)

    @rule(pid=st.integers(1, 3))
    def block(self, pid: int) -> None:
        self.blocked.add(pid)

    @rule(pid=st.integers(1, 3))
    def unblock(self, pid: int) -> None:
        if pid in self.blocked:
            self.blocked.discard(pid)
            self.stamps[pid] = self.now_s

    @rule(seconds=st.floats(0.0, 1000.0))
    def freeze_all(self, seconds: float) -> None:
        """Everything stands still; what goes on first is the master."""
        self.now_s += seconds
        self._look()
        for pid in self.stamps.keys() - self.blocked:
            self.stamps[pid] = self.now_s  # The beats that are overdue come at once.
        self.awake_s = self.now_s

    @rule(seconds=st.floats(0.0, 100.0))
    def busy_master(self, seconds: float) -> None:
        """The master reads a large configuration, say; the workers go on."""
        self._advance(self.now_s + seconds)
        self._look()
        self.awake_s = self.now_s

    @invariant()
    def nobody_that_beats_is_suspect(self) -> None:
        if self.silent.keys() - self.blocked:
            # It recovered just now, and was not looked at since.
            assert self.now_s < self.memory.next_s <= self.now_s + SUSPECT_LOOK_S

    @invariant()
    def whoever_is_blocked_is_found_out(self) -> None:
        for pid in self.blocked:
            seen_s = self.now_s - max(self.stamps[pid], self.awake_s)
            if seen_s > (1 + OVERSLEPT_SHARE) * USUAL.suspect_s + 2 * DOUBT_S:
                assert pid in self.silent


World.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestWorld = World.TestCase
