"""The admin side's own readings of a real server: processor time, latency, who has what open."""

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.process.harness import Server, wait_for

# Burns processor time on demand, and waits on demand.
APP = """
import asyncio, time

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/burn":
        until_s = time.process_time() + 0.3
        while time.process_time() < until_s:
            pass
    if scope["path"] == "/wait":
        await asyncio.sleep(0.1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "main.py").write_text(APP)
    started = Server("main:app", "--port", "0", "--workers", "2", cwd=tmp_path)
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


def cpu_s(server: Server) -> float:
    return server.metric("penstock_worker_cpu_seconds_total")


def test_processor_time_survives_its_workers(server: Server) -> None:
    """
    A counter that falls with a replaced worker makes `rate()` see a restart that was none.
    """
    for _ in range(4):
        assert server.get("/burn")[0] == 200
    counted = wait_for(lambda: cpu_s(server) >= 1.2 and cpu_s(server), "what was burnt to be counted")

    for worker in server.status()["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
        killed = worker["pid"]

        def is_replaced(killed: int = killed) -> bool:
            pids = [each["pid"] for each in server.status()["workers"] if each["state"] == "ready"]
            return len(pids) == 2 and killed not in pids

        wait_for(is_replaced, "the replacement")
        assert cpu_s(server) >= counted
        counted = cpu_s(server)

    server.signal(signal.SIGUSR2)
    server.wait_generation(2, 2)
    assert cpu_s(server) >= counted
    assert sum(server.metric("penstock_gc_collections_total", generation=each) for each in "012") > 0


def tells_descriptors(server: Server, slot: str, process: psutil.Process) -> bool:
    """Connections have just ended, and the numbers may be a moment old."""
    return server.metric("penstock_worker_open_fds", slot=slot) == process.num_fds()


def test_what_workers_take_is_what_the_kernel_says(server: Server) -> None:
    """
    Memory, descriptors and start of every slot, and the processor time of every worker.
    """
    for _ in range(4):
        assert server.get("/burn")[0] == 200
    status = server.status()
    assert 0 < status["uptime_s"] < 300
    assert sum(worker["cpu_s"] for worker in status["workers"]) > 1.0
    for worker in status["workers"]:
        process = psutil.Process(worker["pid"])
        slot = str(worker["slot"])
        rss_bytes = server.metric("penstock_worker_resident_memory_bytes", slot=slot)
        assert rss_bytes == pytest.approx(process.memory_info().rss, rel=0.1)
        wait_for(partial(tells_descriptors, server, slot, process), "descriptors as they are")
        started = server.metric("penstock_worker_start_time_seconds", slot=slot)
        assert abs(started - process.create_time()) < 5.0
        assert started == server.metric("penstock_worker_start_time_seconds", slot=slot)


def test_latency_is_told_in_windows(server: Server) -> None:
    """
    What waited a tenth of a second shows as such, in all and by slot.
    """
    began_s = time.time()

    def points() -> list[dict[str, float]]:
        assert server.get("/wait")[0] == 200
        return json.loads(server.admin("/samples")[1])["latency"]  # type: ignore[no-any-return]

    point = wait_for(points, "the end of a window")[0]
    assert began_s < point["t"] <= time.time()
    assert point["requests"] >= 1
    assert 0.09 <= point["p50_s"] <= point["p95_s"] <= point["p99_s"] < 5.0
    slots = point["slots"]
    assert isinstance(slots, dict)
    assert slots.keys() <= {"0", "1"}
    assert all(0.09 <= each["p50_s"] <= each["p99_s"] for each in slots.values())
