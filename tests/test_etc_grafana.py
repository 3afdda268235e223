"""The dashboard of etc/ is one that Grafana imports and a person can read."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / "etc" / "grafana-dashboard.json"
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]

# What Grafana 10.4 and 11 write themselves; older files are migrated, newer ones refused by some.
SCHEMA_VERSION = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def test_it_can_be_imported_anywhere() -> None:
    """
    Nothing in it is of the Grafana that it was made in: no id, no address of a data source.
    """
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] == SCHEMA_VERSION
    assert DASHBOARD["title"] == "Penstock"
    assert DASHBOARD["uid"]
    own = {"type": "grafana", "uid": "-- Grafana --"}  # The built-in annotations.
    assert all(source in (SOURCE, own) for source in _sources(DASHBOARD))


def test_data_source_and_instance_are_chosen_above_the_plots() -> None:
    """
    So that one dashboard is for every server, and for all of them together.
    """
    source, instance = DASHBOARD["templating"]["list"]

    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert (instance["name"], instance["type"], instance["datasource"]) == ("instance", "query", SOURCE)
    assert instance["multi"]
    assert instance["includeAll"]
    for panel in DRAWN:
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("panel", DRAWN, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """
    With a title, a sentence and a unit; a rate is asked for over the interval that fits the scrapes.
    """
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs) > 0
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert ("rate(" in target["expr"] or "increase(" in target["expr"]) == (
            "[$__rate_interval]" in target["expr"]
        )


def test_panels_lie_side_by_side() -> None:
    """
    Grafana would push what overlaps somewhere else.
    """
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= COLUMNS
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def _sources(part: Any) -> list[Any]:
    if isinstance(part, list):
        return [source for each in part for source in _sources(each)]
    if not isinstance(part, dict):
        return []
    own = [part["datasource"]] if "datasource" in part else []
    return own + [source for each in part.values() for source in _sources(each)]
