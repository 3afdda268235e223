"""
Idle keep-alive connections outlive the workers that held them.

The clients here never look for a FIN before they write, and never connect anew:
what is lost shows.
"""

import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app

Start = Callable[..., Server]

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

# Says who answers: pid and the client's port; /slow waits for a file.
WHO = """
import asyncio
import os
import pathlib

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/slow":
        pathlib.Path("begun").touch()
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
    body = f"{os.getpid()} {scope['client'][1] if scope['client'] else 0}".encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
"""


class Lasting:
    """A connection that is asked over and over."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(address)
        self.port = 0 if isinstance(address, str) else self.sock.getsockname()[1]

    def send(self, request: bytes = REQUEST) -> None:
        """Ask, without looking whether the connection still stands."""
        self.sock.sendall(request)

    def read(self) -> int:
        """Read one answer; return the pid of the worker, or fail."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = self.sock.recv(65536)
            assert part, f"the connection ended after {answer!r}"
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"connection: close" not in head.lower()
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < size:
            body += self.sock.recv(65536)
        pid, port = body.split()
        assert int(port) == self.port
        return int(pid)

    def ask(self) -> int:
        """Ask and read."""
        self.send()
        return self.read()


@contextmanager
def lasting(address: tuple[str, int] | str, count: int) -> Iterator[list[Lasting]]:
    """Open connections and ask once on each."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = Lasting(address)
            stack.callback(client.sock.close)
            client.ask()
            clients.append(client)
        yield clients


class Talk:
    """Has connections asked all along, with pauses of many lengths, in threads of their own."""

    def __init__(self, clients: list[Lasting], threads: int = 4) -> None:
        self._stop = threading.Event()
        self.failures: list[str] = []
        self.count = 0
        self._threads = [
            threading.Thread(target=self._run, args=(clients[index::threads],)) for index in range(threads)
        ]

    def __enter__(self) -> "Talk":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_more(self, count: int) -> None:
        """Wait until so many more requests were answered, or one was not."""
        until = self.count + count
        wait_for(lambda: self.failures or self.count > until, "talk that goes on")

    def _run(self, clients: list[Lasting]) -> None:
        turn = 0
        while not self._stop.is_set() and not self.failures:
            turn += 1
            for index, client in enumerate(clients):
                try:
                    client.send()
                    client.read()
                except (OSError, AssertionError) as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    return
                self.count += 1
                self._stop.wait((turn * 7 + index * 3) % 20 / 1000)


def wait_parked(server: Server, count: int) -> None:
    """Wait until so many connections are parked."""
    wait_for(lambda: sum(map(parked_count, pids(server))) == count, f"{count} parked connections")
    wait_for(lambda: server.metric("penstock_connections", state="idle") == count, f"{count} that count")


def parked_count(pid: int) -> int:
    """Count what is in the second of a worker's two epoll sets."""
    sets = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "eventpoll" in str(file.readlink()):
                sets.append(int(file.name))
        except FileNotFoundError:
            pass  # Closed while we look.
    return Path(f"/proc/{pid}/fdinfo/{max(sets)}").read_text().count("tfd:")


def wait_other_than(before: set[int], server: Server) -> None:
    """Wait until the workers are not the same as before."""
    wait_for(lambda: pids(server) != before, "other workers")


def pids(server: Server) -> set[int]:
    """List the workers."""
    return {worker["pid"] for worker in server.status()["workers"]}


