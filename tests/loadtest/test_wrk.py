"""wrk and wrk2 are told apart, and what they find is read as they say it."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench import wrk
from bench.failure import LoadFailed
from bench.load import SCRIPTS, closed_loop, open_loop, script_named
from bench.result import LoadResult

from tests.loadtest.scripted_server import Behaviour, ScriptedServer
from tests.process.harness import Server

# One at a time: each loads a server, and looks at what it counts.
pytestmark = pytest.mark.xdist_group("load")

Start = Callable[..., Server]


def stand_in_for_wrk2(folder: Path, name: str = "wrk") -> Path:
    """
    Make a program with wrk2's option, which is wrk otherwise.

    wrk2 has to be built, and distributions do not: what is shown here is that it is found
    and given its rate.
    """
    real = wrk.find_wrk()
    assert real is not None
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '"") echo "  -R, --rate <T>  work rate (throughput)"; exit 1;;\n'
        '"-v") echo "wrk 4.0.0 [epoll] Copyright"; exit 1;;\n'
        "esac\n"
        f'echo "$@" > {folder}/arguments\n'
        "shift 4\n"
        f'exec {real} -t1 -c2 -d1s "$@"\n'
    )
    path.chmod(0o755)
    return path


def run(script: Path, url: str) -> LoadResult:
    return closed_loop(url, script, connections=8, duration_s=1, core=None)


def own(folder: Path, text: str) -> Path:
    path = folder / "own.lua"
    path.write_text(text)
    return path


def test_all_scripts_run_under_wrk_and_count_what_the_server_counts(start: Start) -> None:
    """
    By hand, as their first lines say, and through the runner.
    """
    server = start("--port", "0", "--workers", "1", "--no-pin").wait_serving()
    url = f"http://127.0.0.1:{server.port}/whoami"
    before = server.metric("penstock_requests_total")
    names = [path.stem for path in sorted(SCRIPTS.glob("*.lua"))]

    def by_hand(name: str) -> str:
        words = ["wrk", "-t1", "-c4", "-d1s", "-s", str(script_named(name)), url]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor() as threads:
        printed = threads.map(by_hand, names)
        results = list(threads.map(lambda name: run(script_named(name), url), ["get", "post", "pipeline"]))

    assert names == ["browser", "connect", "get", "mix", "pipeline", "post"]
    for name, text in zip(names, printed, strict=True):
        assert "Socket errors" not in text
        # Of the welcome service, only POST and the mix ask for what is not there.
        assert "Non-2xx" not in text or name in ("post", "mix")
    get, post, pipeline = results
    assert get.requests > 0
    assert not get.error_count
    assert get.curve
    assert post.requests > 0
    assert pipeline.requests > 0
    assert not pipeline.error_count
    assert not pipeline.curve  # wrk has none that is right.
    assert server.metric("penstock_requests_total") - before > sum(result.requests for result in results)


def test_what_wrk_counts_the_server_has_counted() -> None:
    """
    Error pages too: a benchmark of those is no benchmark.
    """
    failing = Behaviour(answer=b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
    with ScriptedServer() as server, ScriptedServer(failing) as error_server, ThreadPoolExecutor() as threads:
        both = threads.map(run, [script_named("get")] * 2, [server.url, error_server.url])
        result, errors = both

    # wrk stops in the middle of its last requests: up to one for each connection is not in its count.
    assert 0 <= server.request_count - result.requests <= 8
    assert errors.errors["status"] == errors.requests > 0
    assert not result.error_count
    assert result.generator.startswith("wrk ")
    assert "-c8 -d1s" in result.command
    assert not result.is_open_loop
    assert list(result.curve) == sorted(result.curve)
    assert result.latency_us(50) <= result.latency_us(99) <= result.max_us
    assert result.generator_busy is not None


def test_a_script_keeps_its_own_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Ours are put around a user's `setup`, `init`, `request` and `done`.
    """
    script = own(
        tmp_path,
        'function setup(thread) thread:set("who", "me") end\n'
        'function init() path = "/" .. who end\n'
        "function request() return wrk.format(nil, path) end\n"
        'function done(summary) io.write("asked ", summary.requests, "\\n"); error("and tired") end\n',
    )
    with ScriptedServer() as server:
        result = run(script, server.url)

    assert set(server.targets) == {b"/me"}
    said = capsys.readouterr().err
    assert f"asked {result.requests}" in said
    assert "own.lua:4: and tired" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("function request( return", r"own\.lua:1: .*expected near"),
        ("no_such_thing()", r"own\.lua:1: attempt to call global 'no_such_thing'"),
        ("function init() error('out of order') end", r"own\.lua:1: out of order"),
        ("function request() error('no more') end", r"own\.lua:1: no more"),
    ],
)
def test_an_error_in_a_script_is_said_before_any_load(tmp_path: Path, text: str, told: str) -> None:
    """
    Wrk alone would say so, and load the server with GET / all the same.
    """
    with ScriptedServer() as server, pytest.raises(LoadFailed, match=told):
        run(own(tmp_path, text), server.url)

    assert server.request_count == 0


def test_nobody_at_the_address_is_said() -> None:
    with pytest.raises(LoadFailed, match="unable to connect"):
        run(script_named("get"), "http://127.0.0.1:1/")


def test_wrk2_is_told_by_its_rate_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = wrk.find_wrk()
    assert real is not None
    assert not wrk.is_wrk2(real)
    monkeypatch.delenv("WRK2", raising=False)
    assert wrk.find_wrk2() is None

    path = stand_in_for_wrk2(tmp_path)
    monkeypatch.setenv("WRK2", str(path))
    assert wrk.find_wrk2() == str(path)
    assert wrk.find_wrk() == real

    monkeypatch.delenv("WRK2")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert wrk.find_wrk2() == str(path)
    assert wrk.find_wrk() is None


@pytest.mark.parametrize("value", ["/no/such/wrk2", "sh"])
def test_a_wrong_wrk2_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """
    Whoever sets it means it: another generator in its place would be a lie.
    """
    monkeypatch.setenv("WRK2", value)

    with pytest.raises(LoadFailed, match=f"WRK2={value} is not wrk2"):
        wrk.find_wrk2()


def test_wrk2_gets_the_rate_when_it_has_time_to_calibrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WRK2", str(stand_in_for_wrk2(tmp_path)))
    script = own(tmp_path, "function delay() return 50 end")
    with ScriptedServer() as server:
        long = open_loop(server.url, script, rate=40.0, connections=2, duration_s=15, core=None)
        short = open_loop(server.url, script, rate=40.0, connections=2, duration_s=0.2, core=None)

    assert (tmp_path / "arguments").read_text().startswith("-t1 -c2 -d15s -R40 -s ")
    assert long.generator == "wrk2 4.0.0"
    assert long.command.startswith("wrk2 -t1 -c2 -d15s -R40 -s ")
    assert long.asked_rate == 40
    assert short.generator == "open-loop generator of Penstock"
    assert "wrk2 calibrates itself for 10 s" in capsys.readouterr().err
