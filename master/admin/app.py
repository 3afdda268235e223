"""
The admin endpoint: metrics, probes, status, and a page for people.

A plain ASGI app. It reads the shared segment and the master's last snapshot,
asks no worker anything, and so answers while every worker's loop is blocked.
It changes nothing: there are only GET and HEAD.
"""

import math
import os
import time
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec

from penstock.master.admin.app_families import AppFamilies
from penstock.master.admin.history import SampleHistory
from penstock.master.admin.latency import LatencyHistory, read_durations
from penstock.master.admin.metrics import render_metrics
from penstock.master.admin.page import PAGE, PAGE_POLICY
from penstock.master.admin.probes import Verdict, judge_live, judge_ready, judge_started
from penstock.master.admin.replies import Reply, json_reply, send_reply, text_reply
from penstock.master.admin.requests import in_flight, incidents
from penstock.master.admin.server_numbers import read_upstreams, with_numbers
from penstock.master.admin.status import FleetStatus, read_memory, read_workers, render_status
from penstock.master.admin.upstreams import UpstreamCare
from penstock.master.admin.vitals import VitalSigns
from penstock.master.admin.worker_metrics import worker_families
from penstock.shm.row import ReadRow, Row
from penstock.shm.segment import Segment
from penstock.shm.totals import totals
from penstock.worker.asgi.types import Receive, Scope, Send

# In the scope of a request that came by the control socket, which is its owner's alone.
IS_OWNER: Final = "penstock.is_owner"


class Readings(Protocol):
    """Where the facts come from."""

    @property
    def segment(self) -> Segment:
        """The shared segment."""

    def fleet(self) -> FleetStatus:
        """What the master told last."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer may depend on."""

    query: dict[str, list[str]]
    accept: str
    is_owner: bool


class AdminApp:
    """The endpoint as an ASGI application."""

    def __init__(
        self, readings: Readings, read: ReadRow = Row.read, *, care: UpstreamCare | None = None
    ) -> None:
        self._readings = readings
        self._care = care
        self._read = read
        self._vital_signs = VitalSigns()
        self._monotonic_began_s = time.time() - time.monotonic()
        self._history = SampleHistory(readings.segment)
        self._app_families = AppFamilies(readings.segment)
        self._latency = LatencyHistory()
        self._routes: dict[str, Callable[[Request], Reply]] = {
            "/": self._show_page,
            "/metrics": self._show_metrics,
            "/livez": lambda _: _probe(judge_live(readings.segment.own(0).read(), time.monotonic_ns())),
            "/readyz": lambda _: _probe(judge_ready(readings.fleet())),
            "/startupz": lambda _: _probe(judge_started(readings.fleet())),
            "/status": self._show_status,
            "/samples": self._show_samples,
            "/requests": self._show_requests,
            "/slow": self._show_slow,
        }

    def end_window(self) -> None:
        """End a window of the latency's history; to be called every WINDOW_S."""
        self._latency.add(time.time(), read_durations(self._readings.segment, self._latency.latest))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; there is no lifespan and no WebSocket here."""
        assert scope["type"] == "http", f"the admin app does not speak {scope['type']}"
        await send_reply(self._answer(scope), scope, send)

    def _answer(self, scope: Scope) -> Reply:
        answer = self._routes.get(scope["path"])
        if answer is None:
            known = ", ".join(self._routes)
            return text_reply(404, f"There is nothing here. There is something at {known}.\n")
        if scope["method"] not in ("GET", "HEAD"):
            return text_reply(405, "This endpoint only tells: GET or HEAD.\n", (b"allow", b"GET, HEAD"))
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        is_owner = scope.get(IS_OWNER, False)
        return answer(Request(query=query, accept=accept.decode("latin-1"), is_owner=is_owner))

    def _show_page(self, _: Request) -> Reply:
        return Reply(
            content_type="text/html; charset=utf-8",
            body=PAGE.encode(),
            headers=((b"content-security-policy", PAGE_POLICY.encode("ascii")),),
        )

    def _show_metrics(self, request: Request) -> Reply:
        fleet = self._readings.fleet()
        vitals = self._vital_signs.of([worker.pid for worker in fleet.workers], time.monotonic())
        body, content_type = render_metrics(
            totals(self._readings.segment, self._read),
            fleet,
            request.accept,
            now_monotonic_ns=time.monotonic_ns(),
            app_families=self._app_families,
            more=(
                *worker_families(fleet.workers, vitals, monotonic_began_s=self._monotonic_began_s),
                *(() if self._care is None else self._care.families(fleet)),
            ),
        )
        return Reply(content_type=content_type, body=body, headers=((b"vary", b"accept"),))

    def _show_status(self, request: Request) -> Reply:
        fleet = self._readings.fleet()
        if not request.is_owner:
            fleet = _without_stacks(fleet)
        now_s = time.monotonic()
        admin_pid = os.getpid()
        pids = [fleet.master.pid, admin_pid, *(worker.pid for worker in fleet.workers)]
        return json_reply(
            render_status(
                fleet,
                read_workers(self._readings.segment, time.monotonic_ns(), self._read),
                self._vital_signs.of(pids, now_s),
                read_memory(self._readings.segment),
                admin_pid=admin_pid,
                now_monotonic_s=now_s,
                now_s=time.time(),
                upstreams=self._upstreams(fleet),
            )
        )

    def _upstreams(self, fleet: FleetStatus) -> list[dict[str, Any]]:
        if not fleet.upstreams:
            return []
        readings = read_upstreams(self._readings.segment, self._read)
        told = map(msgspec.to_builtins, fleet.upstreams) if self._care is None else self._care.render(fleet)
        return with_numbers(told, readings)

    def _show_requests(self, request: Request) -> Reply:
        found = in_flight(
            self._readings.segment, time.monotonic_ns(), shows_paths=request.is_owner, read=self._read
        )
        return json_reply({"requests": found})

    def _show_slow(self, request: Request) -> Reply:
        return json_reply({"requests": incidents(self._readings.segment, shows_paths=request.is_owner)})

    def _show_samples(self, request: Request) -> Reply:
        """Give the points after `since`, a moment of the server's clock: the `now` of an earlier answer."""
        given = request.query.get("since", ["0"])[-1]
        try:
            since_s = float(given)
        except ValueError:
            since_s = math.nan
        if not math.isfinite(since_s):
            return text_reply(
                400, f"since is {given[:40]!r}, expected seconds as /samples told them in `now`.\n"
            )
        now_s = time.time()
        return json_reply(
            {"now": now_s, "slots": self._history.since(since_s), "latency": self._latency.since(since_s)}
        )


def _without_stacks(fleet: FleetStatus) -> FleetStatus:
    """Leave out what `stacks` has found: paths that clients ask for, and the insides of the app."""
    operations = tuple(
        msgspec.structs.replace(each, result="") if each.verb == "stacks" else each
        for each in fleet.operations
    )
    return msgspec.structs.replace(fleet, operations=operations)


def _probe(verdict: Verdict) -> Reply:
    return json_reply(verdict.detail, status=200 if verdict.is_ok else 503)
