"""
The span of a request that is not sampled.

Most requests have one, and hardly any app asks it anything, so what it would
say is worked out when somebody does.
"""

from collections.abc import Sequence

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from penstock.worker.tracing.carriers import read_traceparent, read_tracestate

NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)


class Unsampled(NonRecordingSpan):
    """
    Tells an app's tracer and propagators: this trace is not sampled.

    Made of a traceparent that is good: the caller's, with the tracestate headers
    that came with it, or one of a new trace.
    """

    states: Sequence[bytes] = ()
    _made: SpanContext | None = None

    # The base class would want the identity already.
    def __init__(self, traceparent: bytes) -> None:
        self._traceparent = traceparent

    def get_span_context(self) -> SpanContext:
        """Return its identity."""
        if self._made is None:
            parent = read_traceparent(self._traceparent)
            assert parent is not None
            state = TraceState(read_tracestate(self.states)) if self.states else None
            ids = int(parent.trace_id, 16), int(parent.span_id, 16)
            self._made = SpanContext(*ids, is_remote=True, trace_flags=NOT_SAMPLED, trace_state=state)
        return self._made

    def __repr__(self) -> str:
        """Show its identity."""
        return f"Unsampled({self.get_span_context()!r})"
