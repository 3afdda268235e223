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

    Made of the ids of a new trace and span, or of the caller's traceparent, which
    was judged, and the tracestate headers that came with it.
    """

    _made: SpanContext | None = None

    # The base class would want the identity already.
    def __init__(self, trace: int | bytes, rest: int | Sequence[bytes]) -> None:
        self._trace = trace
        self._rest = rest

    def get_span_context(self) -> SpanContext:
        """Return its identity."""
        if self._made is None:
            self._made = _identity(self._trace, self._rest)
        return self._made

    def __repr__(self) -> str:
        """Show its identity."""
        return f"Unsampled({self.get_span_context()!r})"


def _identity(trace: int | bytes, rest: int | Sequence[bytes]) -> SpanContext:
    if isinstance(rest, int):
        assert isinstance(trace, int)
        return SpanContext(trace or 1, rest or 1, False, NOT_SAMPLED)
    assert isinstance(trace, bytes)
    parent = read_traceparent(trace)
    assert parent is not None
    state = TraceState(read_tracestate(rest)) if rest else None
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, NOT_SAMPLED, state)
