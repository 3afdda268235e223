"""What blocks a change, and what is only said."""

import json
from pathlib import Path

import pytest
from bench import guard

HERE = guard.environment()
BASELINE = {"environment": HERE, "counts": {"floor+task": 40_000, "hello": 60_000}}


def verdicts(baseline: dict[str, object], counts: dict[str, float]) -> dict[str, guard.Verdict]:
    """Judge as `make guard` does in this environment."""
    scale = guard.scale_between(baseline, counts, HERE)
    return {verdict.name: verdict for verdict in guard.judge(baseline, counts, scale)}


def test_a_rise_of_more_than_five_percent_blocks() -> None:
    """
    And one of less does not: a hot path grows by decision, not by accident.
    """
    assert verdicts(BASELINE, {"hello": 63_100})["hello"].is_bad
    assert not verdicts(BASELINE, {"hello": 62_900})["hello"].is_bad
    assert guard.compare(BASELINE, {"hello": 63_100}) == guard.EXIT_ROSE
    assert guard.compare(BASELINE, {"hello": 62_900}) == 0


def test_a_fall_passes_and_asks_for_a_new_baseline() -> None:
    """
    Or what was won could be lost again unnoticed.
    """
    verdict = verdicts(BASELINE, {"hello": 50_000})["hello"]

    assert not verdict.is_bad
    assert "renew" in verdict.words


def test_a_floor_blocks_nothing() -> None:
    """
    Bare uvloop costs what it costs: another C library is no change of ours.
    """
    verdict = verdicts(BASELINE, {"floor+task": 44_000})["floor+task"]

    assert not verdict.is_bad
    assert "not ours" in verdict.words
    assert guard.compare(BASELINE, {"floor+task": 44_000, "hello": 62_900}) == 0


def test_a_path_without_baseline_blocks() -> None:
    """
    A path that is never compared is not guarded.
    """
    verdict = verdicts(BASELINE, {"new": 1.0})["new"]

    assert verdict.is_bad
    assert "guard-baseline" in verdict.words


def test_in_another_environment_counts_are_relative_to_the_floor() -> None:
    """
    Another interpreter makes all counts differ, which is no fault of ours.
    """
    elsewhere = {**BASELINE, "environment": {**HERE, "python": "3.99"}}

    twice_all = verdicts(elsewhere, {"floor+task": 80_000, "hello": 122_000})
    assert not twice_all["hello"].is_bad
    assert twice_all["hello"].change == pytest.approx(122 / 120 - 1)
    assert verdicts(elsewhere, {"floor+task": 40_000, "hello": 70_000})["hello"].is_bad


def test_committed_baseline_knows_every_path() -> None:
    """
    Else `make guard` fails for whoever comes next.
    """
    baseline = json.loads(guard.BASELINE.read_text())

    assert set(baseline["counts"]) == {path.name for path in guard.PATHS}
    assert baseline["reason"]


def test_a_new_baseline_says_why(tmp_path: Path) -> None:
    """
    And is refused without a reason, before anything is counted.
    """
    for reason in ("", "  "):
        with pytest.raises(SystemExit) as refused:
            guard.main(["--renew", reason])
        assert refused.value.code == guard.EXIT_USAGE

    guard.write_baseline(tmp_path / "guard.json", {"hello": 1234.4}, " more headers are checked ")
    written = json.loads((tmp_path / "guard.json").read_text())
    assert written["reason"] == "more headers are checked"
    assert written["counts"] == {"hello": 1234}
    assert written["environment"] == HERE
