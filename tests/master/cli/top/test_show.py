"""The command `penstock top`, against a control socket that answers what it is told to."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from penstock.master.cli.command import penstock
from penstock.master.cli.control import ControlError
from penstock.master.cli.top.answers import make_reading
from penstock.master.cli.top.show import speaks_utf8
from penstock.master.cli.top.watcher import Recent, Watcher, read
from tests.master.cli.top.sample_answers import REQUESTS, SAMPLES, STATUS

Serve = Callable[..., Path]


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answers: Mapping[str, bytes]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.answers.get(self.path.partition("?")[0])
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[Path, list[str]]]]:
    """Serve answers on a control socket; gives its path and what it was asked."""
    path = tmp_path_factory.mktemp("run") / "control.sock"
    servers = []

    def serving(**answers: Any) -> tuple[Path, list[str]]:
        server = Server(str(path), Handler)
        server.answers = {
            f"/{name}": each if isinstance(each, bytes) else json.dumps(each).encode()
            for name, each in answers.items()
        }
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return path, server.asked

    yield serving
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def top(*words: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(penstock, ["top", *words])


def test_once_prints_a_frame(serve: Callable[..., tuple[Path, list[str]]]) -> None:
    """
    Of two readings, as wide as 80 columns where nothing says otherwise.
    """
    path, asked = serve(status=STATUS, samples=SAMPLES, requests=REQUESTS)
    result = top("--once", "--interval", "100ms", "--control", str(path))

    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("penstock shop 0.1.0  running  generation 3")
    assert [line.split()[:2] for line in lines[4:6]] == [["0", "4000"], ["1", "4001"]]
    assert "/reports/2024" in result.stdout
    assert max(map(len, lines)) <= 80
    assert asked.count("/status") == 2


def test_once_is_as_wide_as_its_terminal(serve: Callable[..., tuple[Path, list[str]]]) -> None:
    """
    `watch` tells by COLUMNS how wide that is.
    """
    path, _ = serve(status=STATUS, samples=SAMPLES, requests=REQUESTS)
    lines = top("--once", "--interval", "100ms", "--control", str(path), COLUMNS="50").stdout.splitlines()

    assert max(map(len, lines)) <= 50


def test_a_server_that_has_less_is_shown_all_the_same(serve: Callable[..., tuple[Path, list[str]]]) -> None:
    """
    During a hot restart to a newer release the older one may answer.
    """
    path, _ = serve(status=STATUS)
    result = top("--once", "--interval", "100ms", "--control", str(path))

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "requests in flight: -"
    reading = read(path)
    assert (reading.points, reading.requests) == (None, None)


@pytest.mark.parametrize("body", [b"no json", b"\xff", b"[" * 100_000, b"NaN"])
def test_an_answer_that_is_no_json_is_told(body: bytes, serve: Callable[..., tuple[Path, list[str]]]) -> None:
    """
    The socket may be somebody else's.
    """
    path, _ = serve(status=body)
    result = top("--once", "--control", str(path))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "penstock: the answer is no JSON\n"


def test_nobody_there_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    """
    As by `penstock status`.
    """
    result = top("--once", "--control", str(tmp_path / "none.sock"))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"penstock: {tmp_path}/none.sock: no such socket\n"
    with pytest.raises(ControlError):
        read(tmp_path / "none.sock")


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ("often", "found 'often', expected a duration such as 500ms"),
        ("2", "write 2s"),
        ("99ms", "expected a duration from 100ms to 1h"),
        ("2h", "expected a duration from 100ms to 1h"),
    ],
)
def test_an_interval_that_is_none_is_told(interval: str, told: str) -> None:
    """
    Before anybody is asked.
    """
    result = top("--interval", interval, "--control", "/nowhere")

    assert result.exit_code == 2
    assert f"--interval: {told}" in result.stderr or told in result.stderr


def test_without_a_terminal_the_other_way_is_named(serve: Callable[..., tuple[Path, list[str]]]) -> None:
    """
    One line, and nothing was asked.
    """
    path, asked = serve(status=STATUS)
    result = top("--control", str(path))

    assert (result.exit_code, result.stdout, asked) == (2, "", [])
    assert result.stderr == (
        "penstock: top: standard input and output are no terminal; `penstock top --once` prints one frame\n"
    )


@pytest.mark.parametrize(
    ("environ", "codeset", "is_utf8"),
    [
        ({"LANG": "de_DE.UTF-8"}, "UTF-8", True),
        ({"LANG": "C.UTF-8"}, "UTF-8", True),
        ({"LC_ALL": "C.UTF-8", "LC_CTYPE": "C.UTF-8"}, "utf8", True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "UTF-8", False),  # as the interpreter makes it of C
        ({"LC_CTYPE": "C.UTF-8"}, "UTF-8", False),
        ({"LC_ALL": "C"}, "ANSI_X3.4-1968", False),
        ({"LANG": "de_DE"}, "ISO-8859-1", False),
    ],
)
def test_a_terminal_that_speaks_no_utf_8_is_known_by_its_locale(
    environ: dict[str, str], codeset: str, is_utf8: bool
) -> None:
    """
    Else every cut text would end in three wrong characters.
    """
    assert speaks_utf8(environ, codeset) is is_utf8


def test_a_bug_of_the_watcher_ends_the_command(
    serve: Callable[..., tuple[Path, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Rather than show the same numbers for ever.
    """
    path, _ = serve(status=STATUS)
    first = read(path)
    told = threading.Event()
    watcher = Watcher(path, 0.01, told.set)
    monkeypatch.setattr("penstock.master.cli.top.watcher.make_reading", lambda *_: 1 / 0)
    watcher.start(first)
    assert told.wait(30.0)

    with pytest.raises(ZeroDivisionError):
        watcher.view()


def test_rates_are_reckoned_over_two_seconds_or_what_there_is() -> None:
    """
    Over a tenth of a second they would jump.
    """

    def at(seconds: float, pid: int = 1) -> Any:
        return make_reading(seconds, 0.0, {"master": {"pid": pid}}, None, None)

    recent = Recent()
    assert recent.view("why").current is None
    recent.add(at(0.0))
    assert recent.view().before is None
    spans = []
    for tenth in range(1, 100):
        recent.add(at(tenth / 10))
        view = recent.view()
        assert view.current is not None
        assert view.before is not None
        spans.append(view.current.at_s - view.before.at_s)
    assert spans[0] == 0.1
    assert max(spans) < 2.11
    assert min(spans[25:]) > 1.99
    recent.add(at(20.0))
    assert recent.view().before == at(9.9)
    recent.add(at(21.0, pid=2))
    assert recent.view().before is None
