"""Instructions are counted by the real valgrind, of a real server."""

import sys
import textwrap
from pathlib import Path

import pytest
from bench import callgrind

# One at a time: each loads a server, and looks at what it counts.
pytestmark = pytest.mark.xdist_group("load")

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client = listener.accept()[0]
while client.recv(65536):
    for _ in range(int(sys.argv[2])):
        pass
    client.sendall({answer!r})
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def server(folder: Path, answer: bytes = OK) -> Path:
    """Write a server that answers each request, after a loop of a given length."""
    path = folder / "server.py"
    path.write_text(textwrap.dedent(SERVER).format(answer=answer))
    return path


def count(path: Path, rounds: int) -> float:
    """Count its instructions a request."""
    # Isolated, and without site: a start that is as short as can be.
    words = [sys.executable, "-I", "-S", str(path), "{port}", str(rounds)]
    return callgrind.instructions_per_request(words, GET, has_master=False)


def test_more_work_in_a_request_is_more_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    About twice the extra rounds, twice the extra instructions; the interpreter adapts to what it runs.
    """
    monkeypatch.setattr(callgrind, "REQUESTS_SHORT", 20)
    monkeypatch.setattr(callgrind, "REQUESTS_LONG", 2020)
    path = server(tmp_path)

    # Not beyond 256: larger numbers are objects that have to be made.
    none, some, more = (count(path, rounds) for rounds in (0, 120, 240))

    assert none < some < more
    assert more - none == pytest.approx(2 * (some - none), rel=0.5)


def test_a_server_that_answers_errors_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A cheap error page would look like a faster server.
    """
    monkeypatch.setattr(callgrind, "REQUESTS_LONG", 2)
    path = server(tmp_path, OK.replace(b"200 OK", b"500 No"))

    with pytest.raises(callgrind.CountFailed, match="not answered with 200"):
        count(path, 0)


@pytest.mark.parametrize("has_master", [True, False])
def test_a_server_that_ends_tells_its_last_words(has_master: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And nobody waits for it.
    """
    monkeypatch.setattr(callgrind, "START_S", 1000.0)
    words = [sys.executable, "-I", "-S", "-c", "raise SystemExit('no such app')"]

    with pytest.raises(callgrind.CountFailed, match="no such app"):
        callgrind.instructions_per_request(words, GET, has_master=has_master)


def test_a_file_without_a_total_is_no_count() -> None:
    """
    A process that was killed leaves half a file.
    """
    assert callgrind.total_in("events: Ir\nfn=(1) main\n1 7\n\ntotals: 7\n") == 7
    with pytest.raises(callgrind.CountFailed):
        callgrind.total_in("events: Ir\nfn=(1) main\n1 7\n")