def test_connections_go_on_whatever_is_done_to_the_workers(start: Start, tmp_path: Path) -> None:
    """
    One roll, one hot restart, one worker less and one more, under talk: the same connections all along.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    server.wait_generation(1, workers=2)
    with lasting(("127.0.0.1", server.port), 40) as clients:
        quiet, talking = clients[:20], clients[20:]
        accepted = server.metric("penstock_connections_total")
        with Talk(talking) as talk:
            for generation, workers, number in (
                (2, 2, signal.SIGHUP),
                (3, 2, signal.SIGUSR2),
                (3, 1, signal.SIGTTOU),
                (3, 2, signal.SIGTTIN),
                (4, 2, signal.SIGHUP),
            ):
                before = pids(server)
                server.signal(number)
                wait_other_than(before, server)
                server.wait_generation(generation, workers)
                talk.wait_more(100)
                assert not talk.failures, f"{talk.failures}\n{server.output()}"
                assert {client.ask() for client in quiet} <= pids(server)
        assert not talk.failures, f"{talk.failures}\n{server.output()}"
        assert server.metric("penstock_connections_total") == accepted
        wait_parked(server, 40)


def test_several_hundred_parked_connections_survive_a_hot_restart(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    survive_hot_restart(server, 400)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_ten_thousand_idle_connections_survive_a_hot_restart(start: Start, tmp_path: Path) -> None:
    """
    The promise, in full.
    """
    needed = 10_000 + 2_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"ulimit -Hn is {hard}; {needed} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        write_app(tmp_path, WHO)
        server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
        survive_hot_restart(server, 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def survive_hot_restart(server: Server, count: int) -> None:
    """Have connections answered by the workers of another generation, each on its own connection."""
    server.wait_generation(1, workers=2)
    with lasting(("127.0.0.1", server.port), count) as clients:
        wait_parked(server, count)
        before = pids(server)
        server.signal(signal.SIGUSR2)
        server.wait_generation(2, workers=2)

        answered_by = [client.ask() for client in clients]

        assert set(answered_by) == pids(server)
        assert not set(answered_by) & before
        assert server.metric("penstock_connections_total") == count
        wait_parked(server, count)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2, signal.SIGTTOU])
def test_request_that_races_the_hand_over_is_answered(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """
    A worker that is stopped finds the order to drain and the requests at once, when it goes on.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    server.wait_generation(1, workers=2)
    with lasting(("127.0.0.1", server.port), 40) as clients:
        wait_parked(server, 40)
        for client in clients[::4]:
            client.ask()  # Not parked any more, but idle.
        stopped = [psutil.Process(pid) for pid in pids(server)]
        for worker in stopped:
            worker.suspend()
        try:
            server.signal(number)
            others = 2 if number != signal.SIGTTOU else 0
            server.wait_status(
                lambda status: (
                    sum(each["state"] == "draining" for each in status["workers"]) >= (2 if others else 1)
                ),
                "the stopped workers' order to drain",
            )
            for client in clients[::2]:
                client.send()
        finally:
            for worker in stopped:
                worker.resume()
        for client in clients[1::2]:
            client.send()
        for client in clients:
            client.read()
        left = {worker.pid for worker in stopped}
        wait_for(lambda: len(pids(server) & left) == (0 if others else 1), "the end of who drains")
        assert {client.ask() for client in clients} == pids(server)
        assert server.metric("penstock_connections_total") == 40


def test_connection_that_is_answered_during_the_drain_goes_on(start: Start, tmp_path: Path) -> None:
    """
    Its response does not say that it ends, and the next one comes from the successor.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    (before,) = pids(server)
    with lasting(("127.0.0.1", server.port), 2) as (plain, silent):
        plain.send(REQUEST.replace(b"/ ", b"/slow ", 1))
        wait_for((tmp_path / "begun").exists, "the request")
        server.signal(signal.SIGHUP)
        server.wait_status(lambda status: len(status["workers"]) == 2, "the successor")
        wait_for(lambda: silent.ask() != before, "the silent one at the successor")
        (tmp_path / "go").touch()
        assert plain.read() == before
        server.wait_generation(2, workers=1)
        assert {plain.ask(), silent.ask()} == pids(server) != {before}


def test_connections_over_a_unix_socket_go_on_too(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, WHO)
    path = str(tmp_path / "web.sock")
    server = start("main:app", "--uds", path, "--workers", "1").wait_serving()
    with lasting(path, 20) as clients:
        wait_parked(server, 20)
        server.signal(signal.SIGHUP)
        server.wait_generation(2, workers=1)
        assert {client.ask() for client in clients} == pids(server)


def test_connection_that_never_asked_goes_on_too(start: Start, tmp_path: Path) -> None:
    """
    Browsers open some ahead of need.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    client = Lasting(("127.0.0.1", server.port))
    with client.sock:
        wait_for(lambda: server.metric("penstock_connections_total") == 1, "the connection")
        server.signal(signal.SIGHUP)
        server.wait_generation(2, workers=1)
        assert {client.ask()} == pids(server)
        assert server.metric("penstock_connections_total") == 1


def test_stop_closes_idle_connections_at_once(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    with lasting(("127.0.0.1", server.port), 20) as clients:
        wait_parked(server, 20)
        assert server.stop() == 0
        assert {client.sock.recv(1) for client in clients} == {b""}


def test_nobody_to_take_them_is_no_reason_to_stay(start: Start, tmp_path: Path) -> None:
    """
    A lone worker that is told to end has no sibling: its idle connections end with it.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "1").wait_serving()
    (before,) = pids(server)
    with lasting(("127.0.0.1", server.port), 4) as clients:
        psutil.Process(before).terminate()
        wait_for(lambda: before not in pids(server), "the end of the worker")
        server.wait_generation(1, workers=1)
        for client in clients:
            assert client.sock.recv(1) == b""
    wait_for(lambda: server.metric("penstock_connections", state="idle") == 0, "a gauge of none")
