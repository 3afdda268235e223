"""
The tracing of one worker: made after the fork and after the apps have started, ended last.

Spans of requests come from a provider of our own, which no app sees. An app
that has set up a provider keeps it, and its spans are children of ours by
the context alone. One that has set up none is given a second provider, so that
what it traces by the API is exported too.
"""

import asyncio
import os
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from penstock import __version__
from penstock.worker.http.site import Site
from penstock.worker.identity import Identity
from penstock.worker.limits import TRACE_TEXT_CHARS_MAX
from penstock.worker.spec import TracingSpec
from penstock.worker.tracing.pipeline import Pipeline
from penstock.worker.tracing.recorder import ChosenIds, Recorder

# One for the cancellation, one for what the app does last, one for the response's end.
LAST_TURNS = 3


class Tracing:
    """Watches the requests of the sites that it is given."""

    def __init__(
        self, spec: TracingSpec, cells: memoryview, sites: Iterable[Site], identity: Identity
    ) -> None:
        self._pipeline = Pipeline(spec, cells)
        self._timeout_s = spec.timeout_s
        resource = resource_of(spec, identity)
        ids = ChosenIds()
        # Whether a request is sampled was decided when it is asked.
        tracer = self._provider(ALWAYS_ON, resource, ids).get_tracer("penstock", __version__)
        for site in sites:
            Recorder(site, spec, tracer, ids, identity.slot)
        if spec.app_spans and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            ratio = TraceIdRatioBased(spec.sample)
            trace.set_tracer_provider(self._provider(ParentBased(ratio), resource, None))

    def _provider(self, sampler: Sampler, resource: Resource, ids: ChosenIds | None) -> TracerProvider:
        provider = TracerProvider(
            sampler,
            resource,
            shutdown_on_exit=False,
            id_generator=ids,
            span_limits=SpanLimits(max_attribute_length=TRACE_TEXT_CHARS_MAX),
        )
        provider.add_span_processor(self._pipeline)
        return provider

    def tick(self, now_s: float) -> None:
        """Let time pass: write the numbers."""
        self._pipeline.flush_counts(now_s)

    async def stop(self, timeout_s: float) -> None:
        """Send what is left, within this time and that of one export."""
        # Apps that were cancelled at the drain's deadline end in the next turns, and their spans with them.
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)
        await self._pipeline.stop(min(timeout_s, self._timeout_s))


def resource_of(spec: TracingSpec, identity: Identity) -> Resource:
    """Say who sends the spans: as configured, else by the OTEL_ variables, else by the server's name."""
    own: dict[str, str | int] = {
        "process.pid": os.getpid(),
        "penstock.generation": identity.generation,
        **spec.resource,
    }
    if spec.service_name is not None:
        own[SERVICE_NAME] = spec.service_name
    resource = Resource.create(own)
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: spec.service_name_default}))
    return resource
