"""
Makes the spans of one site's requests: begun with the head, ended with the last byte.

The usual request is not sampled. What it pays is in `_opening`, in which nothing
is looked up that could be prepared.
"""

import random
import time
from collections.abc import Callable
from contextvars import Context as Variables
from functools import partial
from typing import Final

from opentelemetry import baggage
from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from penstock.worker.gateway.passage import Passage
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.notes import NEVER_US, Notes
from penstock.worker.http.phases import STREAMING
from penstock.worker.http.site import Site
from penstock.worker.logs import LOG
from penstock.worker.spec import UNMATCHED, TracingSpec
from penstock.worker.tracing.attempts import traced
from penstock.worker.tracing.attributes import Attributes, request_attributes, span_name
from penstock.worker.tracing.carriers import (
    BAGGAGE,
    CARRIERS,
    ODD,
    TRACEPARENT,
    TRACESTATE,
    Parent,
    is_plain_traceparent,
    read_baggage,
    read_traceparent,
    read_tracestate,
)
from penstock.worker.tracing.headers import carry_on, traceparent_of
from penstock.worker.tracing.sampling import bound_of, is_sampled
from penstock.worker.tracing.unsampled import Unsampled

# Under which keys opentelemetry keeps the two in a context; its functions would copy one for each.
[SPAN_KEY] = set_span_in_context(INVALID_SPAN, Context())
[BAGGAGE_KEY] = baggage.set_baggage("name", "value", Context())

Header = tuple[bytes, bytes]


def _setter_of_current() -> Callable[[Context], object]:
    """Find the variable in which opentelemetry keeps the context, to set it without its two layers."""
    probe, marker = Variables(), Context()
    probe.run(attach, marker)
    found = [variable for variable, value in probe.items() if value is marker]
    return found[0].set if len(found) == 1 else attach


set_current: Final = _setter_of_current()


class ChosenIds(RandomIdGenerator):
    """
    Gives a new trace the id by which it was decided to sample it.

    Random by itself: an app may seed Python's own generator, in every worker the same.
    """

    def __init__(self) -> None:
        self.new_bits: Callable[[int], int] = random.Random().getrandbits
        self.chosen = 0

    def generate_trace_id(self) -> int:
        """Return the id that was chosen."""
        return self.chosen

    def generate_span_id(self) -> int:
        """Return a new id."""
        return self.new_bits(64) or 1


