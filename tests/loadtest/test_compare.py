"""The comparison as a person starts it: real servers, real load, and what goes wrong."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench import compare, idle, lost, peers
from bench.scenario import all_scenarios
from bench.server import ServerFailed

# One at a time: each loads a server, and looks at what it counts.
pytestmark = pytest.mark.xdist_group("load")

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [sys.executable, str(LOADTEST / "compare"), *arguments], capture_output=True, text=True, check=False
    )


def options(*peer: peers.Peer, scenario: str = "post") -> compare.Options:
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
    With Penstock and the floors in it though nobody asked: ratios to them hold elsewhere too.
    """
    done = run("hello", "--servers", "floor", "--quick", "--share-core", "--out", str(tmp_path))

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
    report = (tmp_path / "report.html").read_text()
    assert "<svg" in report

    again = run("--render", str(tmp_path / "comparison.json"), "--out", str(tmp_path / "again"))

    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "report.html").read_text() == report


def test_what_fails_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """
    One is not installed, one does not start, one dies under load: nobody has all of them well.
    """
    floor = peer("floor+task")
    absent = dataclasses.replace(floor, name="absent", program="no-such-server", install="make luck")
    broken = dataclasses.replace(
        floor,
        name="broken",
        command=lambda work, place: [sys.executable, "-c", "raise SystemExit('no luck today')"],
    )
    mortal = dataclasses.replace(
        floor, name="mortal", command=lambda work, place: [sys.executable, "-c", MORTAL, str(place.port)]
    )
    kept: list[int] = []

    found = compare.run(
        options(absent, broken, mortal, floor), "compare", keep=lambda so_far: kept.append(len(so_far.tables))
    )

    assert found.absent == {"absent": "make luck"}
    assert "absent is not here; install it by `make luck`" in capsys.readouterr().err
    (table,) = found.tables
    assert kept == [1]
    cells = {cell.server: cell for cell in table.cells}
    assert set(cells) == {"broken", "mortal", "floor+task"}
    assert "no luck today" in cells["broken"].problems[0]
    assert "it was too much for me" in cells["mortal"].problems[0]
    assert not cells["broken"].samples
    assert not cells["mortal"].samples
    assert cells["floor+task"].samples
    assert not cells["floor+task"].problems


# It answers whoever asks whether it serves, and the hundredth request is its last.
MORTAL = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(100):
    client, _ = listener.accept()
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    client.close()
sys.exit("it was too much for me")
"""


def test_a_round_of_errors_has_no_figures() -> None:
    """
    Failing has a price, too, and it looks like any other figure.
    """
    deaf = dataclasses.replace(
        peer("floor+task"),
        name="deaf",
        command=lambda work, place: [sys.executable, "-c", DEAF, str(place.port)],
    )

    (table,) = compare.run(options(deaf), "compare").tables

    (cell,) = table.cells
    assert not cell.samples
    assert re.search(r"too many errors for figures: .*\d status of \d", cell.problems[0])


# It knows GET.
DEAF = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_reload_of_penstock_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Once, for the scenario's machinery; volumes are the soak's.
    """
    monkeypatch.setattr(importlib.import_module("bench.scenarios.reload"), "RELOADS", 1)
    reload = dataclasses.replace(all_scenarios()["reload"], rounds_max=1)
    chosen = dataclasses.replace(options(peer("penstock"), peer("floor")), scenarios=[reload])

    (table,) = compare.run(chosen, "compare").tables

    (cell,) = table.cells
    assert table.story.endswith("Without floor (no reload).")
    assert not cell.problems
    (sample,) = cell.samples
    assert {key: value for key, value in sample.values.items() if key.startswith("lost_")} == {
        "lost_blind": 0,
        "lost_looking": 0,
        "lost_oneshot": 0,
    }, sample.notes
    assert sample.values["requests"] >= sum(lost.COUNTS.values())


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
    assert set(scenarios) >= {
        "hello",
        "json",
        "post",
        "stream",
        "connect",
        "idle",
        "crowd",
        "mix",
        "reload",
        "roll",
    }
    for scenario in scenarios.values():
        assert scenario.metrics, scenario.name
        assert compare.absence(scenario, peer("penstock")) is None, scenario.name
        if scenario.work.origin is not None:
            assert compare.absence(scenario, peer("nginx")) is None
            assert compare.absence(scenario, peer("floor")) is not None
            continue
        module = scenario.work.app.partition(":")[0]
        assert (LOADTEST / module.replace(".", "/")).with_suffix(".py").is_file(), scenario.name
        for each in peers.PEERS:
            each.words(scenario.work, place)


def test_without_enough_descriptors_idle_says_so_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A low hard limit is no reason to measure nothing at all.
    """

    def refuse(connections: int) -> None:
        raise ServerFailed(f"{connections + idle.SPARE_DESCRIPTORS} descriptors are needed")

    monkeypatch.setattr(compare, "allow_descriptors", refuse)
    both = [all_scenarios()[name] for name in ("idle", "connect")]
    chosen = dataclasses.replace(options(peer("floor")), scenarios=both)

    held, connected = compare.run(chosen, "compare").tables

    assert held.cells[0].problems == ["round 1: 5500 descriptors are needed"]
    assert connected.cells[0].samples


def test_list_tells_what_is_here() -> None:
    """
    And how to get what is not.
    """
    done = run("--list")

    assert done.returncode == 0
    assert "reload" in done.stdout
    assert "penstock" in done.stdout
