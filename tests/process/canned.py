"""An admin endpoint with canned answers, for what would take a real one hours to show."""

import http.server
import json
from collections.abc import Callable
from typing import Any

from penstock.master.admin.page import PAGE, PAGE_POLICY


class AdminServer(http.server.ThreadingHTTPServer):
    """The admin page, and answers that a test writes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AdminAnswers)
        self.status: dict[str, Any] = canned_status()
        self.samples: Callable[[float], dict[str, Any]] = lambda since: {"now": 100.0, "slots": {}}
        self.requests: list[dict[str, Any]] | None = []  # None: as by a server that does not tell
        self.is_failing = False
        self.asked: list[str] = []
        self.page = PAGE
        self.policy = PAGE_POLICY
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class AdminAnswers(http.server.BaseHTTPRequestHandler):
    """Answers one request at a time."""

    server: AdminServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append(self.path)
        if path == "/":
            self.answer("text/html; charset=utf-8", self.server.page.encode())
        elif self.server.is_failing:
            self.send_error(503)
        elif path == "/status":
            self.answer_json(self.server.status)
        elif path == "/requests":
            if self.server.requests is None:
                self.send_error(404)
            else:
                self.answer_json({"requests": self.server.requests})
        else:
            assert path == "/samples", path
            self.answer_json(self.server.samples(float(query.removeprefix("since="))))

    def answer_json(self, value: Any) -> None:
        self.answer("application/json", json.dumps(value).encode())

    def answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", self.server.policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error is for failures."""


def worker(slot: int, pid: int, state: str = "ready", generation: int = 3, **more: Any) -> dict[str, Any]:
    """Give a worker of `/status`."""
    return {
        "slot": slot,
        "core": slot,
        "pid": pid,
        "state": state,
        "generation": generation,
        "age_s": 75.2,
        "rss_bytes": 36 * 2**20,
        "cpu_s": 12.5,
        "connections": 12,
        "connections_active": 2,
        "connections_idle": 10,
        "requests": 1234567,
        "loop_lag_s": 0.0004,
    } | more


def server(address: str, state: str = "up", **more: Any) -> dict[str, Any]:
    """Give a server of an upstream of `/status`."""
    return {
        "address": address,
        "weight": 1,
        "state": state,
        "up": state != "down",
        "left_out": 0,
        "connections_active": 3,
        "connections_idle": 5,
        "queued": 0,
        "requests": 1000,
        "failures": 2,
    } | more


def canned_status() -> dict[str, Any]:
    """Give a server in the middle of a roll."""
    return {
        "name": "shop",
        "version": "0.1.0",
        "uptime_s": 3723.4,
        "master": {
            "pid": 3999,
            "state": "rolling",
            "generation": 3,
            "started_at": 0,
            "rss_bytes": 20 * 2**20,
            "last_failure": None,
        },
        "admin": {"pid": 4010, "address": "127.0.0.1:9180", "rss_bytes": 24 * 2**20},
        "slots": 2,
        "worker_restarts": {"crash": 2, "roll": 1200, "timeout": 0},
        "workers": [
            worker(1, 3002, "draining", 2, loop_lag_s=1.25),
            worker(0, 4000, core=None),
            worker(1, 4001, "starting", loop_lag_s=None, rss_bytes=None, cpu_s=None),
        ],
        "operations": [],
        "crash_loops": [],
        "listeners": [
            {
                "name": "web",
                "address": "0.0.0.0:8080",
                "shards": [
                    {"index": 0, "slot": 0, "queued": 0},
                    {"index": 1, "slot": 1, "queued": 3},
                    {"index": 2, "slot": None, "queued": 0},
                ],
            }
        ],
        "upstreams": [
            {
                "name": "backend",
                "balance": "least_request",
                "servers": [server("10.0.0.1:9000"), server("10.0.0.2:9000", "down", queued=4)],
            }
        ],
    }


def sample(t: float, requests: int, connections: int = 0, errors: int = 0) -> dict[str, Any]:
    """Give a point of `/samples`."""
    return {
        "t": t,
        "requests": requests,
        "errors": errors,
        "sent_bytes": requests * 1024,
        "connections": connections,
        "loop_lag_s": 0.001,
        "generation": 3,
    }


def flying(age_s: float, **more: Any) -> dict[str, Any]:
    """Give a request of `/requests`."""
    return {
        "slot": 1,
        "pid": 4001,
        "generation": 3,
        "method": "GET",
        "path": None,
        "route": "/report",
        "state": "app",
        "age_s": age_s,
        "sent_bytes": 2048,
    } | more
