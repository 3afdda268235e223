"""
One process's block in the shared segment.

A row has three parties, and each word one writer:

    the master    claims the row, says who owns it and in which state it is
    the owner     adopts it, then writes heartbeat, cells, values, board and rings
    readers       believe a gauge only while owner and master agree

They agree on the *claim*, a number that grows each time the row changes hands.
One word decides it, where a pid may be used again and a generation has many
processes. Counters need no agreement: they stay in the row when its owner is
gone, until the master has folded them into the base (see folding.py), and then
the row is empty again.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from penstock.shm import layout
from penstock.shm.sections import Sections
from penstock.shm.series import SeriesTable

# The kernel's PID_MAX_LIMIT; a larger number in a row is damage.
PID_MAX: Final = 2**22
# Far above any machine; a larger slot or core in a row is damage.
SLOT_MAX: Final = 2**16


class Kind(IntEnum):
    """What the owner of a row is."""

    MASTER = 1
    ADMIN = 2
    WORKER = 3


class State(IntEnum):
    """Where a row's owner is in its life. The first is no owner at all."""

    FREE = 0
    STARTING = 1
    READY = 2
    DRAINING = 3
    # The master's own, in its own row.
    RUNNING = 4
    ROLLING = 5
    UPGRADING = 6

    @property
    def word(self) -> str:
        """The state as logs, metrics and `/status` spell it."""
        return self.name.lower()


class RowReading(msgspec.Struct, frozen=True, kw_only=True):
    """What the two lines of a row said, and made sense."""

    index: int
    claim: int
    kind: Kind
    state: State
    generation: int
    pid: int
    pid_started: int
    slot: int | None
    core: int | None
    spawned_ns: int
    # The owner's line; about an earlier owner unless `is_current`.
    is_current: bool
    heartbeat_ns: int
    loop_lag_us: int
    started_ns: int


