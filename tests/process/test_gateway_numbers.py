"""What a gateway of several processes counts is what its clients have seen."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import Server, free_port, get, run_penstock, wait_for
from tests.process.test_tracing_gateway import Backend

Start = Callable[..., Server]


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Give a server that answers."""
    running = Backend()
    yield running
    running.goes_on.set()
    running.shutdown()
    running.server_close()


def serve(start: Start, folder: Path, *addresses: str, more: str = "", timeouts: str = "{}") -> Server:
    path = folder / "gateway.yaml"
    servers = ", ".join(f"'{each}'" for each in addresses)
    path.write_text(
        f"workers: 2\npin: false\n{more}"
        "listeners: [{name: web, bind: '127.0.0.1:0', routes: [{name: all, proxy: backend}]}]\n"
        f"upstreams: {{backend: {{servers: [{servers}], balance: round_robin, timeouts: {timeouts}}}}}\n"
    )
    return start("-c", str(path)).wait_serving()


class Clients:
    """Ask without a pause, and count what comes."""

    def __init__(self, port: int, count: int = 4) -> None:
        self.seen: Counter[int] = Counter()
        self.broken: list[Exception] = []
        self._port = port
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            try:
                status, _ = get(self._port, "/missing" if self.seen.total() % 5 == 0 else "/")
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.broken.append(error)
                continue
            with self._lock:
                self.seen[status] += 1

    def stop(self) -> Counter[int]:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        return self.seen


def test_numbers_are_what_clients_have_seen_and_only_grow(
    start: Start, tmp_path: Path, backend: Backend
) -> None:
    """
    Over two workers, with a server that is not there, through a roll, a crash and a hot restart.
    """
    alive, dead = f"127.0.0.1:{backend.server_address[1]}", f"127.0.0.1:{free_port()}"
    server = serve(start, tmp_path, alive, dead)
    clients = Clients(server.port)
    before = 0.0

    def answered(**labels: str) -> float:
        return server.metric("penstock_upstream_requests_total", **labels)

    for step, order in enumerate((None, signal.SIGHUP, signal.SIGUSR2, signal.SIGKILL), 1):
        if order is signal.SIGKILL:
            assert clients.broken == []
            os.kill(server.status()["workers"][0]["pid"], order)
            server.wait_status(lambda status: status["worker_restarts"].get("crash"), "the crash")
            server.wait_status(
                lambda status: [each["state"] for each in status["workers"]] == ["ready"] * 2, "two workers"
            )
        elif order is not None:
            server.signal(order)
            server.wait_generation(step, 2)
        mark = clients.seen.total()
        wait_for(lambda mark=mark: clients.seen.total() > mark + 50, "some requests")  # type: ignore[misc]
        now = answered()
        assert now > before
        before = now
    seen = clients.stop()

    assert set(seen) == {200, 404}
    # What a killed worker was at: counted or not, no client has seen it.
    assert seen.total() <= answered() <= seen.total() + 8
    assert answered(code="4xx", server=alive) >= seen[404]
    assert answered(server=dead) == 0
    failures = server.metric("penstock_upstream_failures_total", server=dead, reason="connect")
    assert failures == server.metric("penstock_upstream_failures_total") > 0
    assert server.metric("penstock_upstream_retries_total", server=dead) == failures
    assert server.metric("penstock_upstream_request_duration_seconds_count", server=alive) == answered()
    assert server.metric("penstock_upstream_connect_duration_seconds_count", server=alive) > 0
    wait_for(lambda: server.metric("penstock_upstream_connections", state="active") == 0, "peace")
    assert server.metric("penstock_upstream_requests_queued") == 0

    [upstream] = server.status()["upstreams"]
    first, second = upstream["servers"]
    assert (upstream["name"], first["address"], first["requests"]) == ("backend", alive, answered())
    assert (second["address"], second["failures"]) == (dead, failures)
    told = run_penstock("status", "--control", str(server.control), cwd=tmp_path).stdout
    assert "UPSTREAM" in told
    assert alive in told


def test_a_failed_request_names_the_server_wherever_one_looks(
    start: Start, tmp_path: Path, backend: Backend
) -> None:
    """
    In flight, in the access log, and among those that failed.
    """
    address = f"127.0.0.1:{backend.server_address[1]}"
    log = tmp_path / "access.log"
    server = serve(
        start,
        tmp_path,
        address,
        more=f"log: {{access: {{path: {log}, format: json}}}}\n",
        timeouts="{first_byte: 3s}",
    )
    assert server.get("/")[0] == 200
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(server.get("/hang")[0]))
    asking.start()

    def in_flight() -> list[dict[str, Any]]:
        return json.loads(server.admin("/requests")[1])["requests"]  # type: ignore[no-any-return]

    wait_for(lambda: [each["server"] for each in in_flight()] == [address], "the request in flight")
    asking.join()
    assert answers == [504]

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    wait_for(lambda: len(lines()) == 2, "two lines")
    good, bad = lines()
    assert (good["upstream"], good["server"], good["upstream_status"]) == ("backend", address, 200)
    assert 0 < good["upstream_first_byte_s"] <= good["upstream_s"] <= good["duration"]
    assert (bad["status"], bad["upstream_status"], bad["upstream_failure"]) == (504, None, "timeout")
    assert bad["upstream_s"] > 2
    assert set(bad["attempts"]) == {address}
    told = run_penstock("status", "--slow", "--control", str(server.control), cwd=tmp_path).stdout
    assert f"GET ({address}: timeout) /hang" in told
    [failed] = json.loads(server.admin("/slow")[1])["requests"]
    assert (failed["upstream"], failed["server"], failed["failure"]) == ("backend", address, "timeout")
