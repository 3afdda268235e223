"""A real Prometheus scrapes a server that crashes and reloads, and answers questions about it."""

import math
import re

import pytest

from tests.process.harness import wait_for
from tests.process.prometheus import promtool
from tests.process.watched.conftest import Watched
from tests.promql import Exported

# One server and one Prometheus for all of them.
pytestmark = pytest.mark.xdist_group("watched")

COUNTER = re.compile("^penstock_.*(_total|_bucket|_count|_sum)$")
JOBS = ("penstock", "penstock-text")


def test_every_scrape_is_understood(watched: Watched) -> None:
    """
    Not one could not be read, while a target whose braces are doubled shows that this would be told.
    """
    targets = watched.prometheus.ask("targets")["activeTargets"]

    assert {each["labels"]["job"]: (each["health"], each["lastError"]) for each in targets}.items() >= {
        (job, ("up", "")) for job in JOBS
    }
    assert watched.prometheus.misunderstood() == {"nonsense"}
    assert watched.prometheus.value('max_over_time(up{job="nonsense"}[1h])') == 0


def test_openmetrics_and_text_were_both_scraped(watched: Watched) -> None:
    """
    The types tell which was which: OpenMetrics has no counter beside a gauge of that name.
    """
    types = {
        each["target"]["job"]: each["type"]
        for each in watched.prometheus.ask("targets/metadata", metric="penstock_connections_total")
    }

    assert types == {"penstock": "unknown", "penstock-text": "counter"}


@pytest.mark.parametrize("job", JOBS)
def test_every_request_is_counted_once(watched: Watched, job: str) -> None:
    """
    Whichever worker answered, and whatever became of it since.
    """
    counted = watched.prometheus.query(f'sum by (code) (penstock_requests_total{{job="{job}"}})')

    assert {each["metric"]["code"]: float(each["value"][1]) for each in counted} == watched.requests
    assert all(watched.requests.values())
    assert (
        watched.prometheus.value(f'sum(penstock_request_duration_seconds_count{{job="{job}"}})')
        == watched.request_count
    )


def test_no_counter_was_ever_reset(watched: Watched) -> None:
    """
    Over a crash, a failed reload, a crash loop and a reload.
    """
    counters = [name for name in Exported.of(watched.exposition).metrics if COUNTER.search(name)]

    assert len(counters) > 6
    for name in counters:
        resets = watched.prometheus.query(f"resets({name}[1h])")
        assert resets, name
        assert [each["metric"] for each in resets if each["value"][1] != "0"] == [], name
    # What Prometheus does see fall: to it, that is a reset as well.
    assert watched.prometheus.value('resets(penstock_worker_crash_loops{job="penstock"}[1h])') == 1
    assert watched.prometheus.value('changes(penstock_generation{job="penstock"}[1h])') == 1


def test_rates_and_quantiles_are_numbers(watched: Watched) -> None:
    """
    What dashboards are made of.
    """
    rate = watched.prometheus.value('sum(rate(penstock_requests_total{job="penstock"}[1h]))')
    slowest = watched.prometheus.value(
        "histogram_quantile(0.99, sum by (le) "
        '(rate(penstock_request_duration_seconds_bucket{job="penstock"}[1h])))'
    )

    assert rate is not None
    assert rate > 0
    assert slowest is not None
    # A third of the requests slept for 30 ms, which is in the bucket above 25.088.
    assert 0.025 < slowest < 30


def test_alerts_are_loaded_and_one_fires(watched: Watched) -> None:
    """
    The rules of etc/ are evaluated without an error, and the reload that failed is told at once.
    """
    [group] = watched.prometheus.ask("rules")["groups"]

    assert [(rule["name"], rule["lastError"]) for rule in group["rules"] if rule["health"] != "ok"] == []
    assert len(group["rules"]) > 9
    wait_for(
        lambda: watched.prometheus.query(
            'ALERTS{alertname="PenstockReloadFailed", alertstate="firing", job="penstock"}'
        ),
        "the alert",
    )
    assert watched.prometheus.history('ALERTS{alertname="PenstockCrashLoop", alertstate="pending"}')


def test_promtool_finds_nothing_to_say_about_the_exposition(watched: Watched) -> None:
    """
    Names, units and help texts are as Prometheus wants them.
    """
    result = promtool("check", "metrics", input=watched.exposition)

    assert (result.returncode, result.stdout) == (0, "")


def test_promtool_would_say_so(watched: Watched) -> None:
    """
    The same with a counter that is not called one.
    """
    wrong = re.sub("penstock_requests_total", "penstock_requests", watched.exposition)

    result = promtool("check", "metrics", input=wrong)

    assert result.returncode != 0
    assert "penstock_requests" in result.stdout


def test_a_prometheus_number_is_finite(watched: Watched) -> None:
    """
    No sample of ours is NaN or infinite.
    """
    for series in watched.prometheus.query('{__name__=~"penstock_.*"}'):
        assert math.isfinite(float(series["value"][1])), series
