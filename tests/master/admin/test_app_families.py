"""An app may call its metrics what it likes, and no scrape fails for it."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from penstock.master.admin.app_families import LEFT_OUT, choose, expose
from penstock.shm.exemplars import ExemplarReading
from penstock.shm.keylog import Family
from penstock.shm.readings import FamilyReading, SampleReading

BUILT_IN = [
    Metric("penstock_requests", "Requests.", "counter"),
    Metric("penstock_workers", "Workers.", "gauge"),
]
ENCODERS: list[Callable[[Any], bytes]] = [generate_latest, openmetrics.generate_latest]


def family(name: str, kind: str = "gauge", *samples: SampleReading) -> FamilyReading:
    suffix = "_total" if kind == "counter" else ""
    return FamilyReading(
        Family(kind, "", name, (), "Help."), list(samples) or [SampleReading(name + suffix, {}, 1.0)]
    )


def shown(*families: FamilyReading, encode: Callable[[Any], bytes] = generate_latest) -> dict[str, float]:
    chosen, left_out = choose((list(families), 0), BUILT_IN)
    text = expose(encode, BUILT_IN, chosen, left_out).decode()
    parse: Any = text_string_to_metric_families if encode is generate_latest else parse_openmetrics
    return {sample.name: sample.value for each in parse(text) for sample in each.samples}


@pytest.mark.parametrize("encode", ENCODERS)
def test_families_stand_beside_the_built_in_ones(encode: Callable[[Any], bytes]) -> None:
    """
    In both formats, with nothing left out.
    """
    assert shown(family("tea", "counter"), family("pots"), encode=encode) == {
        "tea_total": 1,
        "pots": 1,
        LEFT_OUT: 0,
    }


def test_our_names_are_ours() -> None:
    """
    A dashboard that reads penstock_workers must not read something else.
    """
    seen = shown(
        family("penstock_workers"),
        family("penstock_anything"),
        family("penstock_app_series_dropped", "counter"),
    )
    assert seen == {"penstock_app_series_dropped_total": 1, LEFT_OUT: 2}


def test_names_that_clash_are_shown_once() -> None:
    """
    Registries of an app are independent of each other, and an exposition is not.
    """
    summary = family("tea", "summary", SampleReading("tea_sum", {}, 1.0), SampleReading("tea_count", {}, 1.0))
    assert shown(summary, family("tea_count"), family("fish.caught"), family("fish_caught")) == {
        "tea_sum": 1,
        "tea_count": 1,
        "fish_caught": 1,
        LEFT_OUT: 2,
    }


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    "bad",
    [
        family("", "gauge"),
        family("tea", "no such kind"),
        family("tea", "gauge", SampleReading("tea", {"kind": 5}, 1.0)),  # type: ignore[dict-item]
        family("tea", "gauge", SampleReading("tea", {"kind": "\udc80"}, 1.0)),
        family("tea", "gauge", SampleReading("tea", {}, "much")),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_exposed_is_left_out_alone(bad: FamilyReading, encode: Callable[[Any], bytes]) -> None:
    """
    The others are shown, and it is counted.
    """
    seen = shown(family("pots"), bad, family("sugar"), encode=encode)
    assert {name: seen.get(name) for name in ("pots", "sugar", LEFT_OUT)} == {
        "pots": 1,
        "sugar": 1,
        LEFT_OUT: 1,
    }


def test_an_exemplar_where_none_may_be_costs_that_family_alone() -> None:
    """
    OpenMetrics allows them for counters and buckets only.
    """
    odd = SampleReading("tea", {}, 1.0, ExemplarReading({"trace": "1"}, 1.0, 1000.0))
    assert shown(family("tea", "gauge", odd), family("pots"), encode=openmetrics.generate_latest) == {
        "pots": 1,
        LEFT_OUT: 1,
    }
