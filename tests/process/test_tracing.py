"""Spans of real workers at a real receiver, whatever happens to either of them."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.process.collector import Collector, CollectorProcess
from tests.process.harness import DEADLINE_S, Server, free_port, get, run_penstock, wait_for, write_app

Start = Callable[..., Server]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

API = """
import sys

from fastapi import FastAPI
from opentelemetry import baggage, trace

app = FastAPI()
tracer = trace.get_tracer("shop")


@app.get("/work")
async def work():
    with tracer.start_as_current_span("work"):
        return dict(baggage.get_all())


@app.get("/fails")
async def fails():
    raise RuntimeError("a secret of the house")
"""

# What the documentation of opentelemetry tells one to do.
OWN_PROVIDER = """
import os
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "own"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=os.environ["COLLECTOR"])))
trace.set_tracer_provider(provider)
"""

PLAIN = """
import sys

async def app(scope, receive, send):
    if scope["type"] == "http":
        found = [name for name in sys.modules if name.startswith("opentelemetry")]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": " ".join(found).encode()})
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a receiver that answers."""
    running = Collector()
    yield running
    running.close()


def serve(start: Start, folder: Path, app: str, endpoint: str | None, *options: str, **env: str) -> Server:
    write_app(folder, app)
    tracing = [] if endpoint is None else ["--tracing-endpoint", endpoint]
    return start(
        "main:app", "--port", "0", "--workers", "2", "--no-pin", *tracing, *options, env=env
    ).wait_serving()


def parent(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}


def by_id(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {span["id"]: span for span in spans}


@pytest.mark.parametrize("preload", [False, True])
def test_app_with_a_provider_of_its_own(
    start: Start, tmp_path: Path, collector: Collector, preload: bool
) -> None:
    """
    It keeps it, and its spans are children of ours, of both workers and also those of FastAPI itself.
    """
    options = ["--preload"] if preload else []
    server = serve(start, tmp_path, OWN_PROVIDER + API, collector.url, *options, COLLECTOR=collector.url)
    for _ in range(20):
        status, body = server.get("/work", **parent(), baggage="user=alice")
        assert (status, json.loads(body)) == (200, {"user": "alice"})
    server.stop()
    ours = collector.wait_spans(20, "penstock")
    assert len(ours) == 20
    assert {span["trace"] for span in collector.spans()} == {TRACE}
    assert {span["parent"] for span in ours} == {SPAN}
    assert {span["resource"]["service.name"] for span in ours} == {"penstock"}
    spans = by_id(collector.spans())
    assert len(collector.spans("shop")) == 20
    for span in collector.spans("shop"):
        assert span["resource"]["service.name"] == "own"
        above = span
        while above["scope"] != "penstock":
            above = spans[above["parent"]]
    assert not [line for line in server.output().splitlines() if "Overriding" in line]


def test_app_without_a_provider(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    It has none afterwards either, and what it does by the API is as cheap as before.
    """
    server = serve(start, tmp_path, API, collector.url, OTEL_SERVICE_NAME="shop-front")
    assert server.get("/work", **parent(), baggage="user=alice") == (200, b'{"user":"alice"}')
    assert server.get("/fails")[0] == 500
    server.stop()
    work, fails = sorted(collector.wait_spans(2), key=lambda span: span["url.path"], reverse=True)
    assert {span["scope"] for span in collector.spans()} == {"penstock"}
    assert work["name"] == "GET /"
    assert work["kind"] == 2
    assert work["resource"]["service.name"] == "shop-front"
    assert work["resource"]["penstock.generation"] == 1
    assert work["http.response.status_code"] == 200
    assert work["penstock.worker"] in (0, 1)
    assert fails["status"] == 2
    [(name, event)] = fails["events"]
    assert (name, event["exception.type"]) == ("exception", "RuntimeError")
    assert "exception.stacktrace" not in event


