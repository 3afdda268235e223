"""
`/metrics`: the segment's totals and the fleet, as Prometheus families.

The names are promised in the documentation. Rates, quantiles and averages are
left to Prometheus; what is here are counters, gauges and buckets.

Nothing touches prometheus_client's default registry, which belongs to the
user's app.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from penstock.master.admin.app_families import AppFamilies, Families, choose, expose
from penstock.master.admin.status import FleetStatus, loop_lag_s
from penstock.master.fleet import SUSPECT
from penstock.master.obituary import RESTART_REASONS
from penstock.shm import names
from penstock.shm.histogram import CLASSIC_BOUNDS_US, classic_buckets
from penstock.shm.row import Kind, RowReading, State
from penstock.shm.series import Series
from penstock.shm.totals import HistogramTotal, Totals

HELP: Final[Mapping[str, str]] = {
    names.REQUESTS: "Requests answered, by class of the status code.",
    names.REQUEST_DURATION: "Time from a request's complete head to its response's last byte.",
    names.CONNECTIONS: "Client connections that are open: active ones have a request in flight.",
    names.CONNECTIONS_TOTAL: "Client connections accepted.",
    names.RECEIVED_BYTES: "Bytes received from clients.",
    names.SENT_BYTES: "Bytes sent to clients.",
    names.REQUESTS_QUEUED: "Requests that wait because as many as allowed are at work.",
    names.PROXY_REJECTED: "Connections that were closed for want of a PROXY protocol header.",
    names.REQUESTS_REJECTED: "Requests answered with 503 because as many as allowed were at work.",
    names.WORKER_CPU_US: "Processor time of all workers, user and system.",
    names.GC_COLLECTIONS: "Garbage collections in all workers, by generation of Python's collector.",
    names.SPANS_EXPORTED: "Spans that the collector took.",
    names.SPANS_DROPPED: "Spans that were lost: the queue was full, or the collector did not take them.",
    names.UPSTREAM_REQUESTS: "Answers of upstream servers, by class of the status code.",
    names.UPSTREAM_DURATION: "Time from a request's being sent to a server to the end of its answer.",
    names.UPSTREAM_CONNECT_DURATION: "Time that a connection to a server took to be made.",
    names.UPSTREAM_CONNECTIONS: "Connections to a server: active ones have a request in flight.",
    names.UPSTREAM_SHARED: "Of a limit over all workers: connections that are held, and wanted ones.",
    names.UPSTREAM_QUEUED: "Requests that wait for a connection to a server.",
    names.UPSTREAM_LEFT_OUT: "Workers that send nothing to a server: its checks fail, or it was ejected.",
    names.UPSTREAM_FAILURES: "Requests that a server did not answer, by reason.",
    names.UPSTREAM_RETRIES: "Requests that were sent another time after they had failed at a server.",
    names.UPSTREAM_EJECTIONS: "How often a server was left out because it failed.",
    names.UPSTREAM_CHECKS: "Health checks of a server, by result.",
    names.ACCESS_LOG_DROPPED: "Lines of the access log that could not be written.",
}

# Words that are no numbers.
HIDDEN: Final = frozenset({names.UPSTREAM_VERDICT})

_MICROSECONDS: Final = "_microseconds_total"

WORKER_STATES: Final = (State.STARTING.word, State.READY.word, SUSPECT, State.DRAINING.word)

_LE_VALUES: Final[Mapping[int | None, str]] = {
    None: "+Inf",
    **{bound: repr(bound / 1e6) for bound in CLASSIC_BOUNDS_US},
}


def render_metrics(
    totals: Totals,
    fleet: FleetStatus,
    accept: str | None,
    *,
    now_monotonic_ns: int,
    more: Iterable[Metric] = (),
    app_families: AppFamilies | None = None,
) -> tuple[bytes, str]:
    """Give the exposition in the format that the client accepts, and its content type."""
    encode, content_type = _choose_format(accept or "")
    families = [*_series_families(totals), *_fleet_families(totals, fleet, now_monotonic_ns), *more]
    is_open = content_type.startswith("application/openmetrics-text")
    if is_open:
        families = _without_clashes(families)
    if app_families is None:
        return encode(Families(families)), content_type
    chosen, left_out = choose(app_families.read(with_exemplars=is_open), families)
    return expose(encode, families, chosen, left_out), content_type


def _choose_format(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """
    Choose what the client asks for, or the plain format if what it asks makes no sense.

    prometheus_client trips over version numbers that are none.
    """
    try:
        encode, content_type = choose_encoder(accept)
        content_type.encode("ascii")
    except (TypeError, ValueError):
        return choose_encoder("")
    return encode, content_type


def _series_families(totals: Totals) -> Iterable[Metric]:
    """Make families of whatever the series table names, in its order."""
    families: dict[str, Metric] = {}
    for series, value in (*totals.counters, *totals.gauges):
        if series.name in HIDDEN:
            continue
        family = _family(families, series)
        if series.name.endswith(_MICROSECONDS):
            family.add_sample(_exported(series), dict(series.labels), value / 1e6)
        else:
            family.add_sample(series.name, dict(series.labels), value)
    for series, histogram in totals.histograms:
        _add_histogram(_family(families, series), series, histogram)
    return families.values()


def _family(families: dict[str, Metric], series: Series) -> Metric:
    if series.name not in families:
        # A counter's family has no `_total`; its sample has.
        help_text = HELP.get(series.name, f"A {series.kind} of another release.")
        families[series.name] = Metric(_exported(series).removesuffix("_total"), help_text, series.kind)
    return families[series.name]


def _exported(series: Series) -> str:
    """Give the name under which a series is told: a word counts microseconds, Prometheus seconds."""
    return series.name.replace(_MICROSECONDS, "_seconds_total")


def _add_histogram(family: Metric, series: Series, histogram: HistogramTotal) -> None:
    labels = dict(series.labels)
    count = 0
    for bound, count in classic_buckets(histogram.buckets):
        family.add_sample(series.name + "_bucket", {**labels, "le": _LE_VALUES[bound]}, count)
    family.add_sample(series.name + "_count", labels, count)
    family.add_sample(series.name + "_sum", labels, histogram.sum_us / 1e6)


def _fleet_families(totals: Totals, fleet: FleetStatus, now_ns: int) -> Iterable[Metric]:
    """Make the families of what the master knows."""
    workers = Metric("penstock_workers", "Worker processes, by state.", "gauge")
    for state in WORKER_STATES:
        count = sum(worker.state == state for worker in fleet.workers)
        workers.add_sample(workers.name, {"state": state}, count)
    yield workers

    yield _single(
        "penstock_generation", "The youngest generation that serves.", "gauge", fleet.master.generation
    )

    restarts = Metric("penstock_worker_restarts", "Workers that were replaced, by reason.", "counter")
    # All reasons from 0 on: the first of a series that began with 1 is no increase to Prometheus.
    for reason in sorted(RESTART_REASONS | fleet.worker_restarts.keys()):
        count = fleet.worker_restarts.get(reason, 0)
        restarts.add_sample("penstock_worker_restarts_total", {"reason": reason}, count)
    yield restarts

    yield _single(
        "penstock_worker_crash_loops",
        "Slots whose workers die young, one after the other.",
        "gauge",
        len(fleet.crash_loops),
    )

    yield _single(
        "penstock_reload_failures_total",
        "Reloads and hot restarts that failed, after which the old generation went on.",
        "counter",
        fleet.reload_failures,
    )

    yield _single(
        "penstock_segment_resets_total",
        "Hot restarts from shared memory that could not be read, after which counting began anew.",
        "counter",
        fleet.segment_resets,
    )

    lag = Metric(
        "penstock_worker_loop_lag_seconds",
        "How late the loop of a slot's worker is, or for how long it has been blocked.",
        "gauge",
    )
    for slot, seconds in sorted(_lag_by_slot(totals.rows, now_ns).items()):
        lag.add_sample(lag.name, {"slot": str(slot)}, seconds)
    yield lag

    yield _single(
        "penstock_corrupt_rows",
        "Rows of the shared segment that make no sense, whose gauges are left out.",
        "gauge",
        totals.rows_corrupt,
    )

    expiry = Metric(
        "penstock_tls_certificate_expiry_timestamp_seconds",
        "When the certificates that are served end, by the first host name in them.",
        "gauge",
    )
    for listener in fleet.listeners:
        for each in listener.certificates:
            labels = {"listener": listener.name, "name": each.name}
            expiry.add_sample(expiry.name, labels, each.expires_at)
    yield expiry

    build = Metric("penstock_build", "What is running.", "info")
    build.add_sample(
        "penstock_build_info", {"version": fleet.version, "python": platform.python_version()}, 1
    )
    yield build


def _single(name: str, help_text: str, kind: str, value: int) -> Metric:
    family = Metric(name.removesuffix("_total"), help_text, kind)
    family.add_sample(name, {}, value)
    return family


def _lag_by_slot(rows: Iterable[RowReading], now_ns: int) -> dict[int, float]:
    """Give the worst lag of each slot, which has two workers during a roll."""
    lags: dict[int, float] = {}
    for row in rows:
        if row.kind is Kind.WORKER and row.is_current and row.slot is not None:
            lags[row.slot] = max(lags.get(row.slot, 0.0), loop_lag_s(row, now_ns))
    return lags


def _without_clashes(families: list[Metric]) -> list[Metric]:
    """
    Tell counters apart from gauges whose name differs by `_total` alone.

    OpenMetrics names a counter's family without the suffix, so the gauge
    `penstock_connections` and the counter `penstock_connections_total` would be
    one family of two types. There the counter is of unknown type, under its
    full name; the samples are the same in both formats.
    """
    taken = {family.name for family in families if family.type != "counter"}
    distinct = []
    for family in families:
        if family.type == "counter" and family.name in taken:
            renamed = Metric(family.name + "_total", family.documentation, "unknown")
            renamed.samples = family.samples
            distinct.append(renamed)
        else:
            distinct.append(family)
    return distinct
