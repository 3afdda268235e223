"""`loadtest/run` says what it found, and what went wrong."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench.failure import LoadFailed
from bench.load import LOADTEST, SCRIPTS, note_on, script_named
from bench.result import LoadResult
from bench.run import main
from bench.target import cores_for
from click.testing import CliRunner

from tests.loadtest.scripted_server import ScriptedServer
from tests.process.harness import wait_for

# One at a time: each loads a server, and looks at what it counts.
pytestmark = pytest.mark.xdist_group("load")

DEADLINE_S = 60

FOUND = LoadResult(
    generator="wrk2 4.0.0",
    command="wrk2",
    asked_rate=50_000,
    duration_s=10,
    requests=312_000,
    errors={},
    curve=((100.0, 5),),
)


@pytest.fixture
def environment() -> dict[str, str]:
    """What a shell without wrk2 has."""
    return {name: value for name, value in os.environ.items() if name != "WRK2"}


class Runner:
    """Starts `loadtest/run` in a folder, in a process group of its own."""

    def __init__(self, cwd: Path, environ: dict[str, str]) -> None:
        self.cwd = cwd
        self.environ = environ
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(LOADTEST / "run"), *arguments],
            cwd=self.cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        output, complaints = process.communicate(timeout=DEADLINE_S)
        return process.returncode, output, complaints


@pytest.fixture
def runner(tmp_path: Path, environment: dict[str, str]) -> Iterator[Runner]:
    made = Runner(tmp_path, environment)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.terminate()
        with process:  # Closes the pipes, and waits.
            pass


def result_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def descendant(process: "subprocess.Popen[str]", word: str) -> psutil.Process:
    """Wait for a process that the runner started, by a word of its command line."""

    def find() -> psutil.Process | None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if any(word in argument for argument in child.cmdline()):
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    found = wait_for(find, f"a process with {word}")
    assert found is not None
    return found


def test_a_closed_loop_is_measured_and_written_down(runner: Runner, tmp_path: Path) -> None:
    status, output, complaints = runner.run("--duration", "1", "--connections", "4", "--out", "found/here")

    assert (status, complaints) == (0, "")
    for name in ("p50", "p90", "p99", "p99.9", "max", "rate", "errors", "CPU"):
        assert f"\n{name} " in output
    assert "percentiles hide stalls" in output
    found = result_in(tmp_path / "found/here")
    assert found["load"]["requests"] > 0
    assert found["load"]["command"] in output
    assert found["server"]["command"] in output
    assert found["cpu_us_per_request"] > 0
    assert found["latency_us"]["p50"] <= found["latency_us"]["max"]
    assert found["problem"] is None
    assert "cores" in found["machine"]
    picture = ET.parse(tmp_path / "found/here/percentiles.svg").getroot()
    assert picture.tag.endswith("svg")


def test_an_open_loop_says_what_makes_it_and_keeps_its_rate(runner: Runner, tmp_path: Path) -> None:
    """
    Here with the user's app and script, found from where they stand.
    """
    (tmp_path / "mine.py").write_text(
        "async def app(scope, receive, send):\n"
        "    status = 200 if scope['path'] == '/here' else 404\n"
        "    await send({'type': 'http.response.start', 'status': status, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b''})\n"
    )
    (tmp_path / "mine.lua").write_text('wrk.headers["X-Mine"] = "1"\n')

    status, output, complaints = runner.run(
        *("--rate", "200", "--duration", "0.5", "--connections", "4", "--workers", "2"),
        *("--app", "mine:app", "--path", "/here", "--script", "mine.lua", "--out", "out"),
    )

    assert status == 0, output + complaints
    assert complaints.count("\n") == 1
    assert "wrk2 is not here" in complaints
    assert "our own open-loop generator" in complaints
    found = result_in(tmp_path / "out")
    assert found["load"]["requests"] == 100
    assert found["load"]["errors"] == dict.fromkeys(("connect", "read", "write", "timeout", "status"), 0)
    assert found["load"]["asked_rate"] == 200
    assert found["notes"] == [] or "late" in found["notes"][0]


def test_a_running_server_is_loaded_by_its_url(runner: Runner, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        plain = runner.run(*("--url", server.url, "--rate", "100", "--duration", "0.3", "--out", "plain"))
        known = runner.run(
            *("--url", server.url, "--pid", str(os.getpid())),
            *("--rate", "100", "--duration", "0.3", "--out", "known"),
        )

    assert plain[0] == known[0] == 0
    assert result_in(tmp_path / "plain")["cpu_us_per_request"] is None
    assert "unknown" in plain[1]
    assert result_in(tmp_path / "known")["cpu_us_per_request"] > 0


def test_an_unreached_rate_is_said_with_whose_core_was_full() -> None:
    by_generator = dataclasses.replace(FOUND, generator_busy=1.0)
    by_server = dataclasses.replace(FOUND, generator_busy=0.41)

    assert note_on(by_generator) == "asked 50,000/s, got 31,200/s, load generator at 100 %"
    assert note_on(by_server, server_busy=0.997) == "asked 50,000/s, got 31,200/s, server at 100 %"
    assert note_on(by_server) == "asked 50,000/s, got 31,200/s, load generator at 41 %"
    assert (
        note_on(by_server, server_busy=0.2)
        == "asked 50,000/s, got 31,200/s, load generator at 41 %, server at 20 %"
    )
    assert note_on(FOUND) == "asked 50,000/s, got 31,200/s"


def test_a_reached_rate_needs_no_note() -> None:
    assert note_on(dataclasses.replace(FOUND, requests=499_000)) is None
    assert note_on(dataclasses.replace(FOUND, asked_rate=None)) is None


def test_the_load_has_the_last_core() -> None:
    assert cores_for([0]) == (None, None)
    assert cores_for([0, 1]) == ([0], 1)
    assert cores_for([2, 3, 5, 7]) == ([2, 3, 5], 7)


def test_scripts_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.lua"
    path.touch()

    assert script_named("post") == SCRIPTS / "post.lua"
    assert script_named(str(path)) == path
    with pytest.raises(
        LoadFailed, match=r"no script 'nope': there are browser, connect, get, mix, pipeline, post"
    ):
        script_named("nope")
    with pytest.raises(LoadFailed, match="no script"):
        script_named(str(tmp_path / "missing.lua"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--script", "nope"], "there are browser, connect, get, mix, pipeline, post"),
        (["--connections", "0"], "--connections"),
        (["--rate", "-5"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--duration", "0"], "--duration"),
        (["--duration", "inf"], "--duration"),
        (["--workers", "0"], "--workers"),
        (["--pid", "1"], "--pid belongs to --url"),
        (["--url", "127.0.0.1:80"], "is no URL"),
        (["--path", "nope"], "--path"),
        (["--url", "http://127.0.0.1:80", "--workers", "2"], "--workers belongs to"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(main, arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_an_app_that_does_not_import_is_said_by_the_server(runner: Runner) -> None:
    status, _, complaints = runner.run("--app", "missing_app:app")

    assert status == 3
    assert "cannot import 'missing_app:app'" in complaints
    assert "Traceback" not in complaints


def test_a_server_killed_mid_run_is_said_and_the_rest_is_written(runner: Runner, tmp_path: Path) -> None:
    process = runner.start("--rate", "200", "--duration", "1", "--connections", "4", "--out", "out")
    client = descendant(process, "bench.generate")
    wait_for(lambda: len(client.net_connections()) >= 4, "the load to be connected")
    descendant(process, "penstock: master").kill()
    output, complaints = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "the server ended (killed by SIGKILL)" in complaints
    found = result_in(tmp_path / "out")
    assert "killed by SIGKILL" in found["problem"]
    assert sum(found["load"]["errors"].values()) > 0
    assert found["cpu_us_per_request"] is None
    assert "asked 200/s, got" in output


def test_nothing_at_the_url_is_said(runner: Runner) -> None:
    status, _, complaints = runner.run("--url", "http://127.0.0.1:1/", "--rate", "10", "--duration", "1")

    assert status == 1
    assert "cannot connect to 127.0.0.1:1" in complaints


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_server_and_load(runner: Runner, number: signal.Signals) -> None:
    """
    Ctrl-C reaches the whole group, as it does from a terminal.
    """
    process = runner.start("--rate", "10", "--duration", "60", "--connections", "4", "--out", "out")
    descendant(process, "bench.generate")
    family = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, complaints = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 128 + number, complaints
    assert "Traceback" not in complaints
    wait_for(lambda: not any(member.is_running() for member in family), "all of it to be gone")
