"""
Whatever one row holds, everything else is told, and told right.

An app that writes beyond its buffers shares memory with its worker, and so with
everybody. The worst it can do to the numbers is to spoil its own.
"""

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from penstock.master.admin.app import AdminApp
from penstock.master.admin.status import read_workers
from penstock.shm.board import BoardWriter, method_tag, route_tag
from penstock.shm.events import EventWriter, read_events
from penstock.shm.folding import counting_rows
from penstock.shm.histogram import observe
from penstock.shm.layout import WORD_SIZE
from penstock.shm.owner import read_believed
from penstock.shm.row import Row
from penstock.shm.samples import SampleWriter, read_samples
from penstock.shm.totals import HistogramTotal, totals
from penstock.worker.asgi.types import Message

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

PATHS = ["/metrics", "/livez", "/readyz", "/startupz", "/status", "/samples", "/requests", "/slow"]

# Words that are more than nonsense: nothing, one, what is nearly too large, and what a float is not.
WORDS = [0, 1, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 0x7FF0 << 48, 0x7FF8 << 48]

Scribbles = list[tuple[str, int, bytes]]

sections = ["master", "owner", "cells", "values", "keys", "exemplars", "board", "samples", "events"]
texts = st.binary(min_size=1, max_size=200) | st.lists(st.sampled_from(WORDS), min_size=1, max_size=24).map(
    lambda words: b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)
)
# On a word, where the lines, the counters, the gauges and the newest records are; or anywhere, across two.
words = st.integers(0, 40) | st.integers(705, 720)
offsets = words.map(lambda word: word * WORD_SIZE) | st.integers(0, 2**17)
scribbles = st.lists(st.tuples(st.sampled_from(sections), offsets, texts), min_size=1, max_size=12)


def live(site: "Site", row: Row) -> None:
    """Leave something in every part of a worker's row."""
    cells = row.cells
    for word in range(4):
        cells[site.requests + word] += 10 + row.index
    cells[site.accepted] += 5
    cells[site.active], cells[site.idle] = 1, 2
    for us in (0, 50, 1_000, 70_000):
        observe(cells, site.duration, us * (1 + row.index))
    samples, events = SampleWriter(row), EventWriter(row)
    for number in range(5):
        samples.push(
            time_ns=1_700_000_000_000_000_000 + number * 1_000_000_000,
            requests=number,
            errors=0,
            sent_bytes=number,
            connections=1,
            loop_lag_us=1,
        )
        events.push(
            time_ns=1, elapsed_us=2, sent_bytes=3, status=500, route=site.requests, method="GET", path="/é"
        )
    BoardWriter(row.board).begin(method_tag("GET") | route_tag(site.requests), 1, b"/slow")


def block_of(site: "Site", row: Row) -> memoryview:
    """All bytes of a row."""
    schema = site.segment.schema
    start = (schema.rows_start + row.number * schema.row_stride) * WORD_SIZE
    return site.segment._bytes[start : start + schema.row_stride * WORD_SIZE]


def scribble(site: "Site", row: Row, texts: Scribbles) -> None:
    """Write over parts of a row, and never beyond it."""
    block = block_of(site, row)
    starts = {section.name: section for section in site.segment.schema.row}
    for name, offset, text in texts:
        section = starts[name]
        at = section.start * WORD_SIZE + offset % (section.words * WORD_SIZE)
        part = text[: len(block) - at]
        block[at : at + len(part)] = part


