"""
The last minutes of every slot, put together from the samples in the workers' rings.

A sample has its row's counters, and rows change hands: a worker's replacement
has another row, which counted for somebody else before. So only differences
between two samples of one process are used, and added up by slot. The sums
mean nothing in themselves, but they never jump, and a page can draw rates from
them without knowing what a row is.

It is brought up to date when somebody asks. The rings remember four minutes,
so nobody has to watch in between.
"""

from collections import deque
from typing import Any, Final

from penstock.shm.samples import Sample, read_samples
from penstock.shm.schema import SAMPLE_COUNT
from penstock.shm.segment import Segment

# A worker that has told nothing for so long no longer counts in its slot's connections.
SILENT_NS: Final = 3_000_000_000

# Workers sample in their own time, so samples of two may come in the wrong
# order, but not by this much: then the wall clock was set back.
CLOCK_STEP_NS: Final = 10_000_000_000

# A reply overlaps the one before by so much; samples may be read a little late.
OVERLAP_S: Final = 2.0


class _Slot:
    """One slot's sums, and the points of its plots."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.sent_bytes = 0
        self.newest_ns = 0
        self.latest: dict[int, Sample] = {}  # by row
        self.points: deque[dict[str, Any]] = deque(maxlen=SAMPLE_COUNT)

    def add(self, row: int, sample: Sample, before: Sample | None) -> None:
        if before is not None:
            self.requests += max(0, sample.requests - before.requests)
            self.errors += max(0, sample.errors - before.errors)
            self.sent_bytes += max(0, sample.sent_bytes - before.sent_bytes)
        if sample.time_ns < self.newest_ns - CLOCK_STEP_NS:
            self.points.clear()
            self.latest.clear()
        elif sample.time_ns <= self.newest_ns:
            self.latest[row] = sample  # Too late for a point; the next one has it in its sums.
            return
        self.newest_ns = sample.time_ns
        self.latest[row] = sample
        self.latest = {
            row: latest for row, latest in self.latest.items() if latest.time_ns > sample.time_ns - SILENT_NS
        }
        self.points.append(
            {
                "t": sample.time_ns / 1e9,
                "requests": self.requests,
                "errors": self.errors,
                "sent_bytes": self.sent_bytes,
                "connections": sum(latest.connections for latest in self.latest.values()),
                "loop_lag_s": max(latest.loop_lag_us for latest in self.latest.values()) / 1e6,
                "generation": sample.generation,
            }
        )


class SampleHistory:
    """Points by slot, of as many seconds as the rings hold."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._latest: dict[int, Sample] = {}  # by row
        self._slots: dict[int, _Slot] = {}

    def since(self, time_s: float) -> dict[str, list[dict[str, Any]]]:
        """Give the points after a time, and a moment before it, by slot."""
        self._catch_up()
        found = {
            str(slot): [point for point in history.points if point["t"] > time_s - OVERLAP_S]
            for slot, history in sorted(self._slots.items())
        }
        return {slot: points for slot, points in found.items() if points}

    def _catch_up(self) -> None:
        fresh: list[tuple[int, Sample]] = []
        for row in self._segment.claimed_rows():
            before = self._latest.get(row.index)
            samples = read_samples(row, 0 if before is None else before.number + 1)
            fresh += [(row.index, sample) for sample in samples]
        for row_index, sample in sorted(fresh, key=lambda each: each[1].time_ns):
            before = self._latest.get(row_index)
            self._latest[row_index] = sample
            if before is not None and before.claim != sample.claim:
                before = None
            if sample.slot is not None:
                self._slots.setdefault(sample.slot, _Slot()).add(row_index, sample, before)
