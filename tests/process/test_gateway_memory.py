"""A gateway in a real process with more to pass on than anybody takes: what it grows by."""

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from penstock.worker.limits import PASSAGE_BYTES_MAX
from tests.process.harness import DEADLINE_S, Server, wait_for

Start = Callable[..., Server]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW_COUNT = 200
MEBIBYTE = 1 << 20


class Fountain:
    """A server that answers every request with as many bytes as it is to, chunked or counted."""

    def __init__(self) -> None:
        self.size = 0
        self.is_chunked = False
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(DEADLINE_S)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._visited, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = bytes(MEBIBYTE)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                framing = (
                    b"Transfer-Encoding: chunked" if self.is_chunked else b"Content-Length: %d" % self.size
                )
                writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
                for _ in range(self.size // MEBIBYTE):
                    writer.write(b"%x\r\n" % MEBIBYTE + piece + b"\r\n" if self.is_chunked else piece)
                    await writer.drain()
                if self.is_chunked:
                    writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
def fountain() -> Iterator[Fountain]:
    """Run one."""
    with closing(Fountain()) as it:
        yield it


def gateway(start: Start, folder: Path, port: int, pool: str = "") -> Server:
    """Start a gateway of one worker."""
    path = folder / "gateway.yaml"
    path.write_text(
        "workers: 1\nlisteners: [{bind: '127.0.0.1:0', routes: [{proxy: backend}]}]\n"
        f"upstreams: {{backend: {{servers: ['127.0.0.1:{port}']{pool}}}}}\n"
    )
    return start("-c", str(path)).wait_serving()


def worker_of(server: Server) -> psutil.Process:
    """Give its only worker."""
    return psutil.Process(server.status()["workers"][0]["pid"])


def ask(port: int, *, window: int | None = None) -> socket.socket:
    """Send a request, and read nothing."""
    sock = socket.socket()
    if window is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.settimeout(DEADLINE_S)
    sock.connect(("127.0.0.1", port))
    sock.sendall(GET)
    return sock


def is_resting(process: psutil.Process) -> Callable[[], bool]:
    """Make a question whether a process has done nothing since it was asked last."""
    before = -1.0

    def answer() -> bool:
        nonlocal before
        times = process.cpu_times()
        same, before = times.user + times.system - before < 0.005, times.user + times.system
        return same

    return answer


@pytest.mark.parametrize("is_chunked", [False, True])
def test_memory_is_bounded_with_many_slow_clients(
    start: Start, tmp_path: Path, fountain: Fountain, is_chunked: bool
) -> None:
    """
    Two hundred that read nothing, of responses of 1 GB each: the sum of limits.py, and others are served.
    """
    fountain.size, fountain.is_chunked = 1024 * MEBIBYTE, is_chunked
    server = gateway(start, tmp_path, fountain.port)
    worker = worker_of(server)
    before = worker.memory_info().rss
    fds = worker.num_fds()
    clients = [ask(server.port, window=4096) for _ in range(SLOW_COUNT)]
    wait_for(lambda: server.status()["workers"][0]["connections"] >= SLOW_COUNT, "all clients")
    resting = [is_resting(worker) for _ in range(5)]  # five looks in a row, each at its own pace
    for each in resting:
        wait_for(each, "the worker to wait for its clients")
    grown = worker.memory_info().rss - before
    assert grown < SLOW_COUNT * PASSAGE_BYTES_MAX + 32 * MEBIBYTE
    fountain.size = 0
    assert server.get("/")[0] == 200
    for client in clients:
        client.close()
    wait_for(lambda: worker.num_fds() <= fds + 4, "no descriptor to be left")  # idle links and admin


def test_a_gigabyte_takes_no_memory(start: Start, tmp_path: Path, fountain: Fountain) -> None:
    """
    However long a body is, counted or chunked, and however fast its client.
    """
    server = gateway(start, tmp_path, fountain.port)
    worker = worker_of(server)
    server.get("/")
    before = worker.memory_info().rss
    room = memoryview(bytearray(MEBIBYTE))
    for is_chunked in (False, True):
        fountain.size, fountain.is_chunked = 1024 * MEBIBYTE, is_chunked
        with closing(ask(server.port)) as client:
            most = total = 0
            while total < fountain.size:
                taken = client.recv_into(room)
                assert taken, "cut off"
                if total // (128 * MEBIBYTE) != (total + taken) // (128 * MEBIBYTE):
                    most = max(most, worker.memory_info().rss - before)
                total += taken
        assert most < 16 * MEBIBYTE


def test_an_overload_is_told_early(start: Start, tmp_path: Path, fountain: Fountain) -> None:
    """
    With its one connection taken and its queue full, a gateway says so at once, and serves when it is free.
    """
    fountain.size = 64 * MEBIBYTE
    pool = ", connections: {max: 1, queue_max: 1, queue_timeout: 30s}"
    server = gateway(start, tmp_path, fountain.port, pool)
    with closing(ask(server.port)) as holder:
        wait_for(lambda: is_readable(holder), "the first of its answer")
        # Either may be accepted first, and the other is refused.
        with closing(ask(server.port)) as waiting, closing(ask(server.port)) as another:
            wait_for(lambda: is_readable(waiting) or is_readable(another), "a refusal")
            refused, queued = (waiting, another) if is_readable(waiting) else (another, waiting)
            assert refused.recv(12) == b"HTTP/1.1 503"
            fountain.size = 0
            room = memoryview(bytearray(MEBIBYTE))
            while not is_readable(queued):
                if is_readable(holder):
                    assert holder.recv_into(room)
            assert queued.recv(12) == b"HTTP/1.1 200"


def is_readable(sock: socket.socket) -> bool:
    """Tell whether something has come."""
    return bool(select.select([sock], [], [], 0.01)[0])
