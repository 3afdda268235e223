"""
OpenTelemetry: a span for each request, and the app's own below it.

Nothing outside imports from here unless tracing is configured, because only
then `opentelemetry` is there for sure, and only then its memory is worth it.
"""