def test_app_may_be_given_a_provider(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    If it is asked for: then what the app traces by the API alone comes along.
    """
    (tmp_path / "p.yaml").write_text(f"tracing: {{endpoint: '{collector.url}', app_spans: true}}\n")
    server = serve(start, tmp_path, API, None, "-c", "p.yaml")
    server.get("/work", **parent())
    server.get("/work", **parent("00"))
    server.stop()
    [work] = collector.wait_spans(1, "shop")
    [ours] = collector.spans("penstock")
    spans = by_id(collector.spans())
    while work["scope"] != "penstock":
        work = spans[work["parent"]]
    assert work == ours
    assert {span["trace"] for span in collector.spans()} == {TRACE}


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_ratio_decides_unless_a_caller_has(
    start: Start, tmp_path: Path, collector: Collector, ratio: str
) -> None:
    """
    Nothing goes out for callers that do not sample, and all of those that do.
    """
    server = serve(start, tmp_path, PLAIN, collector.url, "--tracing-sample", ratio)
    for _ in range(10):
        server.get("/")
        server.get("/", **parent("00"))
        server.get("/", **parent("01"))
    count = 20 if ratio == "1" else 10
    server.stop()
    assert len(collector.spans()) == count
    assert sum(span["trace"] == TRACE for span in collector.spans()) == 10


def test_numbers_are_exported(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    As one total over all workers.
    """
    server = serve(start, tmp_path, PLAIN, collector.url)
    for _ in range(10):
        server.get("/")
    wait_for(lambda: server.metric("penstock_spans_exported_total") == 10, "10 spans exported")
    assert server.metric("penstock_spans_dropped_total") == 0


def test_collector_that_holds_its_answer_holds_no_request(
    start: Start, tmp_path: Path, collector: Collector
) -> None:
    """
    Hundreds are answered while the collector has not answered once; then nothing is lost.
    """
    collector.hold()
    (tmp_path / "p.yaml").write_text(f"tracing: {{endpoint: '{collector.url}', timeout: 60s}}\n")
    server = serve(start, tmp_path, PLAIN, None, "-c", "p.yaml")
    server.get("/")
    wait_for(lambda: collector.posts, "a batch that is held")

    def ask(count: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
        for _ in range(count):
            connection.request("GET", "/")
            assert connection.getresponse().read() is not None
        connection.close()
        return count

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, [100] * 4)) == 400
    assert collector.spans() == []
    collector.go_on()
    collector.wait_spans(401)
    wait_for(lambda: server.metric("penstock_spans_exported_total") == 401, "401 spans exported")


def test_collector_that_is_killed_is_told_of_once(start: Start, tmp_path: Path) -> None:
    """
    Requests go on, losses are counted, the log has one line, and the stop is not held up.
    """
    collector = CollectorProcess(tmp_path)
    (tmp_path / "p.yaml").write_text(
        f"workers: 1\ntracing: {{endpoint: '{collector.url}', timeout: 500ms}}\n"
    )
    write_app(tmp_path, PLAIN)
    server = start("main:app", "--port", "0", "-c", "p.yaml").wait_serving()
    try:
        server.get("/")
        wait_for(lambda: len(collector.spans()) == 1, "the first span")
    finally:
        collector.kill()

    def lost() -> float:
        return server.metric("penstock_spans_dropped_total", reason="collector")

    for _ in range(3):
        lost_before = lost()
        assert server.get("/")[0] == 200
        wait_for(lambda: lost() > lost_before, "one more span lost")  # noqa: B023, asked at once
    assert server.output().count("tracing: lost") == 1
    assert "opentelemetry" not in server.output()
    assert server.stop() == 0


