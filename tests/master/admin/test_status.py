"""`/status` says what the design promises, of workers that live, start and die."""

from typing import TYPE_CHECKING, Any

import msgspec

from penstock.master.admin.status import (
    CrashLoopStatus,
    Failure,
    FleetStatus,
    loop_lag_s,
    read_memory,
    read_workers,
    render_status,
)
from penstock.master.admin.vitals import Vitals
from penstock.shm.row import State

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

SECOND_NS = 1_000_000_000


def render(site: "Site", *, now_ns: int, vitals: dict[int, Vitals] | None = None) -> dict[str, Any]:
    """Render the site's status at a moment."""
    return render_status(
        site.status,
        read_workers(site.segment, now_ns),
        vitals or {},
        read_memory(site.segment),
        admin_pid=77,
        now_monotonic_s=now_ns / SECOND_NS,
        now_s=1_700_000_086.5,
    )


def now_ns_of(site: "Site") -> int:
    """The moment at which the workers' hearts beat last."""
    reading = site.rows[0].read()
    assert reading is not None
    return reading.heartbeat_ns


def test_the_snapshot_survives_the_way_to_the_admin_process(site: "Site") -> None:
    """It is sent as JSON."""
    site.change(failure=Failure(message="no module named shop", at=1_700_000_100.0))
    assert msgspec.json.decode(msgspec.json.encode(site.status), type=FleetStatus) == site.status


def test_a_snapshot_of_a_later_release_is_understood(site: "Site") -> None:
    """During a hot restart the old admin process hears the new master."""
    told = msgspec.to_builtins(site.status) | {"weather": "fine"}
    assert msgspec.json.decode(msgspec.json.encode(told), type=FleetStatus) == site.status


def test_status_has_the_promised_shape(site: "Site") -> None:
    """Programs read these keys."""
    status = render(site, now_ns=now_ns_of(site))
    assert {"master", "workers", "listeners", "upstreams"} <= status.keys()
    assert {"pid", "state", "generation", "started_at"} <= status["master"].keys()
    assert status["workers"][0].keys() == {
        "slot",
        "core",
        "pid",
        "state",
        "generation",
        "age_s",
        "rss_bytes",
        "cpu_s",
        "connections",
        "connections_active",
        "connections_idle",
        "requests",
        "loop_lag_s",
    }
    assert status["listeners"] == [
        {
            "name": "web",
            "address": "127.0.0.1:8000",
            "shards": (
                {"index": 0, "slot": 0, "queued": 0},
                {"index": 1, "slot": None, "queued": 3},
            ),
            "certificates": (),
        }
    ]
    assert status["upstreams"] == []
    assert status["uptime_s"] == 86.5
    msgspec.json.encode(status)


def test_a_worker_is_told_with_what_its_row_counts(site: "Site") -> None:
    """Requests of all classes, connections of both kinds."""
    cells = site.rows[1].cells
    cells[site.requests] = 40
    cells[site.requests + 3] = 2
    cells[site.active], cells[site.idle] = 3, 4
    vitals = {4_000_011: Vitals(rss_bytes=5_000_000, cpu_s=1.25)}
    worker = render(site, now_ns=now_ns_of(site), vitals=vitals)["workers"][1]
    assert (worker["slot"], worker["pid"], worker["state"]) == (1, 4_000_011, "ready")
    assert (worker["requests"], worker["connections"], worker["rss_bytes"]) == (42, 7, 5_000_000)
    assert (worker["connections_active"], worker["connections_idle"], worker["cpu_s"]) == (3, 4, 1.25)


def test_a_worker_is_not_told_with_its_predecessors_requests(site: "Site") -> None:
    """The row went on counting; the worker has answered nothing yet."""
    site.rows[0].cells[site.requests] = 1_000
    site.rows[0].release()
    site.change(workers=())
    row = site.start_worker(slot=0, pid=4_000_020, generation=2)
    assert row.index == 1
    row.cells[site.requests] += 5
    assert render(site, now_ns=now_ns_of(site))["workers"][0]["requests"] == 5


