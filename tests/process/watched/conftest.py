"""One eventful life of a server under the eyes of Prometheus, for all who want to know what was seen."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.process.harness import Server, free_port, wait_for, write_app
from tests.process.prometheus import Prometheus, text_only

APP = """
import asyncio

STATUSES = {"/moved": 308, "/missing": 404}

async def app(scope, receive, send):
    if scope["path"] == "/fail":
        raise RuntimeError("as asked")
    if scope["path"] == "/slow":
        await asyncio.sleep(0.03)
    await send({"type": "http.response.start", "status": STATUSES.get(scope["path"], 200), "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""
CONFIG = """
workers: 2
lifespan: "off"
listeners:
  - name: web
    bind: 127.0.0.1:0
    routes:
      - match: {{path: /whoami}}
        proxy: backend
      - app: main:app
upstreams:
  backend:
    servers: ["127.0.0.1:{here}", "127.0.0.1:{gone}"]
    balance: round_robin
    health_check: {{every: 1s, unhealthy_after: 1000}}
"""
BROKEN = "raise RuntimeError('oops')\n"


@dataclass
class Watched:
    """What was done, what Prometheus saw of it, and what the server said at the end."""

    server: Server
    prometheus: Prometheus
    requests: dict[str, int]  # by class
    exposition: str = ""

    def ask(self, path: str, count: int = 1) -> None:
        """Make requests, and count them by the class of their answers."""
        for _ in range(count):
            status = self.server.get(path)[0]
            self.requests[f"{status // 100}xx"] += 1

    @property
    def request_count(self) -> int:
        """How many requests were answered."""
        return sum(self.requests.values())


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Serve, fail, crash, reload; Prometheus looks on from before the first request."""
    folder = tmp_path_factory.mktemp("watched")
    write_app(folder, APP)
    behind = Server(
        "--port", "0", "--workers", "1", "--admin-bind", "none", cwd=tmp_path_factory.mktemp("behind")
    )
    (folder / "watched.yaml").write_text(CONFIG.format(here=behind.wait_serving().port, gone=free_port()))
    server = Server("-c", "watched.yaml", cwd=folder)
    try:
        server.wait_serving()
        with text_only(server.admin_port) as text_port:
            targets = {
                "penstock": f"127.0.0.1:{server.admin_port}/metrics",
                "penstock-text": f"127.0.0.1:{text_port}/metrics",
                "nonsense": f"127.0.0.1:{text_port}/nonsense",
            }
            prometheus = Prometheus(folder, targets)
            try:
                prometheus.wait_ready()
                wait_for(lambda: prometheus.value("sum(up)") == 2, "two scrapes")
                seen = Watched(server, prometheus, dict.fromkeys(("2xx", "3xx", "4xx", "5xx"), 0))
                _live(seen)
                yield seen
            finally:
                prometheus.stop()
    finally:
        server.clean_up()
        behind.clean_up()


def _live(watched: Watched) -> None:
    """Do everything of which there are numbers, each step seen by Prometheus before the next."""
    server, prometheus = watched.server, watched.prometheus
    folder = server.log_path.parent
    seen = 'sum(penstock_requests_total{job="penstock"})'

    watched.ask("/slow", 10)
    watched.ask("/whoami", 10)
    for path in ("/moved", "/missing", "/fail"):
        watched.ask(path, 3)
    prometheus.wait_value(seen, watched.request_count)

    _kill_slot(server, 0)
    prometheus.wait_value('penstock_worker_restarts_total{job="penstock", reason="crash"}', 1)
    prometheus.wait_value('penstock_workers{job="penstock", state="ready"}', 2)
    watched.ask("/", 10)

    write_app(folder, BROKEN)
    server.signal(signal.SIGHUP)
    prometheus.wait_value('penstock_reload_failures_total{job="penstock"}', 1)
    _kill_slot(server, 0)
    prometheus.wait_value('penstock_worker_crash_loops{job="penstock"}', 1)
    wait_for(lambda: prometheus.query('ALERTS{alertname="PenstockCrashLoop", job="penstock"}'), "an alert")
    watched.ask("/", 10)
    prometheus.wait_value(seen, watched.request_count)

    write_app(folder, APP)
    server.signal(signal.SIGHUP)
    prometheus.wait_value('penstock_worker_crash_loops{job="penstock"}', 0)
    prometheus.wait_value('penstock_workers{job="penstock", state="ready"}', 2)
    server.wait_status(
        lambda status: len({worker["generation"] for worker in status["workers"]}) == 1, "one generation"
    )
    watched.ask("/slow", 10)
    for job in ("penstock", "penstock-text"):
        prometheus.wait_value(f'sum(penstock_requests_total{{job="{job}"}})', watched.request_count)
    watched.exposition = server.admin("/metrics")[1].decode()


def _kill_slot(server: Server, slot: int) -> None:
    [worker] = [worker for worker in server.status()["workers"] if worker["slot"] == slot]
    os.kill(worker["pid"], signal.SIGKILL)