def test_spans_survive_a_roll_and_a_stop(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    A worker that drains sends what it has before it ends: none is missing, by HUP or by TERM.
    """
    server = serve(start, tmp_path, PLAIN, collector.url)
    for number in range(1, 4):
        for _ in range(10):
            server.get(f"/{number}")
        server.signal(signal.SIGHUP)
        server.wait_generation(number + 1, workers=2)
    for _ in range(10):
        server.get("/4")
    assert server.metric("penstock_spans_exported_total") >= 30
    server.stop()
    assert len(collector.spans()) == 40
    generations = {(span["url.path"], span["resource"]["penstock.generation"]) for span in collector.spans()}
    assert generations == {(f"/{number}", number) for number in range(1, 5)}


def test_stop_with_a_collector_that_hangs_ends(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    By the drain's own deadline, with what could not be sent counted as lost.
    """
    collector.hold()
    server = serve(start, tmp_path, PLAIN, collector.url, "--timeout-graceful-shutdown", "1")
    server.get("/")
    assert server.stop() == 0
    assert "tracing: lost 1 span" in server.output()


WAITS = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "http":
        print("waiting", flush=True)
        await asyncio.Event().wait()
"""


def test_request_that_is_cut_off_by_a_stop_has_a_span(
    start: Start, tmp_path: Path, collector: Collector
) -> None:
    """
    It is the one that somebody will look for.
    """
    server = serve(start, tmp_path, WAITS, collector.url, "--timeout-graceful-shutdown", "1")
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: "waiting" in server.output(), "the app")
        assert server.stop() == 0
    [span] = collector.spans()
    assert span["url.path"] == "/long"
    assert span["penstock.is_cut"] is True
    assert "http.response.status_code" not in span
    assert span["status"] == 2
    assert span["error.type"].endswith("CancelledError")


@pytest.mark.parametrize("endpoint", [True, False])
def test_nothing_is_imported_unless_configured(
    start: Start, tmp_path: Path, collector: Collector, endpoint: bool
) -> None:
    """
    Its memory and its time are for those who use it.
    """
    server = serve(start, tmp_path, PLAIN, collector.url if endpoint else None)
    assert bool(server.get("/")[1]) == endpoint


def test_worker_that_is_killed_takes_only_its_own_spans_along(
    start: Start, tmp_path: Path, collector: Collector
) -> None:
    """
    Totals never fall, and its successor traces.
    """
    server = serve(start, tmp_path, PLAIN, collector.url)
    server.get("/")
    wait_for(lambda: server.metric("penstock_spans_exported_total") == 1, "a span")
    for worker in server.status()["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
    server.wait_status(
        lambda status: sum(each["state"] == "ready" for each in status["workers"]) == 2, "two new workers"
    )
    assert server.metric("penstock_spans_exported_total") == 1
    server.get("/")
    wait_for(lambda: server.metric("penstock_spans_exported_total") == 2, "another")


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from penstock.master.cli import main
main()
"""


@pytest.mark.parametrize("words", [["check"], []])
def test_extra_that_is_missing_is_one_clear_error(tmp_path: Path, words: list[str]) -> None:
    """
    At `check` and at the start, with what is to be typed and no traceback.
    """
    write_app(tmp_path, PLAIN)
    url = f"http://127.0.0.1:{free_port()}"
    command = [*words, "main:app", "--port", "0", "--admin-bind", "none", "--tracing-endpoint", url]
    found = subprocess.run(
        [sys.executable, "-c", BLOCKER, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert found.returncode == 2
    first, *rest = found.stderr.splitlines()
    assert first.startswith(
        f"--tracing-endpoint: found '{url}/v1/traces', and opentelemetry is not installed"
    )
    assert first.endswith("pip install penstock[otel]")
    assert rest == ["penstock: 1 problem; nothing was started"]


def test_variable_alone_is_a_warning_without_the_extra(tmp_path: Path) -> None:
    """
    It may be meant for an app that has another exporter.
    """
    write_app(tmp_path, PLAIN)
    found = subprocess.run(
        [sys.executable, "-c", BLOCKER, "check", "main:app"],
        cwd=tmp_path,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "config ok: 1 listener, 1 route, 1 app\n")
    assert "warning: OTEL_EXPORTER_OTLP_ENDPOINT: Penstock traces nothing by it" in found.stderr


def test_check_takes_the_options(tmp_path: Path) -> None:
    """
    And binds nothing.
    """
    write_app(tmp_path, PLAIN)
    found = run_penstock("check", "main:app", "--tracing-endpoint", "http://127.0.0.1:4318", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")


def test_other_servers_of_the_app_see_our_header(start: Start, tmp_path: Path, collector: Collector) -> None:
    """
    A response says where its span is, if that is configured.
    """
    (tmp_path / "p.yaml").write_text(f"tracing: {{endpoint: '{collector.url}', response_header: true}}\n")
    server = serve(start, tmp_path, PLAIN, None, "-c", "p.yaml")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    connection.request("GET", "/", headers={"Connection": "close"})
    header = connection.getresponse().headers["traceparent"]
    connection.close()
    [span] = collector.wait_spans(1)
    assert header.split("-")[1:3] == [span["trace"], span["id"]]
    assert get(server.port)[0] == 200
