"""TCP options of a running server, read off its own sockets."""

import ctypes
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.process.harness import Server

Start = Callable[..., Server]

_SYS_PIDFD_GETFD = 438


@contextmanager
def sockets_of(pid: int) -> Iterator[list[socket.socket]]:
    """Borrow the TCP sockets of a process that descends from this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    found: list[socket.socket] = []
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).startswith("socket:"):
                fd = libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
                assert fd >= 0, os.strerror(ctypes.get_errno())
                found.append(socket.socket(fileno=fd))
        yield [each for each in found if each.family == socket.AF_INET]
    finally:
        os.close(pidfd)
        for each in found:
            each.close()


def keepalive_of(pid: int, port: int) -> list[int]:
    """Tell how long each socket of this port waits before it probes; 0 for never."""
    with sockets_of(pid) as sockets:
        return sorted(
            each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            else 0
            for each in sockets
            if each.getsockname()[1] == port
        )


def test_a_reload_changes_the_sockets_that_are_there_and_those_it_adds(start: Start, tmp_path: Path) -> None:
    """
    Queues stay, options change; a hot restart, which inherits the sockets, changes them as well.
    """
    file = tmp_path / "p.yaml"

    def write(workers: int, tcp: str) -> None:
        file.write_text(
            f"workers: {workers}\nlisteners:\n  - bind: 127.0.0.1:0\n    tcp: {tcp}\n"
            "    routes: [{respond: {body: good}}]\n"
        )

    write(1, "{}")
    server = start("-c", "p.yaml").wait_serving()
    assert keepalive_of(server.pid, server.port) == [90] * 8

    write(3, "{keepalive: {idle: 200s}}")
    server.signal(signal.SIGHUP)
    worker = server.wait_generation(2, workers=3)["workers"][0]["pid"]
    assert keepalive_of(server.pid, server.port) == [200] * 12
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        pids = [each["pid"] for each in server.status()["workers"]]
        assert worker in pids
        # Four lent shards each, and the connection on one of them: its clone has the option too.
        assert sorted(each for pid in pids for each in keepalive_of(pid, server.port)) == [200] * 13

    write(3, "{keepalive: none, defer_accept: 3s}")
    server.signal(signal.SIGUSR2)
    server.wait_generation(3, workers=3)
    assert keepalive_of(server.pid, server.port) == [0] * 12
    assert server.get("/")[1] == b"good"
