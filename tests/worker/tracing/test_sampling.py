"""The decision is the one that every other process with the same ratio makes."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from penstock.worker.tracing.carriers import Parent
from penstock.worker.tracing.sampling import bound_of, is_sampled

LOW_64 = 2**64 - 1


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_ratio_decides_as_opentelemetry_does(trace_id: int, ratio: float) -> None:
    """Else a trace would have holes."""
    decision = TraceIdRatioBased(ratio).should_sample(None, trace_id, "").decision
    theirs = decision is Decision.RECORD_AND_SAMPLE
    assert (trace_id & LOW_64 < bound_of(ratio)) == theirs
    parent = Parent(b"%032x" % trace_id, b"%016x" % 1, is_sampled=not theirs)
    assert is_sampled(parent, bound_of(ratio), follows_parent=False) == theirs
    assert is_sampled(parent, bound_of(ratio), follows_parent=True) != theirs


def test_nothing_and_everything() -> None:
    """The ends of the range are exact."""
    assert bound_of(0) == 0
    assert bound_of(1) > LOW_64