class Answers:
    """What the admin endpoint says at each of its paths."""

    def __init__(self, app: AdminApp) -> None:
        self.bodies = {path: self._ask(app, path, "*/*") for path in PATHS}
        self.openmetrics = self._ask(app, "/metrics", "application/openmetrics-text; version=1.0.0")

    @staticmethod
    def _ask(app: AdminApp, path: str, accept: str) -> bytes:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"since=0",
            "headers": [(b"accept", accept.encode())],
            "penstock.is_owner": True,
        }
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("nobody needs the body of a GET")

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            app(scope, receive, send).__await__().__next__()
        except StopIteration:
            pass
        assert sent[0]["status"] in (200, 503)
        return cast(bytes, sent[1]["body"])

    def check(self) -> None:
        """Parse all of it as those do who asked."""
        for path, body in self.bodies.items():
            if path != "/metrics":
                json.loads(body)
        assert list(parse_text(self.bodies["/metrics"].decode()))
        assert list(parse_openmetrics(self.openmetrics.decode()))  # type: ignore[no-untyped-call]


def long(histogram: HistogramTotal) -> int:
    """Take the buckets as they are added: one long number, which a damaged bucket may overflow."""
    return sum(count << 64 * index for index, count in enumerate(histogram.buckets))


def long_of(row: Row, first: int, count: int) -> int:
    """The same, of one row."""
    return int.from_bytes(row.cells[first + 1 : first + 1 + count].tobytes(), "little")


@pytest.mark.parametrize("victim", ["master", 0, 1])
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=scribbles)
def test_others_are_told_whatever_one_row_holds(site: "Site", victim: str | int, texts: Scribbles) -> None:
    """
    Nothing raises, every answer can be parsed, and what the other rows count is in the totals as it was.
    """
    segment = site.segment
    if not site.rows[0].cells[site.requests]:
        for row in site.rows.values():
            live(site, row)
    spoilt = segment.own(0) if victim == "master" else site.rows[cast(int, victim)]
    others = [row for row in segment.own_rows() if row is not spoilt]
    block = block_of(site, spoilt)
    clean = bytes(block)
    workers = read_workers(segment, 1)
    told = [(read_samples(row), read_events(row)) for row in others]
    try:
        scribble(site, spoilt, texts)

        found = totals(segment)
        reading = spoilt.read()
        assert found.rows_corrupt == (reading is None)
        counts = [row for row in [spoilt] if row in counting_rows(segment)]
        speaks = [row for row in [spoilt] if reading is not None and reading.is_current]
        for series, value in found.counters:
            assert value == sum(row.cells[series.first] for row in others + counts)
        for series, value in found.gauges:
            assert value == sum(row.cells[series.first] for row in others + speaks)
        [(series, histogram)] = found.histograms
        count = len(histogram.buckets)
        assert histogram.sum_us == sum(row.cells[series.first] for row in others + counts)
        parts = [row for row in others + counts if row.cells[series.first] or row.cells[series.first + 1]]
        assert long(histogram) == sum(long_of(row, series.first, count) for row in parts) % 2 ** (64 * count)

        assert [(read_samples(row), read_events(row)) for row in others] == told
        read_samples(spoilt)
        read_events(spoilt)
        now = read_workers(segment, 1)
        assert {index: now[index] for index in now if index != spoilt.index} == {
            index: each for index, each in workers.items() if index != spoilt.index
        }
        read_believed(spoilt)
        app = AdminApp(site)
        for answers in (Answers(app), Answers(app)):
            answers.check()
        [told_corrupt] = _samples(answers.bodies["/metrics"], "penstock_corrupt_rows")
        assert told_corrupt == found.rows_corrupt
    finally:
        block[:] = clean


def test_a_corrupt_row_is_counted_and_costs_its_own_gauges_alone(site: "Site") -> None:
    """The one example to read."""
    for row in site.rows.values():
        live(site, row)
    scribble(site, site.rows[0], [("master", 0, b"\xff" * 128)])

    answers = Answers(AdminApp(site))
    assert _samples(answers.bodies["/metrics"], "penstock_corrupt_rows") == [1]
    connections = _samples(answers.bodies["/metrics"], "penstock_connections")
    assert sorted(connections) == [1, 2]
    status: Any = json.loads(answers.bodies["/status"])
    assert [worker["connections"] for worker in status["workers"]] == [0, 3]


def _samples(body: bytes, name: str) -> list[float]:
    return [
        sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
        if sample.name == name
    ]
