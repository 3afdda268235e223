"""The alerts of etc/: each is tried by promtool, says how bad it is, and points at a page."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.process.prometheus import promtool

ROOT = Path(__file__).parents[1]
FILE = ROOT / "etc" / "prometheus-alerts.yml"
TESTS = ROOT / "tests" / "prometheus-alerts.yml"


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
    return group["rules"]  # type: ignore[no-any-return]


def cases(alert: str) -> list[dict[str, Any]]:
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    return [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == alert]


def test_promtool_accepts_the_rules() -> None:
    """
    They are PromQL, and no two are the same.
    """
    result = promtool("check", "rules", str(FILE))

    assert result.returncode == 0, result.stdout
    assert f"{len(rules())} rules found" in result.stdout


def test_alerts_fire_when_they_should_and_not_before() -> None:
    """
    Made-up series are played through them.
    """
    result = promtool("test", "rules", str(TESTS))

    assert result.returncode == 0, result.stdout


def test_a_rule_that_never_fires_would_be_noticed(tmp_path: Path) -> None:
    """
    The tests above are worth something: with a misspelt metric they fail.
    """
    (tmp_path / "etc").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(TESTS, tmp_path / "tests")
    wrong = FILE.read_text(encoding="utf-8").replace("penstock_corrupt_rows", "penstock_corrupted_rows")
    (tmp_path / "etc" / FILE.name).write_text(wrong)

    result = promtool("test", "rules", str(tmp_path / "tests" / TESTS.name))

    assert result.returncode != 0
    assert "PenstockCorruptRows" in result.stdout


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_is_whole_and_tried(rule: dict[str, Any]) -> None:
    """
    Somebody who is woken by it knows what, where, how bad, and where to read on.
    """
    assert rule["alert"].startswith("Penstock")
    assert "for" in rule
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "description", "runbook"} == rule["annotations"].keys()
    assert "$labels.instance" in rule["annotations"]["summary"]
    assert (ROOT / rule["annotations"]["runbook"]).is_file()
    fires = [bool(case["exp_alerts"]) for case in cases(rule["alert"])]
    assert {True, False} == set(fires), "a case where it fires and one where it does not"


def test_the_page_lists_the_alerts() -> None:
    """
    In the order of the file, with the time that each waits and its severity.
    """
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(Penstock\w+)` \|.*\| (\w+) \| (\w+) \|$", page, re.MULTILINE)

    assert told == [(rule["alert"], rule["for"], rule["labels"]["severity"]) for rule in rules()]
