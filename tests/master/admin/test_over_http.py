"""The admin app on the workers' own HTTP stack, asked by clients that know nothing of it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvloop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from penstock.master.admin.app import AdminApp
from penstock.shm.histogram import WORD_COUNT
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site as HttpSite
from penstock.worker.logs import LOG
from penstock.worker.shards import LentShards
from penstock.worker.spec import (
    AppAction,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    RouteCells,
    RouteSpec,
)

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

ACTION = AppAction(target="the admin app")
ROUTE_CELLS = RouteCells(requests=5, duration=9)


def listener_spec() -> ListenerSpec:
    """One listener with one route, to the admin app."""
    return ListenerSpec(
        name="admin",
        address="admin",
        limits=LimitsSpec(),
        routes=(RouteSpec(name="admin", match=MatchSpec(), action=ACTION, cells=ROUTE_CELLS),),
        unmatched=ROUTE_CELLS,
        cells=ListenerCells(
            connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
        ),
    )


@contextmanager
def served(app: AdminApp) -> Iterator[str]:
    """Serve the app in a loop of its own; give the base URL."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    started = threading.Event()
    stop: list[Any] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        http_site = HttpSite(
            listener_spec(),
            apps={ACTION: HostedApp(app, Lifespan(app, "off", LOG))},
            cells=memoryview(bytearray(8 * (9 + WORD_COUNT))).cast("Q"),
            loop=loop,
        )
        shards = LentShards(http_site.connect, backlog=16, tls=None)
        shards.expect([0])
        await shards.adopt({0: sock.detach()})
        stopped = asyncio.Event()
        stop[:] = [loop.call_soon_threadsafe, stopped.set]
        started.set()
        await stopped.wait()
        shards.release_all()
        http_site.begin_drain(0.0)
        async with asyncio.timeout(10.0):
            await http_site.wait_empty()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10.0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop[0](stop[1])
        thread.join(15.0)
        assert not thread.is_alive()


@pytest.fixture
def client(site: "Site") -> Iterator[httpx.Client]:
    """A client that talks to the served app."""
    with served(AdminApp(site)) as base_url, httpx.Client(base_url=base_url, timeout=10.0) as client:
        yield client


def test_metrics_can_be_scraped_in_both_formats(client: httpx.Client, site: "Site") -> None:
    """By the parsers of prometheus_client, the strict one too."""
    site.rows[0].cells[site.requests] = 12
    plain = client.get("/metrics")
    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith("text/plain")
    openmetrics = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    for families in (parse_text(plain.text), parse_openmetrics(openmetrics.text)):  # type: ignore[no-untyped-call]
        totals = [
            sample for family in families for sample in family.samples if "requests_total" in sample.name
        ]
        assert sum(sample.value for sample in totals) == 12


def test_totals_grow_from_scrape_to_scrape(client: httpx.Client, site: "Site") -> None:
    """Over one connection, while workers come and go."""
    before = 0.0
    for life in range(20):
        row = site.rows[life % 2]
        row.cells[site.requests + life % 4] += life
        row.release()
        site.start_worker(slot=life % 2, pid=4_000_100 + life, generation=life)
        families = parse_text(client.get("/metrics").text)
        now = sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "penstock_requests_total"
        )
        assert now >= before
        before = now
    assert before == sum(range(20))


def test_asking_does_not_change_the_numbers(client: httpx.Client) -> None:
    """The admin's own requests are not the service's."""
    for _ in range(5):
        families = parse_text(client.get("/metrics").text)
    requests = [s.value for f in families for s in f.samples if s.name == "penstock_requests_total"]
    assert sum(requests) == 0


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/readyz", "/startupz", "/status", "/samples"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    """And the connection stays in step after it."""
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert client.get(path).status_code == 200


def test_errors_reach_the_client(client: httpx.Client, site: "Site") -> None:
    """Each with its own status."""
    assert client.get("/nothing").status_code == 404
    assert client.post("/metrics", content=b"x" * 1000).status_code == 405
    assert client.get("/samples?since=never").status_code == 400
    site.change(workers=())
    assert client.get("/readyz?verbose").status_code == 503
    assert client.get("/readyz").json()["slots_without_ready_worker"] == [0, 1]


def test_status_is_json(client: httpx.Client) -> None:
    """As the command line reads it."""
    status = client.get("/status").json()
    assert [worker["slot"] for worker in status["workers"]] == [0, 1]
    assert status["master"]["state"] == "running"