class Recorder:
    """Watches the requests of one site."""

    def __init__(self, site: Site, spec: TracingSpec, tracer: Tracer, ids: ChosenIds, slot: int) -> None:
        self._spec = spec
        self._tracer = tracer
        self._ids = ids
        self._bound = bound_of(spec.sample)
        # Of a trace that is not sampled, the low half of the id is its own: nobody has spans of it to
        # tell apart by more. Its flags are zero.
        high_bits, span_id = ids.new_bits(64) | 1, ids.new_bits(64) | 1
        self._unsampled = b"00-%016x%%016x-%016x-00" % (high_bits, span_id)
        self._own: Attributes = {"penstock.worker": slot, "penstock.listener": site.name}
        for route in site.routes:
            if issubclass(route.exchange, Passage):
                route.exchange = traced(route.exchange, tracer, spec.query)
        # Those that are sampled have notes; the others need not be shown.
        site.watch_requests(opening=self._make_opening(), observer=self._observe, from_us=NEVER_US)

    def _make_opening(self) -> Callable[[Exchange, Variables | None], None]:
        new_bits, bound, unsampled = self._ids.new_bits, self._bound, self._unsampled
        shows, is_quick = (
            self._spec.response_header,
            not self._spec.response_header and self._spec.follows_parent,
        )
        run, carriers, is_plain = Variables.run, CARRIERS, is_plain_traceparent

        def opening(exchange: Exchange, variables: Variables | None) -> None:
            scope = exchange.scope
            headers = scope["headers"]
            carried: Header | None = None
            for header in headers:
                if header[0] in carriers:
                    if carried is not None:
                        self._open_carried(exchange, variables)
                        return
                    carried = header
            if carried is None:
                low_bits = new_bits(64)
                if low_bits < bound:
                    self._begin(exchange, variables, Context(), new_bits(64) << 64 | low_bits)
                elif variables is not None:
                    value = unsampled % low_bits
                    scope["headers"] = [*headers, (TRACEPARENT, value)]
                    run(variables, set_current, Context({SPAN_KEY: Unsampled(value)}))
                    if shows:
                        _show(exchange, (TRACEPARENT, value))
                elif exchange.passes_on:
                    scope["headers"] = [*headers, (TRACEPARENT, unsampled % low_bits)]
                return
            name, value = carried
            if is_quick and name == TRACEPARENT and is_plain(value) and value[54] not in ODD:
                # The app is as good as the caller's own child: nobody in between has a span.
                if variables is not None:
                    run(variables, set_current, Context({SPAN_KEY: Unsampled(value)}))
                return
            self._open_carried(exchange, variables)

        return opening

    def _open_carried(self, exchange: Exchange, variables: Variables | None) -> None:
        """Decide about a request that carries something of a trace."""
        found: dict[bytes, list[bytes]] = {name: [] for name in CARRIERS}
        for name, value in exchange.scope["headers"]:
            if name in found:
                found[name].append(value)
        parents, states, bags = found[TRACEPARENT], found[TRACESTATE], read_baggage(found[BAGGAGE])
        parent = read_traceparent(parents[0]) if len(parents) == 1 else None
        new_bits = self._ids.new_bits
        if parent is None:
            low_bits = new_bits(64)
            if low_bits < self._bound:
                self._begin(exchange, variables, Context(), new_bits(64) << 64 | low_bits, bags)
            else:
                self._pass_by(exchange, variables, Unsampled(self._unsampled % low_bits), bags)
        elif is_sampled(parent, self._bound, follows_parent=self._spec.follows_parent):
            remote = Context({SPAN_KEY: NonRecordingSpan(_remote(parent, states))})
            self._begin(exchange, variables, remote, 0, bags)
        else:
            span = Unsampled(parents[0])
            span.states = states
            self._pass_by(exchange, variables, span, bags)

    def _pass_by(
        self, exchange: Exchange, variables: Variables | None, span: Unsampled, bags: dict[str, str]
    ) -> None:
        """Tell the app, or the upstream server, of a request that is not sampled."""
        if variables is None:
            if exchange.passes_on:
                carry_on(exchange, span)
            return
        variables.run(set_current, Context({SPAN_KEY: span, BAGGAGE_KEY: bags} if bags else {SPAN_KEY: span}))
        carry_on(exchange, span)
        if self._spec.response_header:
            _show(exchange, (TRACEPARENT, traceparent_of(span)))

    def _begin(
        self,
        exchange: Exchange,
        variables: Variables | None,
        parent: Context,
        trace_id: int,
        bags: dict[str, str] | None = None,
    ) -> None:
        """Begin a span, as a child of the parent's if it has one, else of a new trace with this id."""
        scope = exchange.scope
        route = exchange.meter.route
        known_route = None if route == UNMATCHED else route
        self._ids.chosen = trace_id or 1
        span = self._tracer.start_span(
            span_name(scope["method"], known_route),
            context=parent,
            kind=SpanKind.SERVER,
            attributes={**request_attributes(scope, known_route, self._spec.query), **self._own},
            start_time=time.time_ns() - int(exchange.age_s * 1e9),
            record_exception=False,
            set_status_on_exception=False,
        )
        notes = _notes_of(exchange)
        if span.is_recording():  # It is not if the app has disabled the SDK since.
            notes.span = span
            notes.on_end = None if variables is None else self._app_ended
        if variables is not None:
            variables.run(
                set_current, Context({SPAN_KEY: span, BAGGAGE_KEY: bags} if bags else {SPAN_KEY: span})
            )
            carry_on(exchange, span)
        if self._spec.response_header:
            _show(exchange, (TRACEPARENT, traceparent_of(span)))

    def _observe(self, exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        """End the span with its response."""
        notes = exchange.notes
        if notes is None or notes.span is None:
            return
        if notes.is_cut and exchange.phase < STREAMING:
            # Its client left before there was a response: the app is told, and ends it.
            if notes.on_end is None:
                self._finish(exchange, notes, None, elapsed_us)
            return
        if exchange.status >= 500 and notes.failure is None and notes.on_end is not None:
            # A framework answers first and raises then: the app is yet to say what went wrong.
            notes.on_end = partial(self._app_ended, elapsed_us=elapsed_us)
        else:
            notes.on_end = None
            self._finish(exchange, notes, exchange.status, elapsed_us)

    def _app_ended(self, exchange: Exchange, *, elapsed_us: int | None = None) -> None:
        """End the span of a request that had to wait for its app, or whose client is gone."""
        notes = exchange.notes
        assert notes is not None
        notes.on_end = None
        try:
            if elapsed_us is None:
                self._finish(exchange, notes, None, int(exchange.age_s * 1e6))
            else:
                self._finish(exchange, notes, exchange.status, elapsed_us)
        except Exception:
            LOG.exception("cannot end the span of %s", exchange.describe())

    def _finish(self, exchange: Exchange, notes: Notes, status: int | None, elapsed_us: int) -> None:
        span = notes.span
        end_ns = span.start_time + elapsed_us * 1000
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        failure = notes.failure
        if notes.is_cut:
            span.set_attribute("penstock.is_cut", True)
        if failure is not None:
            kind = _type_name(failure)
            span.set_attribute("error.type", kind)
            span.add_event("exception", {"exception.type": kind, "exception.message": str(failure)}, end_ns)
            span.set_status(Status(StatusCode.ERROR))
        elif status is not None and status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_ns)


def _show(exchange: Exchange, header: Header) -> None:
    notes = _notes_of(exchange)
    notes.headers = (*notes.headers, header)


def _notes_of(exchange: Exchange) -> Notes:
    if exchange.notes is None:
        exchange.notes = Notes()
    return exchange.notes


def _remote(parent: Parent, states: list[bytes]) -> SpanContext:
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        True,
        TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT),
        TraceState(read_tracestate(states)) if states else None,
    )


def _type_name(failure: BaseException) -> str:
    kind = type(failure)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
