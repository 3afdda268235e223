"""The comparison as a person starts it: real servers, real load, and what goes wrong."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench import compare, peers
from bench.scenario import all_scenarios

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [sys.executable, str(LOADTEST / "compare"), *arguments], capture_output=True, text=True, check=False
    )


def options(*peer: peers.Peer, scenario: str = "hello") -> compare.Options:
    """Give the smallest comparison there is."""
    cores = sorted(os.sched_getaffinity(0))
    return compare.Options(
        scenarios=[all_scenarios()[scenario]],
        peers=peer,
        rounds=1,
        seconds=0.5,
        server_cores=cores[:1],
        load_core=cores[-1],
    )


def peer(name: str) -> peers.Peer:
    """Find a peer."""
    return next(peer for peer in peers.PEERS if peer.name == name)


def test_a_comparison_is_printed_and_written(tmp_path: Path) -> None:
    """
    With the floors in it though nobody asked: ratios to them hold elsewhere too.
    """
    done = run("hello", "--servers", "penstock", "--quick", "--share-core", "--out", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "x floor+task" in done.stdout
    written = json.loads((tmp_path / "comparison.json").read_text())
    cells = {cell["server"]: cell for cell in written["tables"][0]["cells"]}
    assert set(cells) == {"penstock", "floor", "floor+task"}
    for name, cell in cells.items():
        assert not cell["problems"], cell
        (sample,) = cell["samples"]
        assert sample["values"]["cpu_us"] > 0, name
        assert sample["curve"], name
    assert "penstock apps.hello:app" in cells["penstock"]["command"]
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_a_server_that_is_not_installed_is_told_and_the_rest_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Nobody has all of them.
    """
    absent = dataclasses.replace(peer("uvicorn"), name="elsewhere", program="no-such-server")

    found = compare.run(options(absent, peer("floor")), "compare")

    assert found.absent == {"elsewhere": "make peers"}
    assert "elsewhere is not here; install it by `make peers`" in capsys.readouterr().err
    (table,) = found.tables
    assert [(cell.server, len(cell.samples)) for cell in table.cells] == [("floor", 1)]


def test_a_server_that_does_not_start_is_told_and_the_rest_goes_on() -> None:
    """
    With its last words, since they say why.
    """
    broken = dataclasses.replace(
        peer("floor"),
        name="broken",
        command=lambda work, place: [sys.executable, "-c", "raise SystemExit('no luck today')"],
    )

    (table,) = compare.run(options(broken, peer("floor")), "compare").tables

    by_name = {cell.server: cell for cell in table.cells}
    assert "no luck today" in by_name["broken"].problems[0]
    assert not by_name["broken"].samples
    assert by_name["floor"].samples
    assert not by_name["floor"].problems


def test_a_reload_of_penstock_loses_nothing() -> None:
    """
    Once, for the scenario's machinery; volumes are the soak's.
    """
    reload = dataclasses.replace(all_scenarios()["reload"], rounds_max=1)
    chosen = dataclasses.replace(options(peer("penstock"), peer("floor")), scenarios=[reload])

    (table,) = compare.run(chosen, "compare").tables

    (cell,) = table.cells  # The floor has no reload.
    assert not cell.problems
    (sample,) = cell.samples
    assert {key: value for key, value in sample.values.items() if key.startswith("lost_")} == {
        "lost_blind": 0,
        "lost_looking": 0,
        "lost_oneshot": 0,
    }, sample.notes
    assert sample.values["requests"] > 100


def test_names_that_do_not_exist_are_told_with_those_that_do() -> None:
    """
    A typing error is no reason to measure for half an hour.
    """
    for arguments in (("helo",), ("hello", "--servers", "uvicron")):
        done = run(*arguments)
        assert done.returncode == 2
        assert "there are" in done.stderr


def test_every_scenario_can_be_served_by_penstock_and_has_something_to_show(tmp_path: Path) -> None:
    """
    A file dropped into the folder takes part, so it has to be whole.
    """
    place = peers.Place(port=1, folder=tmp_path)
    scenarios = all_scenarios()
    assert set(scenarios) >= {"hello", "json", "post", "stream", "connect", "idle", "mix", "reload"}
    for scenario in scenarios.values():
        assert scenario.metrics, scenario.name
        assert compare.absence(scenario, peer("penstock")) is None, scenario.name
        module = scenario.work.app.partition(":")[0]
        assert (LOADTEST / module.replace(".", "/")).with_suffix(".py").is_file(), scenario.name
        for each in peers.PEERS:
            each.command(scenario.work, place)


def test_list_tells_what_is_here() -> None:
    """
    And how to get what is not.
    """
    done = run("--list")

    assert done.returncode == 0
    assert "reload" in done.stdout
    assert "penstock" in done.stdout