class Row:
    """A view of one row. It decides nothing and takes the time as an argument."""

    def __init__(self, index: int, sections: Sections, series: SeriesTable) -> None:
        self.index = index  # among all rows of the service, those of segments before this one included
        self.series = series  # what its cells mean
        self._sections = sections
        self.master = sections.u64("master")
        self.owner = sections.u64("owner")
        self.cells = sections.u64("cells")
        self.values = sections.f64("values")
        self.keys = sections.u64("keys")
        self.exemplars = sections.u64("exemplars")
        self.board = sections.u64("board")
        self.samples = sections.u64("samples")
        self.events = sections.u64("events")

    @property
    def number(self) -> int:
        """Its index in its own segment."""
        return self.index & (1 << layout.ROW_INDEX_BITS) - 1

    @property
    def slot(self) -> int | None:
        """The slot of its owner, or of the last one."""
        slot = self.master[layout.MASTER_SLOT]
        return slot if slot < SLOT_MAX else None

    @property
    def claim_number(self) -> int:
        """How often it was claimed; 0 is never."""
        return int(self.master[layout.MASTER_CLAIM])

    # What the master writes.

    def claim(
        self, *, kind: Kind, generation: int, slot: int | None, core: int | None, spawned_ns: int
    ) -> None:
        """
        Give the row to a process that is about to be forked, as STARTING.

        The state is stored last, and FREE until then, so nobody takes the new
        line for the old owner's. The caller has reaped that owner.
        """
        line = self.master
        assert line[layout.MASTER_STATE] == State.FREE
        assert line[layout.MASTER_EMPTIED] == line[layout.MASTER_CLAIM]
        line[layout.MASTER_GENERATION] = generation
        line[layout.MASTER_PID] = 0
        line[layout.MASTER_PID_STARTED] = 0
        line[layout.MASTER_CORE] = layout.NONE if core is None else core
        line[layout.MASTER_SLOT] = layout.NONE if slot is None else slot
        line[layout.MASTER_KIND] = kind
        line[layout.MASTER_SPAWNED_NS] = spawned_ns
        line[layout.MASTER_CLAIM] += 1
        line[layout.MASTER_STATE] = State.STARTING

    def set_process(self, pid: int, started: int) -> None:
        """Say which process owns the row; its start time tells it from a later one of that pid."""
        assert 0 < pid <= PID_MAX
        self.master[layout.MASTER_PID_STARTED] = started
        self.master[layout.MASTER_PID] = pid

    def set_state(self, state: State) -> None:
        """Move the owner to another state."""
        assert state is not State.FREE
        self.master[layout.MASTER_STATE] = state

    def release(self) -> None:
        """
        Take the row back, after the owner was reaped and never before.

        A process that still runs would write into the next owner's cells. Its
        counts stay until they are folded; `Segment.retire` does both.
        """
        self.master[layout.MASTER_STATE] = State.FREE
        self.master[layout.MASTER_PID] = 0

    # What the owner writes.

    def adopt(self, *, pid: int, now_ns: int) -> None:
        """
        Take over the owner's line. The row is empty: nothing in it is another's.

        The claim is stored last: until then readers see no current owner.
        """
        line = self.owner
        line[layout.OWNER_CLAIM] = 0
        line[layout.OWNER_PID] = pid
        line[layout.OWNER_LOOP_LAG_US] = 0
        line[layout.OWNER_STARTED_NS] = now_ns
        line[layout.OWNER_HEARTBEAT_NS] = now_ns
        line[layout.OWNER_CLAIM] = self.master[layout.MASTER_CLAIM]

    def beat(self, now_ns: int, loop_lag_us: int = 0) -> None:
        """Say that the owner's loop turns, and how late it was. Time is `monotonic_ns`."""
        self.owner[layout.OWNER_LOOP_LAG_US] = loop_lag_us
        self.owner[layout.OWNER_HEARTBEAT_NS] = now_ns

    # What anyone reads.

    def is_free(self) -> bool:
        """Say whether the row has no owner."""
        return bool(self.master[layout.MASTER_STATE] == State.FREE)

    def read(self) -> RowReading | None:
        """
        Read both lines, or give None if they cannot be true.

        Any process that shares the segment may have scribbled over it, and a
        row that says nonsense is a sick owner, not an error of the reader.
        """
        line = self.master[:].tolist()
        owner = self.owner[:].tolist()
        try:
            kind = Kind(line[layout.MASTER_KIND])
            state = State(line[layout.MASTER_STATE])
        except ValueError:
            return None
        slot, core = line[layout.MASTER_SLOT], line[layout.MASTER_CORE]
        pid, claim = line[layout.MASTER_PID], line[layout.MASTER_CLAIM]
        if pid > PID_MAX or claim == 0:
            return None
        if (slot != layout.NONE and slot >= SLOT_MAX) or (core != layout.NONE and core >= SLOT_MAX):
            return None
        return RowReading(
            index=self.index,
            claim=claim,
            kind=kind,
            state=state,
            generation=line[layout.MASTER_GENERATION],
            pid=pid,
            pid_started=line[layout.MASTER_PID_STARTED],
            slot=None if slot == layout.NONE else slot,
            core=None if core == layout.NONE else core,
            spawned_ns=line[layout.MASTER_SPAWNED_NS],
            is_current=(
                state is not State.FREE
                and owner[layout.OWNER_CLAIM] == claim
                and owner[layout.OWNER_PID] == pid
            ),
            heartbeat_ns=owner[layout.OWNER_HEARTBEAT_NS],
            loop_lag_us=owner[layout.OWNER_LOOP_LAG_US],
            started_ns=owner[layout.OWNER_STARTED_NS],
        )

    def close(self) -> None:
        """Let go of the memory; the row must not be used again."""
        self._sections.release()


# How a reader reads a row: `Row.read`, or as much beyond it as owner.py does.
ReadRow = Callable[[Row], RowReading | None]
