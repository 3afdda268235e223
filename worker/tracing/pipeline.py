"""
From spans that have ended to the collector: the queue, its counts, its end.

opentelemetry's batch processor and exporter do the work, in a thread of theirs.
Here is what they leave open: a limit that is counted, a log that does not repeat
itself, and a flush that ends.
"""

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from penstock.worker.limits import (
    TRACE_BATCH_SPANS_MAX,
    TRACE_DELAY_S,
    TRACE_FLUSH_DEAD_S,
    TRACE_LOG_PERIOD_S,
    TRACE_QUEUE_SPANS_MAX,
)
from penstock.worker.logs import LOG
from penstock.worker.spec import TracingSpec

# Where opentelemetry's exporter says what went wrong, and what it wraps the reason in.
EXPORTER_LOGGER = OTLPSpanExporter.__module__
_TRANSIENT = re.compile(r"Transient error (.*) encountered while exporting .*", re.DOTALL)
REASON_CHARS_MAX = 300


class Pipeline(SpanProcessor):
    """
    Takes spans from any thread, and never waits.

    Of its numbers, `flush_counts` writes to this process's row what was added
    since the last time; it must be called from one thread only.
    """

    def __init__(self, spec: TracingSpec, cells: memoryview) -> None:
        self._spec = spec
        self._cells = cells
        self._lock = threading.Lock()
        self._inside = 0  # in the queue or on the way
        self._exported = self._lost_in_queue = self._lost_on_the_way = 0
        self._counted = (0, 0, 0)
        self._told_lost = 0
        self._tell_after_s = 0.0
        self._collector = _Collector(spec, self._done)
        self._batches = BatchSpanProcessor(
            self._collector,
            # So that it is never full: what is too much is counted here and not given to it.
            max_queue_size=TRACE_QUEUE_SPANS_MAX,
            schedule_delay_millis=TRACE_DELAY_S * 1000,
            max_export_batch_size=TRACE_BATCH_SPANS_MAX,
        )
        # A process that the app forks begins with an empty queue.
        os.register_at_fork(after_in_child=self._forked)

    # For opentelemetry.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Take note of nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Put a span into the queue, if there is room."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        with self._lock:
            if self._inside >= TRACE_QUEUE_SPANS_MAX:
                self._lost_in_queue += 1
                return
            self._inside += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Go on: an app that shuts down the provider that it found is not the last to trace."""

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Send what is in the queue, and wait for it."""
        return self._batches.force_flush(timeout_millis)

    # For the worker.

    def flush_counts(self, now_s: float) -> None:
        """Write the numbers to the row, and say once in a while that spans are lost, and why."""
        with self._lock:
            counts = (self._exported, self._lost_in_queue, self._lost_on_the_way)
        cells, where = self._cells, self._spec.cells
        if counts != self._counted:
            exported, in_queue, on_the_way = (
                new - old for new, old in zip(counts, self._counted, strict=True)
            )
            self._counted = counts
            cells[where.exported] += exported
            cells[where.dropped] += in_queue
            cells[where.dropped + 1] += on_the_way
        lost = counts[1] + counts[2]
        if lost > self._told_lost and now_s >= self._tell_after_s:
            self._tell_after_s = now_s + TRACE_LOG_PERIOD_S
            self._log_loss(lost - self._told_lost)
            self._told_lost = lost

    def _log_loss(self, count: int) -> None:
        reason = self._collector.failure or "it is slower than the spans come"
        LOG.warning(
            "tracing: lost %d %s on the way to %s: %s (told once a minute)",
            count,
            "span" if count == 1 else "spans",
            self._spec.endpoint,
            reason,
        )

    async def stop(self, timeout_s: float) -> None:
        """Send what is left, within a time, and give the rest up."""
        if self._collector.failure is not None:
            timeout_s = min(timeout_s, TRACE_FLUSH_DEAD_S)
        loop = asyncio.get_running_loop()
        is_sent = loop.create_future()

        def end() -> None:
            self._batches.shutdown()  # type: ignore[no-untyped-call]
            try:
                loop.call_soon_threadsafe(_resolve, is_sent)
            except RuntimeError:
                pass  # The loop is closed: it was given up.

        # A thread of its own: the loop's own threads are joined, however long they take.
        threading.Thread(target=end, name="tracing: flush", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                await is_sent
        except TimeoutError:
            pass
        with self._lock:
            self._lost_on_the_way += self._inside
            self._inside = 0
        if self._lost_on_the_way > self._counted[2]:
            self._tell_after_s = 0.0  # It is the last time.
        self.flush_counts(time.monotonic())

    # For the exporter's thread.

    def _done(self, count: int, is_exported: bool) -> None:
        with self._lock:
            if not self._inside:
                return  # Given up, and counted, while it was on its way.
            self._inside -= count
            if is_exported:
                self._exported += count
            else:
                self._lost_on_the_way += count

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class _Collector(SpanExporter):
    """
    The exporter, and what it last complained of.

    It logs each attempt that fails. An app may use the same one, so its log is
    heard and kept quiet in the thread that exports for us, and in no other.
    """

    def __init__(self, spec: TracingSpec, on_done: Callable[[int, bool], None]) -> None:
        self.failure: str | None = None
        self._on_done = on_done
        self._said = ""
        self._thread_id = 0
        self._exporter = OTLPSpanExporter(
            endpoint=spec.endpoint, headers=dict(spec.headers) or None, timeout=spec.timeout_s
        )
        logging.getLogger(EXPORTER_LOGGER).addFilter(self._hear)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, again and again within the timeout."""
        self._thread_id = threading.get_ident()
        self._said = ""
        is_exported = False
        try:
            is_exported = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:
            self._said = repr(error)
        finally:
            self._thread_id = 0
        self.failure = None if is_exported else self._said or "no reason was given"
        self._on_done(len(spans), is_exported)
        return SpanExportResult.SUCCESS if is_exported else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """End attempts that are under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        logging.getLogger(EXPORTER_LOGGER).removeFilter(self._hear)

    def _hear(self, record: logging.LogRecord) -> bool:
        if record.thread is None or record.thread != self._thread_id:
            return True
        # The first says what happened; the last, that it was tried in vain.
        said = _TRANSIENT.sub(r"\1", record.getMessage())
        self._said = self._said or said[:REASON_CHARS_MAX]
        return False
