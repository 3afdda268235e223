"""The PROXY protocol of a whole server: behind HAProxy, with curl, and through rolls and hot restarts."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.proxy_protocol.header import Endpoints, write_v2
from tests.process.harness import DEADLINE_S, Server, free_port, wait_for, write_app
from tests.process.test_idle_connections import wait_parked
from tests.worker.proxy_protocol.writing import write_v1
from tests.worker.tls.pki import make

Start = Callable[..., Server]

APP = """
import json, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    told = {name: scope[name] for name in ("client", "scheme", "server")}
    told["pid"] = os.getpid()
    body = json.dumps(told).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["REMOTE_ADDR"].encode()]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
REJECTED = "penstock_proxy_protocol_rejected_total"


@contextmanager
def haproxy(folder: Path, upstream: int, sends: str) -> Iterator[int]:
    """Run HAProxy as a load balancer of TCP, on another loopback address."""
    port = free_port()
    (folder / "haproxy.cfg").write_text(
        "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend in\n  bind 127.0.0.7:{port}\n  default_backend out\n"
        f"backend out\n  server one 127.0.0.1:{upstream} {sends} check inter 100ms check-send-proxy\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")])

    def serves() -> bool:
        assert process.poll() is None, "HAProxy ended"
        try:
            socket.create_connection(("127.0.0.7", port), timeout=20).close()
        except OSError:
            return False
        return True

    try:
        wait_for(serves, "HAProxy")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def curl(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask as a user does."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_behind_haproxy_the_client_is_who_asked_haproxy(start: Start, tmp_path: Path, sends: str) -> None:
    """
    In the scope and in the access log; its health checks (LOCAL) are none of our business.
    """
    write_app(tmp_path, APP)
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--access-log", "--proxy-protocol",
        "--proxy-allow-from", "127.0.0.1,10.0.0.0/8",
    ).wait_serving()  # fmt: skip

    with haproxy(tmp_path, server.port, sends) as port:
        done = curl("--interface", "127.0.0.9", f"http://127.0.0.7:{port}/x")
        told = json.loads(done.stdout)
        assert told["client"][0] == "127.0.0.9"
        assert told["client"][1] not in {0, server.port}
        assert told["server"] == ["127.0.0.7", port]
        # What it writes itself is of a client that is not trusted.
        done = curl(
            "--interface", "127.0.0.9", "-H", "X-Forwarded-For: 6.6.6.6", f"http://127.0.0.7:{port}/y"
        )
        assert json.loads(done.stdout)["client"][0] == "127.0.0.9"
        wait_for(
            lambda: len(re.findall(r'^127\.0\.0\.9 .*"GET /[xy] HTTP/1\.1" 200', server.output(), re.M)) == 2,
            "two lines of the access log",
        )
        assert server.metric(REJECTED) == 0
    assert server.stop() == 0


def test_behind_haproxy_that_passes_tls_on(start: Start, tmp_path: Path) -> None:
    """
    The header is in clear text before the handshake, which HAProxy has no part in.
    """
    write_app(tmp_path, APP)
    pair = make(tmp_path, "server", names=("localhost",))
    server = start(
        "main:app", "--port", "0", "--workers", "2", "--proxy-protocol", "auto",
        "--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key),
    ).wait_serving()  # fmt: skip

    with haproxy(tmp_path, server.port, "send-proxy-v2") as port:
        for version in ("1.2", "1.3"):
            done = curl(
                "--interface", "127.0.0.9", "--cacert", str(pair.cert), "--tls-max", version,
                "--resolve", f"localhost:{port}:127.0.0.7", f"https://localhost:{port}/",
            )  # fmt: skip
            told = json.loads(done.stdout)
            assert told["client"][0] == "127.0.0.9"
            assert told["scheme"] == "https"
    assert server.metric(REJECTED) == 0


def test_curl_with_and_without_a_header(start: Start, tmp_path: Path) -> None:
    """
    What is missing is told to who asked, to the log once, and in the metrics.
    """
    write_app(tmp_path, WSGI)
    server = start("main:app", "--port", "0", "--workers", "1", "--proxy-protocol").wait_serving()

    done = curl("--haproxy-protocol", f"http://127.0.0.1:{server.port}/")
    assert done.stdout == "127.0.0.1"
    for _ in range(3):
        done = curl("-i", f"http://127.0.0.1:{server.port}/")
        assert done.stdout.startswith("HTTP/1.1 400 ")
        assert "PROXY protocol header" in done.stdout
    with told_connection(server.port, write_v1(Endpoints(("203.0.113.9", 1), ("10.0.0.1", 2)))) as client:
        client.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert read_all(client).endswith(b"203.0.113.9")

    wait_for(lambda: server.metric(REJECTED, listener="web", reason="missing") == 3, "three that count")
    assert server.output().count("began without a PROXY header") == 1


