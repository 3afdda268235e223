"""`/metrics` has the promised names, in formats that parsers accept, and totals that never fall."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from penstock.master.admin.metrics import render_metrics
from penstock.master.obituary import RESTART_REASONS
from penstock.shm import histogram, layout, names
from penstock.shm.totals import totals

if TYPE_CHECKING:
    from tests.master.admin.conftest import Site

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SECOND_NS = 1_000_000_000

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def render(site: "Site", accept: str | None = None, now_ns: int = 0) -> tuple[str, str]:
    """Give the exposition and its content type."""
    body, content_type = render_metrics(totals(site.segment), site.status, accept, now_monotonic_ns=now_ns)
    return body.decode(), content_type


def samples_of(families: Iterable[Metric]) -> Samples:
    """Flatten families into values by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def read_text(site: "Site", now_ns: int = 0) -> Samples:
    """Scrape as an old Prometheus does."""
    body, content_type = render(site, now_ns=now_ns)
    assert content_type.startswith("text/plain; version=0.0.4")
    return samples_of(parse_text(body))


def read_openmetrics(site: "Site") -> Samples:
    """Scrape as a new Prometheus does."""
    body, content_type = render(site, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    return samples_of(parse_openmetrics(body))  # type: ignore[no-untyped-call]


def test_requests_are_told_by_listener_route_and_class(site: "Site") -> None:
    """Summed over the workers."""
    site.rows[0].cells[site.requests] = 3
    site.rows[1].cells[site.requests] = 4
    site.rows[1].cells[site.requests + 2] = 1
    samples = read_text(site)
    labels = (("code", "2xx"), ("listener", "web"), ("route", "/"))
    assert samples["penstock_requests_total", labels] == 7
    assert samples["penstock_requests_total", (("code", "4xx"), *labels[1:])] == 1
    assert samples["penstock_requests_total", (("code", "5xx"), *labels[1:])] == 0


def test_every_promised_name_is_there(site: "Site") -> None:
    """Dashboards are built on them."""
    assert {name for name, _ in read_text(site)} == {
        "penstock_requests_total",
        "penstock_request_duration_seconds_bucket",
        "penstock_request_duration_seconds_count",
        "penstock_request_duration_seconds_sum",
        "penstock_connections",
        "penstock_connections_total",
        "penstock_received_bytes_total",
        "penstock_sent_bytes_total",
        "penstock_worker_restarts_total",
        "penstock_reload_failures_total",
        "penstock_segment_resets_total",
        "penstock_worker_crash_loops",
        "penstock_workers",
        "penstock_generation",
        "penstock_worker_loop_lag_seconds",
        "penstock_corrupt_rows",
        "penstock_build_info",
    }


def test_both_formats_have_the_same_samples(site: "Site") -> None:
    """
    A strict parser accepts the OpenMetrics one, where a gauge and a counter may not
    differ by `_total` alone.
    """
    site.rows[0].cells[site.accepted] = 9
    site.rows[0].cells[site.active] = 2
    assert read_openmetrics(site) == read_text(site)
    assert read_text(site)["penstock_connections_total", (("listener", "web"),)] == 9
    assert read_text(site)["penstock_connections", (("listener", "web"), ("state", "active"))] == 2


def test_counters_are_typed_as_counters(site: "Site") -> None:
    """So that a query tool offers rate()."""
    body, _ = render(site)
    for name in ("requests", "connections", "sent_bytes", "worker_restarts"):
        assert f"# TYPE penstock_{name}_total counter\n" in body
    assert "# TYPE penstock_connections gauge\n" in body
    body, _ = render(site, OPENMETRICS)
    assert "# TYPE penstock_requests counter\n" in body
    assert "# TYPE penstock_connections gauge\n" in body


def test_durations_are_told_in_buckets_that_count_exactly(site: "Site") -> None:
    """Cumulative, ending in +Inf, with sum and count."""
    for us in (100, 4_991, 4_992, 2_000_000, 2**27):
        histogram.observe(site.rows[0].cells, site.duration, us)
    samples = read_openmetrics(site)

    def below(le: str) -> float:
        labels = (("le", le), ("listener", "web"), ("route", "/"))
        return samples["penstock_request_duration_seconds_bucket", labels]

    route = (("listener", "web"), ("route", "/"))
    assert [below(le) for le in ("0.000512", "0.004992", "0.009984", "2.490368", "+Inf")] == [1, 2, 3, 4, 5]
    assert samples["penstock_request_duration_seconds_count", route] == 5
    total_s = samples["penstock_request_duration_seconds_sum", route]
    assert total_s == pytest.approx((100 + 4_991 + 4_992 + 2_000_000 + 2**27) / 1e6)


def test_the_fleet_is_told(site: "Site") -> None:
    """Workers by state, restarts by reason, generation, what is running."""
    first, second = site.status.workers
    site.change(workers=(first, replace(second, state="suspect")))
    samples = read_text(site)
    states = ("starting", "ready", "suspect", "draining")
    assert [samples["penstock_workers", (("state", state),)] for state in states] == [0, 1, 1, 0]
    assert samples["penstock_generation", ()] == 1
    assert samples["penstock_worker_restarts_total", (("reason", "crash"),)] == 2
    (info,) = (labels for name, labels in samples if name == "penstock_build_info")
    assert dict(info)["version"] == "1.2.3"
    assert dict(info)["python"].startswith("3.")


def test_every_reason_to_restart_is_told_before_it_happens(site: "Site") -> None:
    """
    Prometheus sees an increase only of a series that was there before. A reason
    that only another release knows is told as well.
    """
    site.change(worker_restarts={"crash": 2, "moonshine": 1})
    samples = read_text(site)
    told = {labels[0][1]: value for (name, labels), value in samples.items() if "restarts" in name}
    assert told == dict.fromkeys(RESTART_REASONS, 0) | {"crash": 2, "moonshine": 1}


def test_a_slot_with_two_workers_tells_the_worse_lag_once(site: "Site") -> None:
    """The same sample twice would make Prometheus refuse the whole scrape."""
    new = site.start_worker(slot=0, pid=4_000_020, generation=2)
    site.rows[1].beat(100 * SECOND_NS, loop_lag_us=100)
    for row, lag_us in ((site.segment.row(1), 300), (new, 200)):
        row.beat(100 * SECOND_NS, loop_lag_us=lag_us)
    samples = read_text(site, now_ns=100 * SECOND_NS)
    assert samples["penstock_worker_loop_lag_seconds", (("slot", "0"),)] == 0.0003
    assert samples["penstock_worker_loop_lag_seconds", (("slot", "1"),)] == 0.0001


def test_totals_never_fall_while_workers_come_and_go(site: "Site") -> None:
    """Through fifty replacements, every counter and bucket only grows."""
    before: Samples = {}
    for life in range(50):
        row = site.rows[life % 2]
        row.cells[site.requests] += 3
        row.cells[site.accepted] += 1
        histogram.observe(row.cells, site.duration, 1_000 * life)
        row.release()
        site.start_worker(slot=life % 2, pid=4_000_100 + life, generation=life + 2)
        samples = read_text(site)
        for key, value in before.items():
            if key[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert samples[key] >= value
        before = samples
    assert before["penstock_requests_total", (("code", "2xx"), ("listener", "web"), ("route", "/"))] == 150


def test_a_corrupt_row_is_counted_and_the_rest_is_told(site: "Site") -> None:
    """One sick worker does not blind the operator."""
    for row in site.rows.values():
        row.cells[site.requests] = 5
        row.cells[site.active] = 1
    site.rows[0].master[layout.MASTER_STATE] = 2**60
    samples = read_text(site)
    assert samples["penstock_corrupt_rows", ()] == 1
    assert samples["penstock_requests_total", (("code", "2xx"), ("listener", "web"), ("route", "/"))] == 10
    assert samples["penstock_connections", (("listener", "web"), ("state", "active"))] == 1


def test_a_series_of_another_release_is_told_as_it_is(site: "Site") -> None:
    """After a hot restart the table may name what this code has never heard of."""
    word = site.segment.series.define("penstock_novelties_total", "counter", (("kind", 'a "b"\n\\c'),))
    site.rows[0].cells[word] = 6
    for samples in (read_text(site), read_openmetrics(site)):
        assert samples["penstock_novelties_total", (("kind", 'a "b"\n\\c'),)] == 6


def test_processor_time_is_told_in_seconds(site: "Site") -> None:
    """A word counts microseconds, and their sum over the workers never falls."""
    series = site.segment.series
    word = series.define(names.WORKER_CPU_US, "counter")
    collections = series.define_group(names.GC_COLLECTIONS, "counter", (), "generation", names.GC_GENERATIONS)
    site.rows[0].cells[word] = 1_500_000
    site.rows[1].cells[word] = 250_000
    site.rows[1].cells[collections + 2] = 3
    site.rows[1].release()
    for samples in (read_text(site), read_openmetrics(site)):
        assert samples["penstock_worker_cpu_seconds_total", ()] == 1.75
        assert samples["penstock_gc_collections_total", (("generation", "2"),)] == 3
    assert "# TYPE penstock_worker_cpu_seconds_total counter\n" in render(site)[0]


def test_the_default_registry_is_left_to_the_app(site: "Site") -> None:
    """Nothing of ours is in it."""
    render(site)
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("penstock")]
    assert "python_gc" not in render(site)[0]


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text; version=abc",
        "application/openmetrics-text; version=1.0.0é",
        "text/plain;version=1.x",
        ";;=,=;" * 100,
    ],
)
def test_an_accept_that_makes_no_sense_gets_the_plain_format(site: "Site", accept: str) -> None:
    """A browser asks for HTML, and a broken scraper for anything."""
    body, content_type = render(site, accept)
    assert content_type.startswith("text/plain")
    assert samples_of(parse_text(body)) == read_text(site)
