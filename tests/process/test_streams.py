"""Server-sent events while the workers are replaced: each stream ends as its app wants it to."""

import http.client
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.process.harness import DEADLINE_S, Server, write_app
from tests.process.test_addresses import make_certificate

Start = Callable[..., Server]

# Says who it is; /events goes on until it is told to end, /deaf for ever.
APP = """
import asyncio
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    name = str(os.getpid()).encode()
    if scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": name})
        return
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: " + name + b"\\n\\n", "more_body": True})
    if scope["path"] == "/deaf":
        await asyncio.Event().wait()
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b"data: goodbye\\n\\n", "more_body": True})
    await send({"type": "http.response.body"})
"""


class Listener:
    """A client of server-sent events."""

    def __init__(self, port: int, path: str, tls: ssl.SSLContext | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        if tls is not None:
            self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE_S, context=tls)
        self.connection.request("GET", path)
        self.response = self.connection.getresponse()
        self.source = int(self.response.readline().removeprefix(b"data: "))

    def read(self) -> bytes:
        """Read to the end; a body that has no proper one raises IncompleteRead."""
        return self.response.read()

    def ask(self) -> int:
        """Ask something else on the same connection; return who answers."""
        local = self.connection.sock.getsockname()
        self.connection.request("GET", "/")
        answer = self.connection.getresponse().read()
        assert self.connection.sock.getsockname() == local
        return int(answer)


@contextmanager
def listening(
    port: int, count: int, path: str = "/events", tls: ssl.SSLContext | None = None
) -> Iterator[list[Listener]]:
    """Listen with so many clients."""
    with ExitStack() as stack:
        listeners = []
        for _ in range(count):
            listener = Listener(port, path, tls)
            stack.callback(listener.connection.close)
            listeners.append(listener)
        yield listeners


def pids(server: Server) -> set[int]:
    """List the workers."""
    return {worker["pid"] for worker in server.status()["workers"]}


def test_event_streams_end_properly_in_a_roll(start: Start, tmp_path: Path) -> None:
    """
    All within the drain, and the next request on the same connection finds the successor.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "1", "--timeout-stream-drain", "0.5")
    server.wait_serving()
    (before,) = pids(server)
    with listening(server.port, 20) as listeners:
        assert {each.source for each in listeners} == {before}
        server.signal(signal.SIGHUP)

        for each in listeners:
            assert each.read() == b"\ndata: goodbye\n\n"

        server.wait_generation(2, workers=1)
        assert {each.ask() for each in listeners} == pids(server) != {before}
        assert server.metric("penstock_connections_total") == 20
    assert "cut off" not in server.output()
    assert server.stop() == 0


def test_event_streams_under_tls_end_properly_and_then_their_connections(
    start: Start, tmp_path: Path
) -> None:
    """
    They cannot move: each is closed, and its client connects anew.
    """
    certificate, key = make_certificate(tmp_path, "localhost")
    config = tmp_path / "penstock.yaml"
    config.write_text(
        "workers: 1\nstream_drain_timeout: 500ms\nlisteners:\n  - bind: 127.0.0.1:0\n"
        f"    tls: {{certificates: [{{cert: {certificate}, key: {key}}}]}}\n"
        "    routes: [{app: 'main:app'}]\n"
    )
    write_app(tmp_path, APP)
    server = start("-c", str(config)).wait_serving()
    trust = ssl.create_default_context(cafile=str(certificate))
    trust.check_hostname = False
    with listening(server.port, 10, tls=trust) as listeners:
        server.signal(signal.SIGHUP)
        for each in listeners:
            assert each.read() == b"\ndata: goodbye\n\n"
        for each in listeners:
            assert each.connection.sock.recv(1) == b""
        server.wait_generation(2, workers=1)
    assert "cut off" not in server.output()
    assert server.stop() == 0


def test_event_streams_end_properly_in_a_stop(start: Start, tmp_path: Path) -> None:
    """
    Nobody waits for the whole of the drain timeout because somebody listens.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "2", "--timeout-stream-drain", "0").wait_serving()
    with listening(server.port, 20) as listeners:
        server.signal(signal.SIGTERM)
        for each in listeners:
            assert each.read() == b"\ndata: goodbye\n\n"
    assert server.wait_exit() == 0
    assert "cut off" not in server.output()


def test_stream_that_does_not_listen_is_cut_off_at_the_deadline(start: Start, tmp_path: Path) -> None:
    """
    The neighbour: a drain has an end, whatever an app does.
    """
    write_app(tmp_path, APP)
    options = ("--timeout-graceful-shutdown", "1", "--timeout-stream-drain", "0")
    server = start("main:app", "--port", "0", "--workers", "1", *options).wait_serving()
    with listening(server.port, 1, "/deaf") as (deaf,):
        server.signal(signal.SIGHUP)
        try:
            deaf.read()
        except (http.client.IncompleteRead, ConnectionError):
            was_cut = True
        else:
            was_cut = False
        server.wait_generation(2, workers=1)
    assert was_cut
    assert "cut off 1 connections" in server.output()
    assert server.stop() == 0
