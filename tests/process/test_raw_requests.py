"""What the corpus says, by a real server over TCP; and its limit on requests at a time."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app
from tests.worker.http.corpus import fields, framing, request_lines, sequences
from tests.worker.http.corpus.case import Case
from tests.worker.http.corpus.driving import PROBE, read_answers

ROOT = Path(__file__).parents[2]
HELD = """
from pathlib import Path
import asyncio

async def app(scope, receive, send):
    if scope["path"] == "/held":
        Path("held").touch()
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    app, *options = request.param
    write_app(tmp_path, app)
    arguments = ["main:app", "--workers", "1", "--port", "0", "--lifespan", "off", *options]
    started = Server(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)


def ask(server: Server, case: Case) -> bytes:
    """Send a case, and read until the server closes: by itself, or after the answer to a probe."""
    received = b""
    with connect(server) as client:
        client.sendall(case.data)
        if case.end == "open":
            client.sendall(PROBE)
            client.shutdown(socket.SHUT_WR)
        while data := client.recv(65536):
            received += data
    return received


@pytest.mark.parametrize("server", [["from tests.worker.http.corpus.driving import app"]], indirect=True)
def test_a_real_server_answers_as_the_corpus_says(server: Server) -> None:
    """
    Also those that go on sending after they were refused: each reads its answer, and none a reset.
    """
    count = 0
    for case in (*request_lines.CASES, *fields.CASES, *framing.CASES, *sequences.CASES):
        if case.depends or case.limits or case.end == "waiting":
            continue
        outcome = read_answers(ask(server, case), case.heads)
        answers = [answer for answer in outcome.answers if answer != 100 or 100 in case.answers]
        assert answers == [*case.answers, *([200] if case.end == "open" else [])], case.name
        if case.end == "open":
            assert outcome.saw[-1]["path"] == "/probe", case.name
        count += 1
    assert count > 500
    assert server.output().count("Traceback") == server.output().count("RuntimeError: as it is asked to")
    assert server.stop() == 0


@pytest.mark.parametrize("server", [[HELD, "--limit-concurrency", "1"]], indirect=True)
def test_more_requests_than_allowed_are_turned_away(server: Server, tmp_path: Path) -> None:
    """
    At once, on a connection that stays, and the numbers say so.
    """
    with connect(server) as first, connect(server) as second:
        first.sendall(GET.replace(b"/ ", b"/held "))
        wait_for((tmp_path / "held").exists, "the app to be called")
        for _ in range(2):
            second.sendall(GET)
            answer = second.recv(65536)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in answer
        (tmp_path / "go").touch()
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        second.sendall(GET)
        assert second.recv(65536).startswith(b"HTTP/1.1 200 ")
    rejected = "penstock_requests_rejected_total"
    assert server.metric(rejected, listener="web", reason="concurrency") == 2
    assert server.metric("penstock_requests_total", listener="web", code="5xx") == 2
    assert server.output().count("turned away") == 1


@pytest.mark.parametrize(
    "server", [[HELD, "--limit-concurrency", "1", "--queue-timeout", "60"]], indirect=True
)
def test_more_requests_than_allowed_wait_for_their_turn(server: Server, tmp_path: Path) -> None:
    """
    None is turned away, and the drain of a stop still serves them.
    """
    with connect(server) as first, connect(server) as second, connect(server) as third:
        first.sendall(GET.replace(b"/ ", b"/held "))
        wait_for((tmp_path / "held").exists, "the app to be called")
        second.sendall(GET)
        third.sendall(GET)
        wait_for(lambda: server.metric("penstock_requests_queued", listener="web") == 2, "both to wait")
        (tmp_path / "go").touch()
        for client in (first, second, third):
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
