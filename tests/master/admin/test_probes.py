"""Probes tell an orchestrator when to wait, when to send clients and when to restart."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.master.admin.probes import judge_live, judge_ready, judge_started
from penstock.master.admin.status import CrashLoopStatus
from penstock.shm import layout

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

SECOND_NS = 1_000_000_000


def test_the_master_is_live_while_its_heart_beats(site: "Site") -> None:
    """A hot restart takes a moment, and nobody may take that for death."""
    row = site.segment.row(0)
    row.beat(100 * SECOND_NS)
    assert judge_live(row.read(), 100 * SECOND_NS).is_ok
    assert judge_live(row.read(), 110 * SECOND_NS).is_ok
    assert not judge_live(row.read(), 111 * SECOND_NS).is_ok
    row.beat(111 * SECOND_NS)
    assert judge_live(row.read(), 111 * SECOND_NS).is_ok


def test_a_damaged_row_of_the_master_is_not_live(site: "Site") -> None:
    """Nothing that is known says that the master lives."""
    site.segment.row(0).master[layout.MASTER_KIND] = 99
    assert not judge_live(site.segment.row(0).read(), 1).is_ok
    assert not judge_live(site.rows[0].read(), 1).is_ok, "the row of a worker"


def test_ready_when_every_slot_has_a_ready_worker(site: "Site") -> None:
    """Capacity is whole."""
    assert judge_ready(site.status).is_ok


def test_ready_while_the_previous_generation_serves(site: "Site") -> None:
    """A roll starts before it stops, so it is never a reason to send clients away."""
    site.start_worker(slot=0, pid=4_000_020, generation=2)
    site.start_worker(slot=1, pid=4_000_021, generation=2)
    old_0, old_1, new_0, new_1 = site.status.workers
    starting = [replace(worker, state="starting") for worker in (new_0, new_1)]
    for workers in (
        (old_0, old_1, *starting),
        (old_0, old_1, new_0, starting[1]),
        (replace(old_0, state="draining"), old_1, new_0, starting[1]),
        (new_0, new_1),
    ):
        site.change(workers=workers)
        assert judge_ready(site.status).is_ok


def test_not_ready_while_a_slot_has_no_ready_worker(site: "Site") -> None:
    """And the answer says which."""
    first, second = site.status.workers
    site.change(workers=(first, replace(second, state="starting")))
    verdict = judge_ready(site.status)
    assert not verdict.is_ok
    assert verdict.detail["slots_without_ready_worker"] == [1]


def test_a_crash_loop_is_told_and_changes_no_verdict(site: "Site") -> None:
    """Whoever reads the answer at night need not look further for the reason."""
    loop = CrashLoopStatus(
        slot=1, failures=4, next_attempt_monotonic_s=9.0, last_reason="exited with status 7"
    )
    site.change(crash_loops=(loop,))
    verdict = judge_ready(site.status)
    assert verdict.is_ok
    assert verdict.detail["crash_loops"] == [{"slot": 1, "failures": 4}]

    site.change(workers=site.status.workers[:1])
    verdict = judge_ready(site.status)
    assert not verdict.is_ok
    assert "slot 1 is in a crash loop, 4 failures so far" in verdict.detail["status"]


def test_ready_with_a_blocked_worker(site: "Site") -> None:
    """Its siblings accept for it; to send the clients elsewhere would make a busy server a lost one."""
    first, second = site.status.workers
    site.change(workers=(first, replace(second, state="suspect")))
    assert judge_ready(site.status).is_ok


def test_not_ready_while_the_master_stops(site: "Site") -> None:
    """The load balancer looks elsewhere before the last worker is gone."""
    site.change(master=replace(site.status.master, state="draining"))
    assert not judge_ready(site.status).is_ok


def test_started_once_the_first_generation_has_served(site: "Site") -> None:
    """And ever after, even while everything is down."""
    site.change(workers=(), has_served=False)
    assert not judge_started(site.status).is_ok
    site.change(has_served=True)
    assert judge_started(site.status).is_ok
