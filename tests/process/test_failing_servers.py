"""Servers that stop, die and fail under load, and what the clients of a gateway see of it."""

import http.client
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import DEADLINE_S, Server, free_port, get, wait_for, write_app

Start = Callable[..., Server]

# Answers with its name, or with 503 while there is a file that says so; and counts.
APP = """
import os

count = 0

async def app(scope, receive, send):
    global count
    is_sick = os.path.exists("sick")
    body = os.environ["NAME"].encode()
    if scope["path"] == "/count":
        is_sick, body = False, str(count).encode()
    elif is_sick:
        count += 1
    await send({"type": "http.response.start", "status": 503 if is_sick else 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
"""
CLIENTS = 12
TCP_ESTABLISHED = 1


class Load:
    """Clients that ask without a pause."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = threading.Event()
        self.good: Counter[str] = Counter()
        self.bad: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        while not self._is_over.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                body = response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.bad.append(repr(error))
                connection.close()
                continue
            if response.status == 200:
                self.good[body] += 1
            else:
                self.bad.append(f"{response.status} {body}")
        connection.close()

    @property
    def count(self) -> int:
        """Count all answers."""
        return sum(self.good.values()) + len(self.bad)

    def go_on_for(self, count: int) -> None:
        """Wait for so many more answers."""
        until = self.count + count
        wait_for(lambda: self.count >= until, f"{count} more answers")

    def end(self) -> None:
        """Stop asking."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)


def is_established(sock: socket.socket) -> bool:
    """Ask the kernel whether both sides are open."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED
    except OSError:
        return False


def start_backend(start: Start, folder: Path, name: str, port: int) -> Server:
    """Start a server of one worker in a folder of its own."""
    own = folder / name
    own.mkdir(exist_ok=True)
    write_app(own, APP)
    return start(
        *("main:app", "--workers", "1", "--no-pin", "--port", str(port), "--app-dir", str(own)),
        *("--control", str(own / "control.sock")),
        cwd=own,
        admin=False,
        env={"NAME": name},
    )


def test_of_six_servers_one_stops_one_dies_one_fails_and_all_come_back(start: Start, tmp_path: Path) -> None:
    """
    At most one request in a thousand fails, none once they are out; then single requests try them.
    """
    ports = {name: free_port() for name in "abcdef"}
    servers = {name: start_backend(start, tmp_path, name, port) for name, port in ports.items()}
    for server in servers.values():
        server.wait_serving()
    path = tmp_path / "gateway.yaml"
    addresses = ", ".join(f"'127.0.0.1:{port}'" for port in ports.values())
    path.write_text(
        "workers: 1\npin: false\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{proxy: all}]}]\n"
        f"upstreams: {{all: {{servers: [{addresses}], timeouts: {{first_byte: 1s}},\n"
        "  ejection: {base_time: 1s, max_time: 2s}}}\n"
    )
    gateway = start("-c", str(path)).wait_serving()
    load = Load(gateway.port)
    try:
        load.go_on_for(3000)
        assert set(load.good) == set("abcdef")

        stopped = [*(each.pid for each in servers["d"].children()), servers["d"].pid]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        servers["e"].clean_up()
        (tmp_path / "f" / "sick").touch()

        def is_out(name: str) -> bool:
            return f"127.0.0.1:{ports[name]}: out of service" in gateway.output()

        wait_for(lambda: all(is_out(name) for name in "def"), "three servers out of service")
        failed_before = len(load.bad)
        load.go_on_for(6000)
        assert len(load.bad) == failed_before, load.bad
        assert failed_before <= load.count / 1000, load.bad

        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        (tmp_path / "f" / "sick").unlink()
        servers["e"] = start_backend(start, tmp_path, "e", ports["e"]).wait_serving()
        before = load.good.copy()
        wait_for(lambda: all(load.good[name] > before[name] + 50 for name in "def"), "traffic to all again")
        assert len(load.bad) == failed_before, load.bad
    finally:
        load.end()
    # While it was out it had one request each time, beside those that were on their way when it was put out.
    ejections = gateway.metric("penstock_upstream_ejections_total", server=f"127.0.0.1:{ports['f']}")
    assert int(get(ports["f"], "/count")[1]) <= 5 + CLIENTS + ejections


def test_workers_share_a_limit_of_connections(start: Start, tmp_path: Path) -> None:
    """
    Three workers and two connections: the server never has a third, and every request is answered.
    """
    open_now: set[socket.socket] = set()
    most = 0
    is_over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    threads = []

    def serve(sock: socket.socket) -> None:
        nonlocal most
        open_now.add(sock)
        # One that has ended at the other side may not have been noticed here.
        most = max(most, sum(is_established(each) for each in open_now.copy()))
        with sock:
            try:
                while data := sock.recv(65536):
                    for _ in range(data.count(b"\r\n\r\n")):
                        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
            except OSError:
                pass
            open_now.discard(sock)

    def accept() -> None:
        while not is_over.is_set():
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(sock,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "workers: 3\npin: false\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{proxy: one}]}]\n"
        f"upstreams: {{one: {{servers: ['127.0.0.1:{listening.getsockname()[1]}'],\n"
        "  connections: {max: 2, scope: machine, queue_timeout: 30s}}}\n"
    )
    gateway = start("-c", str(path)).wait_serving()
    gateway.wait_generation(1, 3)
    load = Load(gateway.port)
    try:
        load.go_on_for(300)
        gateway.signal(signal.SIGHUP)
        gateway.wait_generation(2, 3)
        load.go_on_for(300)
        os.kill(gateway.status()["workers"][0]["pid"], signal.SIGKILL)
        gateway.wait_status(
            lambda status: (
                all(each["state"] == "ready" for each in status["workers"]) and len(status["workers"]) == 3
            ),
            "another worker",
        )
        load.go_on_for(300)
    finally:
        load.end()
        is_over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join(DEADLINE_S)
    # The killed one took its clients along, and nobody else failed.
    assert not [each for each in load.bad if each[:3].isdecimal()], load.bad
    assert 1 <= most <= 2
