"""Plots go on smoothly while rows change hands."""

from typing import TYPE_CHECKING

import pytest

from penstock.master.admin.history import SampleHistory
from penstock.shm import layout
from penstock.shm.row import Row
from penstock.shm.samples import SampleWriter
from penstock.shm.schema import SAMPLE_COUNT

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

SECOND_NS = 1_000_000_000


def push(row: Row, time_s: float, requests: int, connections: int = 1) -> None:
    """Push the sample of a worker that has just adopted the row, or goes on."""
    SampleWriter(row).push(
        time_ns=int(time_s * SECOND_NS),
        requests=requests,
        errors=requests // 10,
        sent_bytes=requests * 100,
        connections=connections,
        loop_lag_us=250,
    )


def requests_of(history: SampleHistory, slot: str, since_s: float = 0.0) -> list[tuple[float, int]]:
    """Give time and requests of a slot's points."""
    return [(point["t"], point["requests"]) for point in history.since(since_s).get(slot, [])]


def test_points_count_from_the_first_sample_on(site: "Site") -> None:
    """What a row counted before is no rate."""
    for second in range(3):
        push(site.rows[0], 100 + second, 5_000 + 10 * second)
    history = SampleHistory(site.segment)
    assert requests_of(history, "0") == [(100, 0), (101, 10), (102, 20)]
    point = history.since(0.0)["0"][-1]
    assert (point["errors"], point["sent_bytes"], point["connections"]) == (2, 2_000, 1)
    assert (point["loop_lag_s"], point["generation"]) == (0.00025, 1)
    assert "1" not in history.since(0.0)


def test_who_asks_again_gets_what_is_new_and_a_little_overlap(site: "Site") -> None:
    """A page polls every other second."""
    history = SampleHistory(site.segment)
    for second in range(100, 110):
        push(site.rows[0], second, second)
        history.since(0.0)
    assert [t for t, _ in requests_of(history, "0", since_s=108.0)] == [107, 108, 109]


def test_a_replacement_continues_its_slots_sums(site: "Site") -> None:
    """Its row counted a million for somebody else, which is no burst of this slot."""
    history = SampleHistory(site.segment)
    push(site.rows[0], 100, 50)
    push(site.rows[0], 101, 60)
    replacement = site.start_worker(slot=0, pid=4_000_020, generation=2)
    push(replacement, 101.5, 1_000_000)
    push(site.rows[1], 101.7, 7)
    push(replacement, 102.5, 1_000_005)
    assert requests_of(history, "0") == [(100, 0), (101, 10), (101.5, 10), (102.5, 15)]


def test_two_workers_of_a_slot_are_added_up(site: "Site") -> None:
    """The old one drains while the new one serves already."""
    old, new = site.rows[0], site.start_worker(slot=0, pid=4_000_020, generation=2)
    history = SampleHistory(site.segment)
    for second in range(4):
        push(old, 100 + second, 10 * second, connections=5)
        push(new, 100.5 + second, 100 * second, connections=2)
    points = history.since(0.0)["0"]
    assert [point["requests"] for point in points] == [0, 0, 10, 110, 120, 220, 230, 330]
    assert [point["connections"] for point in points] == [5, 7, 7, 7, 7, 7, 7, 7]

    push(new, 107.5, 330, connections=2)
    assert history.since(0.0)["0"][-1]["connections"] == 2, "the old one has been silent for seconds"


def test_the_next_owner_of_a_row_is_not_subtracted_from_the_last(site: "Site") -> None:
    """Between the two, nobody sampled, and the slot may be another."""
    history = SampleHistory(site.segment)
    row = site.rows[0]
    push(row, 100, 10)
    push(row, 101, 20)
    row.release()
    again = site.start_worker(slot=1, pid=4_000_030)
    assert again.index == row.index
    push(again, 102, 90)
    push(again, 103, 95)
    assert requests_of(history, "0") == [(100, 0), (101, 10)]
    assert requests_of(history, "1") == [(102, 0), (103, 5)]


def test_nobody_needs_to_watch_in_between(site: "Site") -> None:
    """A gap longer than the ring is one long average."""
    history = SampleHistory(site.segment)
    push(site.rows[0], 100, 0)
    history.since(0.0)
    for second in range(101, 101 + 2 * SAMPLE_COUNT):
        push(site.rows[0], second, second - 100)
    points = requests_of(history, "0")
    assert len(points) == SAMPLE_COUNT
    assert points[-1] == (100.0 + 2 * SAMPLE_COUNT, 2 * SAMPLE_COUNT)


def test_a_clock_that_is_set_back_starts_the_plot_anew(site: "Site") -> None:
    """Otherwise it would stand still until the clock has caught up."""
    history = SampleHistory(site.segment)
    push(site.rows[0], 5_000, 10)
    history.since(0.0)
    push(site.rows[0], 1_000, 20)
    push(site.rows[0], 1_001, 30)
    assert requests_of(history, "0") == [(1_000, 10), (1_001, 20)]


@pytest.mark.parametrize("head", [2**64 - 1, 2**53])
def test_a_damaged_ring_ends_a_plot_and_nothing_else(site: "Site", head: int) -> None:
    """And the worker's next samples are seen again, once its writer has begun anew."""
    history = SampleHistory(site.segment)
    push(site.rows[0], 99, 0)
    push(site.rows[0], 100, 10)
    push(site.rows[1], 100, 10)
    history.since(0.0)
    site.rows[0].owner[layout.OWNER_SAMPLES_HEAD] = head
    push(site.rows[1], 101, 30)
    assert requests_of(history, "1") == [(100, 0), (101, 20)]
    site.rows[0].owner[layout.OWNER_SAMPLES_HEAD] = 0
    push(site.rows[0], 102, 15)
    assert requests_of(history, "0") == [(99, 0), (100, 10), (102, 15)]
