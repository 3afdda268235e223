"""The benchmark of metrics runs, and its report has every figure."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import accuracy, hook
from bench.figures import ABSENT
from hypothesis import given
from hypothesis import strategies as st

# One at a time: it takes a core for some seconds.
pytestmark = pytest.mark.xdist_group("load")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics-cost.md").read_text(encoding="utf-8")
SCRIPT = "loadtest/metrics.py"
SMALL = {"rounds": 1, "count": 5000, "rows": 3, "series": 40, "replacements": 4, "values": 1000}


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Run it once, with next to nothing to do."""
    sizes = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    return json.loads(run("--json", *sizes))  # type: ignore[no-any-return]


def test_every_figure_is_measured_in_every_round(report: dict[str, Any]) -> None:
    """
    All but those of a hook that this release does not have.
    """
    for figure in report["figures"]:
        if "hook." in figure["key"] and not hook.is_there():
            assert (figure["values"], figure["verdict"]) == ([], ABSENT)
            continue
        assert len(figure["values"]) == SMALL["rounds"], figure
        assert all(value >= 0 for value in figure["values"])
        assert (figure["ratio"] is None) == (figure["beside"] is None)
    assert report["machine"]["CPython"]


def test_every_promise_is_held_against_a_figure(report: dict[str, Any]) -> None:
    """
    The targets are the ones that were set before there was code.
    """
    targets = {
        figure["key"]: figure["target"] for figure in report["figures"] if figure["target"] is not None
    }

    assert targets == {
        "cell": 130,
        "observe": 400,
        "count": 40,
        "python.request": 1000,
        "python.ring": 600,
        "python.hook.counter": 250,
        "hook.counter": 180,
        "python.hook.histogram": 650,
        "hook.histogram": 450,
        "scrape": 10,
        "hook.scrape": 10,
        "p99.fine.lognormal": 1.6,
        "p99.fine.pareto": 1.6,
        "row.virtual": 512,
        "row.one": 128,
        "row.usual": 128,
    }
    ratios = [
        (figure["key"], figure["beside"], figure["ratio_max"])
        for figure in report["figures"]
        if figure["ratio_max"] is not None
    ]
    assert ratios == [
        ("python.hook.counter", "stock.counter", 0.8),
        ("hook.counter", "stock.counter", 0.8),
        ("hook.counter", "multi.counter", 0.3),
        ("scrape", "multi.scrape", 0.1),
        ("hook.scrape", "multi.scrape", 0.1),
        ("scrape.after", "scrape", 1.1),
    ]


def test_the_page_has_every_figure(report: dict[str, Any]) -> None:
    """
    Also those that are not flattering, in the order in which they are printed.
    """
    titles = [
        line.split(" | ")[0].removeprefix("| ") for line in PAGE.splitlines() if re.match(r"\| [^|-]", line)
    ]
    table = titles[titles.index("figure") + 1 :]

    assert table[: len(report["figures"])] == [figure["title"] for figure in report["figures"]]


def test_the_command_of_the_page_exists() -> None:
    """
    With the options that it names.
    """
    named = set(
        re.findall(
            r"(?<=\s)--[a-z]+", "".join(re.findall(r"^\$ python loadtest/metrics.py(.*)$", PAGE, re.M))
        )
    )

    assert SCRIPT in PAGE
    assert named <= set(re.findall(r"--[a-z]+", run("--help")))


@given(st.lists(st.integers(1, accuracy.LONGEST_US), min_size=1, max_size=300))
def test_an_estimate_of_a_percentile_is_in_the_bucket_of_the_true_one(values: list[int]) -> None:
    """
    The fine ones are within 1.6 % of it; the others know no more than their bounds.
    """
    values.sort()
    true_us = values[-(-len(values) * 99 // 100) - 1]

    assert abs(accuracy.from_fine_buckets(values) - true_us) <= max(0.5, true_us * 0.016)
    assert 0 <= accuracy.from_exposed_buckets(values) <= accuracy.LONGEST_US
    assert 0 <= accuracy.from_stock_buckets(values) <= 10e6


def test_the_same_seed_is_the_same_data() -> None:
    """
    A figure that surprises can be looked into.
    """
    assert accuracy.errors_percent(500, 3) == accuracy.errors_percent(500, 3)
    assert accuracy.pareto(random.Random(1)) >= 1000
