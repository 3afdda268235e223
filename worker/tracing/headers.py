"""Puts a span into the headers of a request, for whoever looks there for the parent of theirs."""

from opentelemetry.trace import Span

from penstock.worker.http.exchange import Exchange
from penstock.worker.tracing.carriers import TRACEPARENT, TRACESTATE


def traceparent_of(span: Span) -> bytes:
    """Write the header that makes whoever gets it a child of a span."""
    context = span.get_span_context()
    return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)


def carry_on(exchange: Exchange, span: Span) -> None:
    """
    Put a span where the caller's stood.

    The list is another one: headers that come again are kept, and shared.
    """
    context = span.get_span_context()
    headers = [each for each in exchange.scope["headers"] if each[0] not in (TRACEPARENT, TRACESTATE)]
    headers.append((TRACEPARENT, traceparent_of(span)))
    if context.trace_state:
        headers.append((TRACESTATE, context.trace_state.to_header().encode()))
    exchange.scope["headers"] = headers
