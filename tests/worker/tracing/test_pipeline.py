"""Spans reach a real receiver, or are counted as lost, and nobody waits for either."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from penstock.worker.limits import TRACE_BATCH_SPANS_MAX, TRACE_LOG_PERIOD_S, TRACE_QUEUE_SPANS_MAX
from penstock.worker.spec import TracingCells, TracingSpec
from penstock.worker.tracing.pipeline import Pipeline
from tests.process.collector import Collector
from tests.process.harness import free_port, wait_for

EXPORTED, BY_QUEUE, BY_COLLECTOR = range(3)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a receiver that answers."""
    running = Collector()
    yield running
    running.close()


class Piped:
    """A pipeline, and what makes spans for it."""

    def __init__(self, url: str, **options: Any) -> None:
        self.cells = memoryview(bytearray(24)).cast("Q")
        spec = TracingSpec(endpoint=url, cells=TracingCells(exported=0, dropped=1), **options)
        self.pipeline = Pipeline(spec, self.cells)
        self.now_s = 1000.0
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.pipeline)
        self.tracer = provider.get_tracer("test")

    def make(self, count: int) -> None:
        """Begin and end so many spans."""
        for number in range(count):
            self.tracer.start_span(f"span {number}").end()

    def counts(self) -> list[int]:
        """Let a tick pass, and return the numbers."""
        self.pipeline.flush_counts(self.now_s)
        return self.cells.tolist()

    def wait_counts(self, *counts: int) -> None:
        """Wait for these numbers."""
        wait_for(lambda: self.counts() == list(counts), f"{counts}, and not {self.counts()}")

    def stop(self, timeout_s: float = 10.0) -> list[int]:
        """End it as a worker does."""
        asyncio.run(self.pipeline.stop(timeout_s))
        return self.cells.tolist()


def test_spans_come_over_and_are_counted(collector: Collector) -> None:
    """With the headers that are configured."""
    piped = Piped(collector.url, headers={"authorization": "Bearer x"})
    piped.make(3)
    piped.wait_counts(3, 0, 0)
    assert [span["name"] for span in collector.spans()] == ["span 0", "span 1", "span 2"]
    assert collector.headers["authorization"] == "Bearer x"
    assert collector.headers["content-type"] == "application/x-protobuf"
    assert piped.stop() == [3, 0, 0]


def test_what_is_left_is_sent_at_the_end(collector: Collector) -> None:
    """All of it, though no period is over."""
    piped = Piped(collector.url)
    piped.make(TRACE_BATCH_SPANS_MAX * 2 + 1)
    assert piped.stop() == [TRACE_BATCH_SPANS_MAX * 2 + 1, 0, 0]
    assert len(collector.spans()) == TRACE_BATCH_SPANS_MAX * 2 + 1


def test_queue_is_bounded_and_counts_what_it_does_not_take(collector: Collector, caplog: Any) -> None:
    """A collector that holds its answer costs memory up to a limit, and no time."""
    collector.hold()
    piped = Piped(collector.url, timeout_s=30.0)
    with caplog.at_level(logging.WARNING):
        piped.make(TRACE_QUEUE_SPANS_MAX + 100)
        piped.wait_counts(0, 100, 0)
        collector.go_on()
        piped.wait_counts(TRACE_QUEUE_SPANS_MAX, 100, 0)
    [record] = caplog.records
    assert record.name == "penstock"
    assert "slower than the spans come" in record.getMessage()
    piped.make(1)
    assert piped.stop() == [TRACE_QUEUE_SPANS_MAX + 1, 100, 0]


def test_refusal_is_counted_and_told_once_a_minute(collector: Collector, caplog: Any) -> None:
    """By us, with the reason; what opentelemetry says of each attempt is not heard."""
    collector.status = 400
    piped = Piped(collector.url)
    with caplog.at_level(logging.WARNING):
        for lost in range(1, 4):
            piped.make(1)
            piped.wait_counts(0, 0, lost)
        [record] = caplog.records
        assert record.name == "penstock"
        assert "code: 400" in record.getMessage()
        assert collector.url in record.getMessage()
        piped.make(1)
        piped.wait_counts(0, 0, 4)
        piped.now_s += TRACE_LOG_PERIOD_S
        piped.counts()
        assert "lost 3 spans" in caplog.records[1].getMessage()
    collector.status = 200
    piped.make(1)
    piped.wait_counts(1, 0, 4)
    piped.stop()


def test_collector_that_is_overloaded_is_asked_again(collector: Collector, caplog: Any) -> None:
    """Within the timeout; then the spans are lost, for there are others."""
    collector.status = 503
    piped = Piped(collector.url, timeout_s=2.0)
    with caplog.at_level(logging.WARNING):
        piped.make(2)
        piped.wait_counts(0, 0, 2)
    [record] = caplog.records
    assert "Service Unavailable" in record.getMessage()
    assert collector.posts >= 2
    collector.status = 200
    piped.make(1)
    piped.wait_counts(1, 0, 2)
    piped.stop()


def test_stop_does_not_wait_for_a_collector_that_hangs(collector: Collector) -> None:
    """Not beyond its time: what is on the way is lost, and said to be."""
    collector.hold()
    piped = Piped(collector.url, timeout_s=60.0)
    piped.make(5)
    assert piped.stop(0.2) == [0, 0, 5]
    collector.go_on()  # Too late: it is counted once only.
    wait_for(lambda: len(collector.spans()) == 5, "the late spans")
    assert piped.counts() == [0, 0, 5]


def test_stop_with_nobody_there(caplog: Any) -> None:
    """The last loss is told too."""
    piped = Piped(f"http://127.0.0.1:{free_port()}/v1/traces", timeout_s=0.2)
    with caplog.at_level(logging.WARNING):
        piped.make(2)
        assert piped.stop() == [0, 0, 2]
    assert "lost 2 spans" in caplog.text


def test_apps_own_exporter_is_heard(collector: Collector, caplog: Any) -> None:
    """It is the same class, and its log is the app's affair."""
    collector.status = 400
    piped = Piped(collector.url)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=collector.url)))
    with caplog.at_level(logging.ERROR):
        provider.get_tracer("app").start_span("work").end()
    assert "Failed to export" in caplog.text
    piped.stop()


def test_app_may_shut_the_provider_down(collector: Collector) -> None:
    """It found one and shut it down, as many do; requests go on to be traced."""
    piped = Piped(collector.url)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(piped.pipeline)
    provider.shutdown()
    piped.make(1)
    assert piped.stop() == [1, 0, 0]


def test_any_thread_may_end_spans(collector: Collector) -> None:
    """Each is counted once."""
    piped = Piped(collector.url)
    threads = [threading.Thread(target=piped.make, args=(100,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert piped.stop() == [400, 0, 0]
