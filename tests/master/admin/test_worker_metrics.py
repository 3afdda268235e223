"""What the kernel knows of workers, by slot."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.master.admin.vitals import Vitals
from penstock.master.admin.worker_metrics import worker_families

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

FDS = {4_000_010: 12, 4_000_011: 40, 4_000_020: 30}


def told(site: "Site", vitals: dict[int, Vitals]) -> dict[tuple[str, str], float]:
    """Give value by name and slot."""
    families = worker_families(
        site.status.workers, vitals, monotonic_began_s=1_700_000_000.0, count_fds=FDS.get
    )
    samples = [sample for family in families for sample in family.samples]
    values = {(sample.name, sample.labels["slot"]): sample.value for sample in samples}
    assert len(values) == len(samples), "the same sample twice would make Prometheus refuse the whole scrape"
    return values


def test_every_slot_is_told(site: "Site") -> None:
    """Memory, descriptors, and when it began."""
    first, second = site.status.workers
    site.change(
        workers=(replace(first, started_monotonic_s=50.123456), replace(second, started_monotonic_s=60.0))
    )
    values = told(site, {4_000_010: Vitals(rss_bytes=1000, cpu_s=1.0)})
    assert values == {
        ("penstock_worker_resident_memory_bytes", "0"): 1000,
        ("penstock_worker_open_fds", "0"): 12,
        ("penstock_worker_open_fds", "1"): 40,
        ("penstock_worker_start_time_seconds", "0"): 1_700_000_050.12,
        ("penstock_worker_start_time_seconds", "1"): 1_700_000_060.0,
    }


def test_two_workers_of_a_slot_are_one_series(site: "Site") -> None:
    """In a roll: what both take, the one nearer to its limit, the younger's start."""
    site.start_worker(slot=0, pid=4_000_020, generation=2)
    old, _, new = site.status.workers
    site.change(
        workers=(replace(new, started_monotonic_s=99.0), replace(old, started_monotonic_s=50.0)),
    )
    vitals = {4_000_010: Vitals(rss_bytes=1000, cpu_s=1.0), 4_000_020: Vitals(rss_bytes=500, cpu_s=1.0)}
    assert told(site, vitals) == {
        ("penstock_worker_resident_memory_bytes", "0"): 1500,
        ("penstock_worker_open_fds", "0"): 30,
        ("penstock_worker_start_time_seconds", "0"): 1_700_000_099.0,
    }
