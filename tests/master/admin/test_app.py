"""The endpoint as an ASGI app: every path, every method, and nothing that raises."""

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from penstock.master.admin.app import AdminApp
from penstock.shm.samples import SampleWriter
from penstock.worker.asgi.types import Message

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

PATHS = ["/", "/metrics", "/livez", "/readyz", "/startupz", "/status", "/samples"]


class Answer:
    """What the app sent."""

    def __init__(self, messages: list[Message]) -> None:
        start, body = messages
        assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body: bytes = body["body"]

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


def ask(app: AdminApp, path: str, *, method: str = "GET", query: str = "", accept: str = "*/*") -> Answer:
    """Call the app as a server does."""
    messages: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nobody needs the body of a GET")

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"accept", accept.encode())],
    }
    asyncio.run(app(scope, receive, send))
    return Answer(messages)


@pytest.fixture
def app(site: "Site") -> AdminApp:
    """The app over the site."""
    return AdminApp(site)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_get_and_head_alike(app: AdminApp, path: str) -> None:
    """HEAD has the headers of GET and no body."""
    got = ask(app, path)
    assert got.status == 200
    assert int(got.headers["content-length"]) == len(got.body) > 0
    assert got.headers["cache-control"] == "no-store"
    head = ask(app, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers.keys() == got.headers.keys()
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "get"])
def test_nothing_can_be_changed(app: AdminApp, path: str, method: str) -> None:
    """Other methods are refused by name."""
    answer = ask(app, path, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/metrics/", "/nothing", "//", "", "/../etc/passwd", "/page.html"])
def test_other_paths_are_not_found(app: AdminApp, path: str) -> None:
    """And the answer says what there is."""
    answer = ask(app, path)
    assert answer.status == 404
    assert b"/metrics" in answer.body


def test_the_page_is_served_as_it_was_written(app: AdminApp) -> None:
    """A person opens it in a browser."""
    answer = ask(app, "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body.lstrip().lower().startswith(b"<!doctype html>")


def test_metrics_come_in_the_format_asked_for(app: AdminApp) -> None:
    """By Accept, and caches are told so."""
    plain = ask(app, "/metrics")
    openmetrics = ask(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert plain.headers["content-type"].startswith("text/plain")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")
    assert plain.headers["vary"] == "accept"


def test_probes_answer_503_when_something_is_wrong(app: AdminApp, site: "Site") -> None:
    """With the reason in JSON."""
    site.change(workers=(), has_served=False)
    site.segment.row(0).beat(time.monotonic_ns() - 11_000_000_000)
    for path in ("/livez", "/readyz", "/startupz"):
        answer = ask(app, path, query="verbose")
        assert answer.status == 503
        assert answer.json()["status"] != "ok"


def test_status_tells_the_snapshot_of_the_moment(app: AdminApp, site: "Site") -> None:
    """The app keeps nothing of what it was told before."""
    assert len(ask(app, "/status").json()["workers"]) == 2
    site.change(workers=())
    status = ask(app, "/status").json()
    assert status["workers"] == []
    assert status["admin"]["rss_bytes"] > 1_000_000


def test_samples_are_told_by_slot_and_from_a_moment_on(app: AdminApp, site: "Site") -> None:
    """`now` of one answer is `since` of the next."""
    writer = SampleWriter(site.rows[1])
    started_ns = time.time_ns() - 100_000_000_000
    for second in range(100):
        writer.push(
            time_ns=started_ns + second * 1_000_000_000,
            requests=second * 5,
            errors=0,
            sent_bytes=0,
            connections=1,
            loop_lag_us=0,
        )
    first = ask(app, "/samples").json()
    assert list(first["slots"]) == ["1"]
    assert len(first["slots"]["1"]) == 100
    assert first["slots"]["1"][-1]["requests"] == 99 * 5
    since_s = first["slots"]["1"][90]["t"]
    later = ask(app, "/samples", query=f"since={since_s!r}").json()
    assert [point for point in later["slots"]["1"] if point["t"] > since_s] == first["slots"]["1"][91:]
    assert ask(app, "/samples", query=f"since={first['now'] + 60}").json()["slots"] == {}


@pytest.mark.parametrize("since", ["nan", "inf", "-inf", "yesterday", "1e999", "%00", "1;drop"])
def test_a_since_that_is_no_moment_is_refused(app: AdminApp, since: str) -> None:
    """With what stood there and what was expected."""
    answer = ask(app, "/samples", query=f"since={since}")
    assert answer.status == 400
    assert b"expected seconds" in answer.body
