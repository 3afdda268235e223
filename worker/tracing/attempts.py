"""
The spans of requests that are passed on: one for each attempt at an upstream server.

Each is a child of the request's own span, and the server's parent: it finds
that one in `traceparent`, in place of what the client sent. Only requests that
are sampled have any.
"""

from time import perf_counter_ns
from typing import ClassVar

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from penstock.shm import names
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.own_headers import OwnHeaders
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.pool import Pool
from penstock.worker.http.phases import STREAMING
from penstock.worker.tracing.attributes import QueryMode, attempt_attributes, span_name
from penstock.worker.tracing.carriers import TRACEPARENT, TRACESTATE
from penstock.worker.tracing.headers import carry_on


class TracedPassage(OwnHeaders):
    """A passage whose attempts have spans, if its request is sampled."""

    __slots__ = ("_asked_ns", "_attempt", "_resends")

    tracer: ClassVar[Tracer]
    query: ClassVar[QueryMode]

    _attempt: Span | None  # under way
    _asked_ns: int  # when it began: with the request, or when the one before had failed
    _resends: int

    # What a pool says.

    def have(self, link: Link) -> None:
        """Begin a span, and send the request with it."""
        self._begin_attempt(link.pool)
        super().have(link)

    def have_not(self, pool: Pool, reason: str, *, is_overload: bool) -> None:
        """Tell of an attempt that came to nothing."""
        if not self.is_gone:
            self._begin_attempt(pool)
            self._end_attempt(failure=pool.numbers.last_failure)
        super().have_not(pool, reason, is_overload=is_overload)

    # What the link says.

    def link_failed(self, link: Link, reason: str) -> None:
        """End the span with what was wrong."""
        self._end_attempt(status=self.status if self.phase == STREAMING else None, failure=link.failure)
        super().link_failed(link, reason)

    def _release(self, link: Link) -> None:
        self._end_attempt(status=self.status)
        super()._release(link)

    def _drop(self) -> None:
        self._end_attempt(status=self.status if self.phase == STREAMING else None, is_cut=True)
        super()._drop()

    # Spans.

    def _begin_attempt(self, pool: Pool) -> None:
        parent = None if self.notes is None else self.notes.span
        if parent is None:
            return
        resends = self._resends = getattr(self, "_resends", -1) + 1
        since_ns = getattr(self, "_asked_ns", self.started_ns) - self.started_ns
        scope = self.scope
        span: Span = self.tracer.start_span(
            span_name(scope["method"], None),
            context=set_span_in_context(parent, Context()),
            kind=SpanKind.CLIENT,
            attributes=attempt_attributes(
                scope,
                self._target,
                upstream=self._upstream.spec.name,
                address=pool.server.address,
                resends=resends,
                query_mode=self.query,
            ),
            start_time=parent.start_time + since_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        self._attempt = span
        carry_on(self, span)

    def _end_attempt(
        self, *, status: int | None = None, failure: int | None = None, is_cut: bool = False
    ) -> None:
        span: Span | None = getattr(self, "_attempt", None)
        if span is None:
            return
        self._attempt = None
        self._asked_ns = perf_counter_ns()
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        error = None
        if failure is not None:
            error = names.UPSTREAM_FAILURE_REASONS[failure]
        elif status is not None and status >= 400:
            error = str(status)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        if is_cut:
            span.set_attribute("penstock.is_cut", True)
        assert self.notes is not None
        span.end(self.notes.span.start_time + self._asked_ns - self.started_ns)


def traced(base: type[Passage], tracer: Tracer, query: QueryMode) -> type[Passage]:
    """Make passages whose attempts have spans, beside what `base` does."""
    own_names = getattr(base, "own_names", frozenset()) | {TRACEPARENT, TRACESTATE}
    fields = {"__slots__": (), "tracer": tracer, "query": query, "own_names": own_names}
    bases = (TracedPassage,) if base is Passage else (TracedPassage, base)
    return type("TracedPassage", bases, fields)
