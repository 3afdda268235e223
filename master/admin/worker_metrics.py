"""
Metrics of worker processes that the kernel knows: memory, descriptors, age.

They are what prometheus_client's process collector tells of one process, told
for every slot. In a roll a slot has two workers, and a series one value: memory
is what both take, descriptors are those of whoever has more, since the limit
is each one's own, and the start is the younger's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import Metric

from penstock.master.admin.status import WorkerStatus
from penstock.master.admin.vitals import Vitals, count_open_fds

MEMORY: Final = "penstock_worker_resident_memory_bytes"
OPEN_FDS: Final = "penstock_worker_open_fds"
START_TIME: Final = "penstock_worker_start_time_seconds"


def worker_families(
    workers: Iterable[WorkerStatus],
    vitals: Mapping[int, Vitals],
    *,
    monotonic_began_s: float,
    count_fds: Callable[[int], int | None] = count_open_fds,
) -> list[Metric]:
    """
    Make the families of all workers; what cannot be read is left out.

    `monotonic_began_s` is the wall-clock time at which the monotonic clock was
    0. It comes from outside so that it is the same at every scrape: a start
    time that wavers looks like a restart.
    """
    memory: dict[int, float] = {}
    open_fds: dict[int, float] = {}
    started: dict[int, float] = {}
    for worker in workers:
        slot = worker.slot
        started[slot] = max(started.get(slot, 0.0), round(monotonic_began_s + worker.started_monotonic_s, 2))
        if worker.pid in vitals:
            memory[slot] = memory.get(slot, 0) + vitals[worker.pid].rss_bytes
        fds = count_fds(worker.pid)
        if fds is not None:
            open_fds[slot] = max(open_fds.get(slot, 0), fds)
    return [
        _by_slot(MEMORY, "Resident memory of a slot's workers; shared pages count in each.", memory),
        _by_slot(OPEN_FDS, "Open descriptors of a slot's worker.", open_fds),
        _by_slot(START_TIME, "When a slot's youngest worker was started, since 1970.", started),
    ]


def _by_slot(name: str, help_text: str, values: Mapping[int, float]) -> Metric:
    family = Metric(name, help_text, "gauge")
    for slot, value in sorted(values.items()):
        family.add_sample(name, {"slot": str(slot)}, value)
    return family
