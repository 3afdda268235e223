"""`penstock status`: finding a running server and asking it."""

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.master.cli.command import penstock
from penstock.master.cli.control import ANSWER_BYTES_MAX, ControlError, ask, live_sockets

ANSWER = {
    "master": {"pid": 4000, "state": "running", "generation": 1, "started_at": 0},
    "workers": [{"slot": 0, "core": 0, "pid": 4001, "state": "ready", "generation": 1}],
    "listeners": [],
    "upstreams": [],
}

NOBODY = 4_000_000_001

Serve = Callable[..., Path]


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answer: bytes


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.answer.startswith(b"HTTP/") or not self.server.answer:
            self.wfile.write(self.server.answer)
            return
        found = self.path == "/status"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for control sockets, short enough for their names, and nothing else of the machine's."""
    directory = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    # A user who runs nothing else here, so that what this machine runs is not found.
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    monkeypatch.delenv("PENSTOCK_CONTROL", raising=False)
    return directory


@pytest.fixture
def serve(runtime: Path) -> Iterator[Serve]:
    """Serve an answer on a control socket."""
    servers = []

    def serving(name: str = "penstock-8000.sock", answer: bytes = json.dumps(ANSWER).encode()) -> Path:
        path = runtime / name
        server = Server(str(path), Handler)
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return path

    yield serving
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def status(*words: str) -> Result:
    return CliRunner().invoke(penstock, ["status", *words])


def test_the_one_running_server_is_found(serve: Serve) -> None:
    """
    No option is needed.
    """
    serve()
    result = status()

    assert result.exit_code == 0, result.output
    assert result.output.startswith("penstock: running, generation 1\n")
    assert "├ worker" not in result.output
    assert "└ worker" in result.output


def test_programs_get_the_answer_as_it_is(serve: Serve) -> None:
    """
    Every key, also those that the table does not show.
    """
    serve()

    assert json.loads(status("--json").output) == ANSWER


def test_with_several_running_they_are_listed(serve: Serve) -> None:
    """
    A choice, in words that can be pasted.
    """
    first, second = serve("penstock-8000.sock"), serve("penstock-shop.sock")
    result = status()

    assert result.exit_code == 2
    assert result.output.splitlines()[-2:] == [f"  --control {first}", f"  --control {second}"]
    for words in (["--control", str(second)], [f"--control={first}"]):
        assert status(*words).exit_code == 0


def test_the_socket_can_be_named_by_a_variable(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As every option can.
    """
    serve("penstock-8000.sock")
    monkeypatch.setenv("PENSTOCK_CONTROL", str(serve("penstock-shop.sock")))

    assert status().exit_code == 0


def test_sockets_that_nobody_listens_on_are_passed_over(serve: Serve, runtime: Path) -> None:
    """
    A killed master leaves its socket file behind.
    """
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(runtime / "penstock-7000.sock"))
    stale.close()
    (runtime / "penstock-note.sock").write_text("a file")
    (runtime / "penstock-gone.sock").symlink_to("nowhere")
    path = serve()

    assert live_sockets([runtime / "missing", runtime], "penstock-", ".sock") == [path]
    assert status().exit_code == 0


def test_without_a_running_server_the_status_is_1(runtime: Path) -> None:
    """
    Not a usage error and not a failed start: there is nobody to ask.
    """
    result = status()

    assert result.exit_code == 1
    assert result.output == (
        f"penstock: no running server: no control socket in {runtime} or /tmp/penstock-{NOBODY}; "
        "name one with --control\n"
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"{}", "the answer is no status: Object missing required field `master`"),
        (b"hello", "the answer is no status: "),
        (b"\xff", "the answer is no status: "),
        (b'{"master": {"pid": "x"}}', "the answer is no status: "),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "answered 503 Busy"),
        (b"HTTP/9.9.9 garbage\r\n\r\n", "not an answer of Penstock"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the answer was cut short"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "not an answer of Penstock"),
        (b"", "not an answer of Penstock"),
    ],
)
def test_an_answer_that_makes_no_sense_is_told_in_one_line(serve: Serve, answer: bytes, told: str) -> None:
    """
    Another program on that path, or a server of another time.
    """
    serve(answer=answer)
    result = status()

    assert result.exit_code == 1
    assert result.output.startswith("penstock: ")
    assert told in result.output
    assert result.output.count("\n") == 1


def test_an_answer_without_an_end_is_cut_off(serve: Serve) -> None:
    """
    Its size is bounded, whoever sends it.
    """
    path = serve(answer=b"x" * (ANSWER_BYTES_MAX + 1))

    with pytest.raises(ControlError, match="answered more than 16 MiB"):
        ask(path, "/status")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing", "no such socket"),
        ("stale", "nobody listens there any more"),
        ("file", "Connection refused|nobody"),
    ],
)
def test_a_socket_that_was_named_and_does_not_answer_is_told(runtime: Path, name: str, told: str) -> None:
    """
    The path, and what is wrong with it.
    """
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(runtime / "stale"))
    stale.close()
    (runtime / "file").write_text("")

    with pytest.raises(ControlError, match=told) as caught:
        ask(runtime / name, "/status")
    assert str(runtime / name) in str(caught.value)
    assert status("--control", str(runtime / name)).exit_code == 1


def test_a_path_that_no_socket_can_have_is_told(runtime: Path) -> None:
    """
    The kernel takes 107 bytes.
    """
    with pytest.raises(ControlError):
        ask(runtime / ("x" * 200), "/status")
    assert status("--control", str(runtime / ("x" * 200))).exit_code == 1