def test_a_worker_whose_row_speaks_of_another_has_no_numbers(site: "Site") -> None:
    """Just forked and not yet in its row, or dead and its row already given away."""
    site.rows[0].cells[site.requests] = 1_000
    stranger = msgspec.structs.replace(site.status.workers[0], pid=4_000_099, state="starting")
    site.change(workers=(stranger,))
    worker = render(site, now_ns=now_ns_of(site))["workers"][0]
    assert (worker["requests"], worker["connections"], worker["loop_lag_s"]) == (0, 0, 0.0)
    assert worker["rss_bytes"] is worker["cpu_s"] is None


def test_workers_are_sorted_by_slot_and_then_by_generation(site: "Site") -> None:
    """During a roll a slot has two."""
    site.start_worker(slot=0, pid=4_000_005, generation=2)
    workers = render(site, now_ns=now_ns_of(site))["workers"]
    assert [(worker["slot"], worker["generation"]) for worker in workers] == [(0, 1), (0, 2), (1, 1)]


def test_a_failure_is_told_with_its_time(site: "Site") -> None:
    """A roll that failed hours ago is another matter than one that failed just now."""
    assert render(site, now_ns=1)["master"]["last_failure"] is None
    site.change(failure=Failure(message="no module named shop", at=1_700_000_100.0))
    told = render(site, now_ns=1)["master"]["last_failure"]
    assert told == {"message": "no module named shop", "at": 1_700_000_100.0}


def test_a_crash_loop_is_told_with_its_next_attempt(site: "Site") -> None:
    """In seconds from now, and none while a worker has been started since."""
    assert render(site, now_ns=1)["crash_loops"] == []
    loop = CrashLoopStatus(slot=1, failures=4, next_attempt_monotonic_s=1e9 + 2.5, last_reason="why")
    site.change(crash_loops=(loop,))
    told = {"slot": 1, "failures": 4, "next_attempt_s": 2.5, "last_reason": "why"}
    assert render(site, now_ns=10**18)["crash_loops"] == [told]

    site.change(workers=())
    assert render(site, now_ns=10**18 + 10 * SECOND_NS)["crash_loops"] == [told | {"next_attempt_s": 0.0}]
    site.start_worker(slot=1, pid=4_000_012)
    site.change(crash_loops=(msgspec.structs.replace(loop, next_attempt_monotonic_s=0.0),))
    assert render(site, now_ns=10**18)["crash_loops"] == [told | {"next_attempt_s": None}]


def test_a_blocked_loop_shows_although_it_cannot_say_so(site: "Site") -> None:
    """Its last word was that all is well."""
    row = site.rows[0]
    row.beat(100 * SECOND_NS, loop_lag_us=1_500)
    reading = row.read()
    assert reading is not None
    assert loop_lag_s(reading, 100 * SECOND_NS) == 0.0015
    assert loop_lag_s(reading, 101 * SECOND_NS) == 0.0015
    assert loop_lag_s(reading, 131 * SECOND_NS) == 30.0


def test_a_worker_that_imports_its_app_is_not_late(site: "Site") -> None:
    """It has no loop yet."""
    row = site.rows[0]
    row.set_state(State.STARTING)
    reading = row.read()
    assert reading is not None
    assert loop_lag_s(reading, reading.heartbeat_ns + 60 * SECOND_NS) == 0.0


def test_slots_without_service_are_those_with_no_ready_worker(site: "Site") -> None:
    """Of whatever generation."""
    assert site.status.slots_without_service() == []
    site.change(slot_count=3)
    assert site.status.slots_without_service() == [2]
    draining = msgspec.structs.replace(site.status.workers[0], state="draining")
    site.change(workers=(draining, site.status.workers[1]))
    assert site.status.slots_without_service() == [0, 2]
