"""
Which requests are traced, decided before anything else is known of them.

Pure: the same trace id gives the same answer in every process that asks for the
same ratio, as OpenTelemetry's TraceIdRatioBased has it.
"""

from penstock.worker.tracing.carriers import Parent


def bound_of(ratio: float) -> int:
    """Give the number below which the low half of a sampled trace id lies."""
    return round(ratio * 2**64)


def is_sampled(parent: Parent, bound: int, *, follows_parent: bool) -> bool:
    """Decide about a request that has a parent."""
    if follows_parent:
        return parent.is_sampled
    return int(parent.trace_id[16:], 16) < bound
