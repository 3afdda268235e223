"""
Writers and readers of a ring in every mixture.

Writers push, are killed between any two stores, and are replaced. Readers come
at any time: between pushes, between two stores of one, and with pushes between
two of their own loads. What they accept was pushed, whole and in order.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.shm.schema import SAMPLE_COUNT
from tests.shm.mortal import STORES_PER_PUSH, Killed, Memory, Payload, payload

Records = list[tuple[int, Payload]]


class RingMachine(RuleBasedStateMachine):
    """
    A record counts from its last store on. Until then its number is free, and the next writer takes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.writer = self.memory.writer()
        self.pushed: list[Payload] = []
        self.pushing: Payload | None = None  # whole before it is published
        self.made = 0
        self.seen = 0  # as a reader that follows the ring remembers it
        self.followed: list[int] = []

    def push_one(self) -> None:
        self.made += 1
        self.pushing = payload(self.made)
        self.writer.push(self.pushing)
        self.pushed.append(self.pushing)
        self.pushing = None

    def die_pushing(self, stores: int) -> None:
        """Be killed after so many stores; the next owner goes on."""
        self.memory.stores_left = stores
        with pytest.raises(Killed):
            self.push_one()
        self.pushing = None
        self.memory.stores_left = None
        self.writer = self.memory.writer()

    def check(self, accepted: Records) -> None:
        """Accepted are pushed ones, each at its number, numbers growing, as many as fit at most."""
        known = self.pushed if self.pushing is None else [*self.pushed, self.pushing]
        assert all(number < len(known) and record == known[number] for number, record in accepted)
        numbers = [number for number, _ in accepted]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= SAMPLE_COUNT

    @rule(count=st.integers(1, 5))
    def push(self, count: int) -> None:
        for _ in range(count):
            self.push_one()

    @rule()
    def push_more_than_the_ring_holds(self) -> None:
        self.push(SAMPLE_COUNT + 3)

    @rule(stores=st.integers(0, STORES_PER_PUSH - 1))
    def kill_and_replace_the_writer(self, stores: int) -> None:
        self.die_pushing(stores)

    @rule(deaths=st.lists(st.integers(0, STORES_PER_PUSH - 1), min_size=2, max_size=4))
    def kill_one_writer_after_the_other(self, deaths: list[int]) -> None:
        for stores in deaths:
            self.die_pushing(stores)

    @rule()
    def replace_the_writer(self) -> None:
        self.writer = self.memory.writer()

    @rule(at=st.integers(0, STORES_PER_PUSH - 1))
    def read_in_the_middle_of_a_push(self, at: int) -> None:
        stores = 0

        def look() -> None:
            nonlocal stores
            if stores == at:
                self.check(self.memory.read())
            stores += 1

        self.memory.before_store = look
        self.push_one()
        self.memory.before_store = lambda: None
        assert stores == STORES_PER_PUSH

    @rule(
        load=st.integers(0, 3 * SAMPLE_COUNT),
        pushes=st.sampled_from([0, 1, 2, SAMPLE_COUNT - 1, SAMPLE_COUNT, SAMPLE_COUNT + 1]),
        stores=st.none() | st.integers(0, STORES_PER_PUSH - 1),
    )
    def push_in_the_middle_of_a_read(self, load: int, pushes: int, stores: int | None) -> None:
        loads = 0

        def write() -> None:
            nonlocal loads
            loads += 1
            if loads != load + 1:
                return
            for _ in range(pushes):
                self.push_one()
            if stores is not None:
                self.die_pushing(stores)

        self.memory.before_load = write
        accepted = self.memory.read()
        self.memory.before_load = lambda: None
        self.check(accepted)

    @rule()
    def follow(self) -> None:
        """A reader that comes back for what is new never gets a record twice."""
        accepted = self.memory.read(self.seen)
        self.check(accepted)
        numbers = [number for number, _ in accepted]
        assert all(number >= self.seen for number in numbers)
        if numbers:
            self.seen = numbers[-1] + 1
        self.followed += numbers
        assert self.followed == sorted(set(self.followed))

    @invariant()
    def readers_see_all_that_is_left(self) -> None:
        accepted = self.memory.read()
        self.check(accepted)
        numbers = [number for number, _ in accepted]
        # All of the newest are there, but one that a dying writer may have begun to overwrite.
        expected = min(len(self.pushed), SAMPLE_COUNT)
        assert len(numbers) >= expected - 1
        if expected:
            assert numbers[-1] == len(self.pushed) - 1


RingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRing = RingMachine.TestCase
