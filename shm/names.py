"""
The names of the built-in series.

Whoever defines a series and whoever reads it back meet here. Names that begin
with `penstock_` are promised to users, so a change is one of the documentation
and of every dashboard.
"""

from typing import Final

REQUESTS: Final = "penstock_requests_total"
REQUEST_DURATION: Final = "penstock_request_duration_seconds"
CONNECTIONS: Final = "penstock_connections"
CONNECTIONS_TOTAL: Final = "penstock_connections_total"
RECEIVED_BYTES: Final = "penstock_received_bytes_total"
SENT_BYTES: Final = "penstock_sent_bytes_total"
REQUESTS_QUEUED: Final = "penstock_requests_queued"
REQUESTS_REJECTED: Final = "penstock_requests_rejected_total"
PROXY_REJECTED: Final = "penstock_proxy_protocol_rejected_total"
WORKER_CPU_US: Final = "penstock_worker_cpu_microseconds_total"  # told in seconds
GC_COLLECTIONS: Final = "penstock_gc_collections_total"
SPANS_EXPORTED: Final = "penstock_spans_exported_total"
SPANS_DROPPED: Final = "penstock_spans_dropped_total"
ACCESS_LOG_DROPPED: Final = "penstock_access_log_dropped_total"
# Requests passed to a server, and its answers; each attempt is one.
UPSTREAM_REQUESTS: Final = "penstock_upstream_requests_total"
UPSTREAM_DURATION: Final = "penstock_upstream_request_duration_seconds"
UPSTREAM_CONNECT_DURATION: Final = "penstock_upstream_connect_duration_seconds"
UPSTREAM_CONNECTIONS: Final = "penstock_upstream_connections"
UPSTREAM_SHARED: Final = "penstock_upstream_connections_shared"
UPSTREAM_QUEUED: Final = "penstock_upstream_requests_queued"
# Workers that send a server nothing.
UPSTREAM_LEFT_OUT: Final = "penstock_upstream_left_out"
UPSTREAM_FAILURES: Final = "penstock_upstream_failures_total"
UPSTREAM_RETRIES: Final = "penstock_upstream_retries_total"
UPSTREAM_EJECTIONS: Final = "penstock_upstream_ejections_total"
# Health checks, counted in the admin process's row.
UPSTREAM_CHECKS: Final = "penstock_upstream_checks_total"
# A word that says what they found, see verdict.py. It is no number, so nobody exports it.
UPSTREAM_VERDICT: Final = "penstock_upstream_verdict"

# The values of REQUESTS' label `code`, in the order of their four words.
CODE_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")

# The values of CONNECTIONS' label `state`.
CONNECTION_STATES: Final = ("active", "idle")

# The values of UPSTREAM_CONNECTIONS' label `state`, in the order of their words.
UPSTREAM_CONNECTION_STATES: Final = ("active", "idle")
# The values of UPSTREAM_SHARED's label `state`, in the order of their words.
UPSTREAM_SHARED_STATES: Final = ("held", "wanted")
# The values of UPSTREAM_FAILURES' label `reason`, in the order of their words: no connection, none in
# time; the connection ended or broke; no byte in time; what came was no response; the queue was full
# or took too long.
UPSTREAM_FAILURE_REASONS: Final = ("connect", "connect_timeout", "closed", "timeout", "protocol", "overload")

# The values of UPSTREAM_CHECKS' label `result`, in the order of their words: well; no connection; no
# answer in time; an answer with another status; an end or no response.
CHECK_RESULTS: Final = ("passed", "connect", "timeout", "status", "protocol")

# The values of GC_COLLECTIONS' label `generation`, in the order of their words.
GC_GENERATIONS: Final = ("0", "1", "2")
# The values of REQUESTS_REJECTED's label `reason`, in the order of their two words.
REJECTION_REASONS: Final = ("concurrency", "queue_timeout")
# The values of PROXY_REJECTED's label `reason`, in the order of their four words.
PROXY_REJECTIONS: Final = ("stranger", "missing", "malformed", "timeout")
# The values of SPANS_DROPPED's label `reason`, in the order of their two words.
DROP_REASONS: Final = ("queue", "collector")