def test_stranger_is_closed(start: Start, tmp_path: Path) -> None:
    """
    Also when it writes a header: it must never set an address.
    """
    write_app(tmp_path, APP)
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--proxy-protocol", "--proxy-allow-from", "10.0.0.0/8"
    ).wait_serving()

    with told_connection(server.port, write_v1(Endpoints(("203.0.113.9", 1), ("10.0.0.1", 2)))) as client:
        try:
            assert client.recv(100) == b""
        except ConnectionResetError:
            pass
    wait_for(lambda: server.metric(REJECTED, reason="stranger") == 1, "one that counts")


def test_idle_connections_keep_what_was_told_of_them(start: Start, tmp_path: Path) -> None:
    """
    Through a roll and a hot restart, parked and given away, and the clients' connections stay.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "2", "--proxy-protocol").wait_serving()
    server.wait_generation(1, workers=2)
    with ExitStack() as stack:
        clients = []
        for number in range(40):
            told = Endpoints((f"203.0.113.{number}", 4000 + number), ("10.0.0.1", 80))
            write = write_v2 if number % 2 else write_v1
            clients.append((told, stack.enter_context(told_connection(server.port, write(told)))))
        plain = stack.enter_context(told_connection(server.port, write_v1(None)))

        def ask_all() -> set[int]:
            answers = [(told, ask(client)) for told, client in clients]
            assert [each["client"] for _, each in answers] == [list(told.client) for told, _ in answers]
            assert all(each["server"] == ["10.0.0.1", 80] for _, each in answers)
            assert ask(plain)["client"] == list(plain.getsockname())
            return {each["pid"] for _, each in answers}

        before = ask_all()
        for generation, order in ((2, signal.SIGHUP), (3, signal.SIGUSR2)):
            wait_parked(server, 41)
            server.signal(order)
            server.wait_generation(generation, workers=2)
            after = ask_all()
            assert not after & before
            before = after
    assert server.metric(REJECTED) == 0
    assert "Traceback" not in server.output()


def test_connection_that_waits_for_its_header_is_not_lost_in_a_roll(start: Start, tmp_path: Path) -> None:
    """
    It was accepted by a worker that is to end, and goes on at its successor.
    """
    write_app(tmp_path, APP)
    (tmp_path / "p.yaml").write_text(
        "workers: 2\nlisteners:\n  - bind: 127.0.0.1:0\n    proxy_protocol: {from: [127.0.0.1], timeout: 1m}"
        "\n    routes: [{app: 'main:app'}]\n"
    )
    server = start("-c", "p.yaml").wait_serving()
    server.wait_generation(1, workers=2)
    header = write_v1(Endpoints(("203.0.113.9", 4711), ("10.0.0.1", 80)))
    cuts = (0, 1, 20, len(header) - 1)
    for generation, order in ((2, signal.SIGHUP), (3, signal.SIGUSR2)):
        with ExitStack() as stack:
            halves = [stack.enter_context(told_connection(server.port, header[:at])) for at in cuts]
            wait_for(lambda: server.metric("penstock_connections", state="idle") == 4, "four connections")
            server.signal(order)
            server.wait_status(
                lambda status: "draining" in [worker["state"] for worker in status["workers"]], "a drain"
            )
            for client, at in zip(halves, cuts, strict=True):
                client.sendall(header[at:])
                assert ask(client)["client"] == ["203.0.113.9", 4711]
            server.wait_generation(generation, workers=2)
            for client in halves:
                assert ask(client)["client"] == ["203.0.113.9", 4711]
        wait_for(lambda: server.metric("penstock_connections") == 0, "nobody")
    assert server.metric(REJECTED) == 0


def test_upstream_is_told_of_the_client_that_was_told(start: Start, tmp_path: Path) -> None:
    """
    In X-Forwarded-For, with the first request of a connection, the next, and after it was parked.
    """
    write_app(tmp_path, APP)
    (tmp_path / "behind").mkdir()
    write_app(tmp_path / "behind", APP)
    behind = start("main:app", "--port", "0", "--workers", "1", cwd=tmp_path / "behind").wait_serving()
    (tmp_path / "p.yaml").write_text(
        "workers: 1\nlisteners:\n  - bind: 127.0.0.1:0\n    proxy_protocol: true\n"
        f"    routes: [{{proxy: 'http://127.0.0.1:{behind.port}'}}]\n"
    )
    server = start("-c", "p.yaml").wait_serving()

    with told_connection(server.port, write_v2(Endpoints(("203.0.113.9", 4711), ("10.0.0.1", 80)))) as client:
        for _ in range(3):
            assert ask(client)["client"][0] == "203.0.113.9"
        wait_parked(server, 1)
        for _ in range(3):
            assert ask(client)["client"][0] == "203.0.113.9"


@contextmanager
def told_connection(port: int, header: bytes) -> Iterator[socket.socket]:
    """Connect as a load balancer does."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
        sock.sendall(header)
        yield sock


def ask(sock: socket.socket) -> dict[str, Any]:
    """Ask on a connection that stays."""
    sock.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"}"):
        part = sock.recv(65536)
        assert part, f"the connection ended after {answer!r}"
        answer += part
    return json.loads(answer.partition(b"\r\n\r\n")[2])  # type: ignore[no-any-return]


def read_all(sock: socket.socket) -> bytes:
    """Read until it is closed."""
    found = b""
    while part := sock.recv(65536):
        found += part
    return found
