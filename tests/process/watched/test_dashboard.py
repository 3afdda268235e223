"""Dashboard and alerts ask for what a server exports, and get something for it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.process.prometheus import ETC
from tests.process.watched.conftest import Watched
from tests.promql import Exported, faults, names

# One server and one Prometheus for all of them.
pytestmark = pytest.mark.xdist_group("watched")

DASHBOARD = json.loads((ETC / "grafana-dashboard.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((ETC / "prometheus-alerts.yml").read_text(encoding="utf-8"))

# What the dashboard is to show, as the samples are called. Others may come without being shown.
SHOWN = {
    "penstock_requests_total",
    "penstock_request_duration_seconds_bucket",
    "penstock_connections",
    "penstock_connections_total",
    "penstock_received_bytes_total",
    "penstock_sent_bytes_total",
    "penstock_workers",
    "penstock_generation",
    "penstock_worker_restarts_total",
    "penstock_worker_crash_loops",
    "penstock_reload_failures_total",
    "penstock_segment_resets_total",
    "penstock_worker_loop_lag_seconds",
    "penstock_corrupt_rows",
    "penstock_build_info",
    "penstock_worker_cpu_seconds_total",
    "penstock_worker_resident_memory_bytes",
    "penstock_worker_open_fds",
    "penstock_gc_collections_total",
    "penstock_access_log_dropped_total",
    "penstock_upstream_requests_total",
    "penstock_upstream_request_duration_seconds_bucket",
    "penstock_upstream_connect_duration_seconds_bucket",
    "penstock_upstream_connections",
    "penstock_upstream_requests_queued",
    "penstock_upstream_left_out",
    "penstock_upstream_failures_total",
    "penstock_upstream_retries_total",
    "penstock_upstream_ejections_total",
}


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every query of a panel, with the panel's title."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


def expressions() -> Iterator[tuple[str, str]]:
    """Give every expression of both files, with where it stands."""
    yield from ((title, target["expr"]) for title, target in targets())
    for annotation in DASHBOARD["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if match := re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("definition", "")):
            yield variable["name"], f"group by ({match[2]}) ({match[1]})"
    for group in ALERTS["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(
    "expression", [each for _, each in EXPRESSIONS], ids=[f"{title}" for title, _ in EXPRESSIONS]
)
def test_metrics_and_labels_are_those_that_are_exported(watched: Watched, expression: str) -> None:
    """
    A panel or an alert on a name that does not exist is empty for ever, and nobody is told.
    """
    assert faults(expression, Exported.of(watched.exposition)) == []


def test_a_wrong_name_in_the_files_would_be_found(watched: Watched) -> None:
    """
    With any metric of theirs gone from the server, somebody complains.
    """
    exported = Exported.of(watched.exposition)
    for gone in SHOWN:
        less = Exported({name: labels for name, labels in exported.metrics.items() if name != gone})
        assert any(f"no metric {gone}" in faults(expression, less) for _, expression in EXPRESSIONS), gone


def test_what_is_promised_is_shown() -> None:
    """
    A panel that is lost in an edit is missed on the day that it is needed.
    """
    assert set().union(*(names(target["expr"]) for _, target in targets())) >= SHOWN


def test_every_metric_is_documented(watched: Watched) -> None:
    """
    What is asked for and what is exported: whoever wonders what a number means finds it on the page.
    """
    page = (ETC.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    asked = set().union(*(names(expression) for _, expression in EXPRESSIONS))

    for name in asked | Exported.of(watched.exposition).metrics.keys():
        if name.startswith("penstock_"):
            assert f"`{re.sub('_(bucket|count|sum)$', '', name)}`" in page, name


@pytest.mark.parametrize(
    "target", [each for _, each in targets()], ids=[f"{title}-{each['refId']}" for title, each in targets()]
)
def test_every_query_of_the_dashboard_gets_data(watched: Watched, target: dict[str, Any]) -> None:
    """
    Asked as Grafana asks: a range, the variables filled in. The labels of a legend are those of the series.
    """
    expression = target["expr"].replace("$__rate_interval", "3s").replace("$instance", ".*")
    assert "$" not in expression

    series = watched.prometheus.history(expression)

    assert series
    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
        assert all(label in each["metric"] for each in series), label


@pytest.mark.parametrize("annotation", ["Generations", "Failed reloads"])
def test_annotations_mark_what_happened(watched: Watched, annotation: str) -> None:
    """
    The reload and the one that failed are seen on every plot.
    """
    [found] = [each for each in DASHBOARD["annotations"]["list"] if each["name"] == annotation]

    assert found["target"]["expr"] == found["expr"]
    series = watched.prometheus.history(found["expr"].replace("$instance", ".*"))
    assert {each["metric"]["job"] for each in series} == {"penstock", "penstock-text"}
