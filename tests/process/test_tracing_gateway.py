"""Spans of a gateway at a real receiver: one for the request, one for each attempt below it."""

import http.client
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.collector import Collector
from tests.process.harness import DEADLINE_S, Server, free_port, wait_for

Start = Callable[..., Server]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SERVER, CLIENT = 2, 3
ERROR = 2


class Backend(http.server.ThreadingHTTPServer):
    """A server that notes what it is sent; /missing, /hang and /cut answer as they are called."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.heard: list[dict[str, str]] = []
        self.goes_on = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Backend
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.heard.append({name.lower(): value for name, value in self.headers.items()})
        if self.path == "/hang":
            self.server.goes_on.wait(DEADLINE_S)
            self.close_connection = True
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", "10" if self.path == "/cut" else "5")
        self.end_headers()
        self.wfile.write(b"hello")
        self.close_connection = self.path == "/cut"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a receiver that answers."""
    running = Collector()
    yield running
    running.close()


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Give a server that answers."""
    running = Backend()
    yield running
    running.goes_on.set()
    running.shutdown()
    running.server_close()
    running.thread.join(DEADLINE_S)


def serve(start: Start, folder: Path, collector: Collector, *addresses: str, more: str = "") -> Server:
    path = folder / "gateway.yaml"
    servers = ", ".join(f"'{each}'" for each in addresses)
    path.write_text(
        "workers: 1\nrequest_id: true\n"
        f"tracing: {{endpoint: '{collector.url}'{more}}}\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{name: all, proxy: backend}]}]\n"
        f"upstreams: {{backend: {{servers: [{servers}], balance: round_robin}}}}\n"
    )
    return start("-c", str(path)).wait_serving()


def test_each_attempt_is_a_span_and_the_last_one_the_servers_parent(
    start: Start, tmp_path: Path, collector: Collector, backend: Backend
) -> None:
    """
    The trace goes on from the client through the gateway to the server; so does tracestate.
    """
    nobody, port = free_port(), backend.server_address[1]
    server = serve(start, tmp_path, collector, f"127.0.0.1:{nobody}", f"127.0.0.1:{port}")
    sent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}
    for _ in range(2):  # It is the one server's turn and then the other's.
        assert server.get("/x?secret=1", **sent)[0] == 200
    server.stop()

    spans = collector.wait_spans(5, "penstock")
    [parent] = [span["parent"] for span in spans if span.get("server.port") == nobody]
    spans = [span for span in spans if parent in (span["id"], span["parent"])]
    assert {span["trace"] for span in spans} == {TRACE}
    [request] = [span for span in spans if span["kind"] == SERVER]
    assert (request["parent"], request["name"], request["status"]) == (SPAN, "GET all", 0)
    failed, answered = sorted(
        (span for span in spans if span["kind"] == CLIENT), key=lambda span: span["server.port"] == port
    )
    assert failed["parent"] == answered["parent"] == request["id"]
    assert (failed["status"], failed["error.type"], failed["server.port"]) == (ERROR, "connect", nobody)
    assert "http.response.status_code" not in failed
    assert answered["name"] == answered["http.request.method"] == "GET"
    assert answered["http.response.status_code"] == 200
    assert answered["http.request.resend_count"] == 1
    assert answered["url.full"] == f"http://127.0.0.1:{port}/x"
    assert (answered["server.address"], answered["penstock.upstream"]) == ("127.0.0.1", "backend")
    assert (answered["status"], answered["network.protocol.version"]) == (0, "1.1")
    assert failed["ns"] + answered["ns"] <= request["ns"]

    [heard] = [each for each in backend.heard if answered["id"] in each["traceparent"]]
    assert heard["traceparent"] == f"00-{TRACE}-{answered['id']}-01"
    assert heard["tracestate"] == "a=1"
    assert re.fullmatch("[0-9a-f]{32}", heard["x-request-id"])


def test_what_goes_wrong_is_told(
    start: Start, tmp_path: Path, collector: Collector, backend: Backend
) -> None:
    """
    A 4xx is the client span's error and not the request's; a body that broke off; a client that left.
    """
    server = serve(start, tmp_path, collector, f"127.0.0.1:{backend.server_address[1]}")
    assert server.get("/missing")[0] == 404
    with pytest.raises(http.client.IncompleteRead):
        server.get("/cut")
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: len(backend.heard) == 3, "the third request")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    spans = collector.wait_spans(6, "penstock")
    by_path = {span["url.path"]: span for span in spans if span["kind"] == SERVER}
    below = {span["parent"]: span for span in spans if span["kind"] == CLIENT}
    missing, cut, left = (by_path[path] for path in ("/missing", "/cut", "/hang"))
    assert (missing["status"], below[missing["id"]]["status"]) == (0, ERROR)
    assert below[missing["id"]]["error.type"] == "404"
    assert (cut["penstock.is_cut"], below[cut["id"]]["error.type"]) == (True, "closed")
    assert below[cut["id"]]["http.response.status_code"] == 200
    assert (left["penstock.is_cut"], below[left["id"]]["penstock.is_cut"]) == (True, True)
    assert "http.response.status_code" not in left


def test_a_request_that_is_not_sampled_says_so_to_the_server(
    start: Start, tmp_path: Path, collector: Collector, backend: Backend
) -> None:
    """
    A server whose sampler follows parents records what the gateway does, and nothing else.
    """
    address = f"127.0.0.1:{backend.server_address[1]}"
    server = serve(start, tmp_path, collector, address, more=", sample: 0")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    sent = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=1"}
    for headers in ({}, {}, {}, sent, sent, sent, {"traceparent": "nonsense"}):
        connection.request("GET", "/", headers=headers)
        assert connection.getresponse().read() == b"hello"
    connection.close()
    server.stop()
    parents = [heard["traceparent"] for heard in backend.heard]
    assert parents[3:6] == [sent["traceparent"]] * 3
    assert [heard.get("tracestate") for heard in backend.heard[3:6]] == ["a=1"] * 3
    made = [*parents[:3], parents[6]]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", each) for each in made)
    assert len(set(made)) == 4
    assert len({heard["x-request-id"] for heard in backend.heard}) == 7
    assert collector.spans() == []
