"""Prometheus's configuration, held against what Penstock serves."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics import parser

from penstock.master.config.model import DEFAULT_ADMIN_BIND
from tests.process.harness import Server, get
from tests.process.prometheus import promtool

FILE = Path(__file__).parents[1] / "etc" / "prometheus.yml"

# What Prometheus sends, shortened: OpenMetrics before anything else.
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def seconds(duration: str) -> float:
    assert duration.endswith("s"), duration
    return float(duration.removesuffix("s"))


def job() -> dict[str, Any]:
    """Return the only job, with what the global part gives to it."""
    config = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert set(config) == {"global", "rule_files", "scrape_configs"}
    [found] = config["scrape_configs"]
    return {**config["global"], **found}


def test_the_target_is_the_default_admin_address() -> None:
    """
    Whoever starts both without options sees numbers.
    """
    [group] = job()["static_configs"]

    assert job()["job_name"] == "penstock"
    assert group["targets"] == [DEFAULT_ADMIN_BIND]
    assert seconds(job()["scrape_timeout"]) <= seconds(job()["scrape_interval"])


def test_promtool_accepts_the_file() -> None:
    """
    And the alerts that it names, which lie beside it.
    """
    result = promtool("check", "config", str(FILE))

    assert result.returncode == 0, result.stdout
    assert "prometheus-alerts.yml" in result.stdout


def test_penstock_answers_such_a_scrape(start: Callable[..., Server]) -> None:
    """
    At that path, in the format that Prometheus asks for, with the metrics' names.

    The port is one that is free, since the default one may be somebody's.
    """
    server = start("--port", "0", "--workers", "1", "--no-pin").wait_serving()
    assert server.get("/whoami")[0] == 200

    status, body = get(server.admin_port, job()["metrics_path"], Accept=ACCEPT)

    assert status == 200
    parse: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
    families = {family.name: family for family in parse(body.decode())}
    assert sum(sample.value for sample in families["penstock_requests"].samples) == 1
    assert all(name.startswith("penstock_") for name in families)
