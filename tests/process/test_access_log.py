"""The access log of real workers: whole lines, none lost, and no request that waits for one."""

import http.client
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

TWO = ("main:app", "--port", "0", "--workers", "2")
JSON = ("--access-log-format", "json")

FAILS_TO_START = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "not today"})
"""
BATCH = 100


def ask(port: int, numbers: Iterator[int], path: str = "/n", head: str = "") -> None:
    """Ask for the numbers, many in one go on one connection at a time."""
    while batch := list(islice(numbers, BATCH)):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
            requests = "".join(
                f"GET {path}/{number} HTTP/1.1\r\nHost: test\r\n{head}\r\n" for number in batch
            )
            sock.sendall(requests.encode())
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := sock.recv(65536):
                received += data
        assert received.count(b"HTTP/1.1 200 ") == len(batch)


def ask_at_once(port: int, count: int, clients: int = 4) -> None:
    """Ask for the numbers below `count`, from several clients."""
    failed: list[BaseException] = []

    def run(first: int) -> None:
        try:
            ask(port, iter(range(first, count, clients)))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def numbers_in(lines: list[str]) -> list[int]:
    """Read what was asked for out of lines of JSON, each of which has to be whole."""
    return sorted(int(json.loads(line)["path"].rpartition("/")[2]) for line in lines)


def dropped(server: Server) -> float:
    return server.metric("penstock_access_log_dropped_total")


def test_two_workers_write_one_file(start: Start, tmp_path: Path) -> None:
    """
    Twenty thousand lines, each whole, and none missing once the server has stopped.
    """
    write_app(tmp_path, HELLO)
    log = tmp_path / "access.log"
    server = start(*TWO, "--access-log-file", str(log), *JSON).wait_serving()

    ask_at_once(server.port, 20_000)

    assert dropped(server) == 0
    assert server.stop() == 0
    lines = log.read_text().splitlines()
    assert numbers_in(lines) == list(range(20_000))
    assert Counter(json.loads(line)["worker"] for line in lines).keys() == {0, 1}
    assert log.stat().st_mode & 0o777 == 0o640


def test_two_workers_write_one_pipe(tmp_path: Path) -> None:
    """
    Pieces that the kernel takes whole do not mix, however full the pipe is.
    """
    write_app(tmp_path, HELLO)
    reader, writer = os.pipe()
    server = Server(*TWO, "--access-log", *JSON, "--log-file", "error.log", cwd=tmp_path)
    server.clean_up()  # Its standard output is a file; only its settings are of use.
    process = subprocess.Popen(
        [*server.process.args, "--control", "c"],  # type: ignore[misc]
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    received: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 1000):  # Slowly, so that it is full most of the time.
            received.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        port = wait_for(
            lambda: re.search(rb"listening on http://\S+:(\d+)", b"".join(received)), "the banner"
        )
        assert port is not None
        ask_at_once(int(port[1]), 20_000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        thread.join()
        os.close(reader)
    lines = b"".join(received).decode().splitlines()
    assert numbers_in([line for line in lines if line.startswith("{")]) == list(range(20_000))
    assert all(line.startswith(("{", "Penstock", "  ")) for line in lines)


def test_rotation_loses_no_line(start: Start, tmp_path: Path) -> None:
    """
    Moved away and USR1, again and again under load: each line is in one of the files.
    """
    write_app(tmp_path, HELLO)
    log = tmp_path / "access.log"
    server = start(*TWO, "--access-log-file", str(log), *JSON).wait_serving()
    asking = threading.Thread(target=ask_at_once, args=(server.port, 8_000))
    asking.start()
    moved: list[Path] = []
    while asking.is_alive() or len(moved) < 3:
        moved.append(tmp_path / f"access.log.{len(moved)}")
        log.rename(moved[-1])
        server.signal(signal.SIGUSR1)
        wait_for(log.exists, "the new file")
        wait_for(lambda: server.output().count("access log reopened") == len(moved), "the end of it")
    asking.join()

    ask(server.port, iter(range(8_000, 8_010)))
    wait_for(lambda: log.read_text().count("\n") >= 10, "lines in the new file")
    assert server.stop() == 0
    lines = [line for path in (*moved, log) for line in path.read_text().splitlines()]
    assert numbers_in(lines) == list(range(8_010))


def test_nobody_holds_a_file_that_was_rotated(start: Start, tmp_path: Path) -> None:
    """
    Neither the master nor workers nor the admin process: its space is to be free when it is removed.
    """
    write_app(tmp_path, HELLO)
    log = tmp_path / "access.log"
    server = start(*TWO, "--access-log-file", str(log)).wait_serving()
    server.get()
    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=2)
    server.get()
    moved = log.rename(tmp_path / "access.log.1")
    server.signal(signal.SIGUSR1)
    wait_for(log.exists, "the new file")
    wait_for(lambda: not holders(server, moved), "nobody to hold the old file")
    assert len(holders(server, log)) == 3  # the master and the workers


def holders(server: Server, path: Path) -> list[int]:
    """List the processes of a server that have a file open."""
    found = []
    for pid in (server.pid, *(child.pid for child in server.children())):
        links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
        if path in links:
            found.append(pid)
    return found


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_new_settings_are_for_the_new_generation(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """
    Another file, another format: after a reload and after a hot restart; and rotation goes on working.
    """
    write_app(tmp_path, HELLO)
    config = tmp_path / "p.yaml"
    text = (
        "workers: 1\nlog: {access: {path: PATH, format: FORMAT}}\n"
        "listeners: [{bind: '127.0.0.1:0', routes: [{app: 'main:app'}]}]\n"
    )
    config.write_text(text.replace("PATH", "one.log").replace("FORMAT", "'one %(s)s'"))
    server = start("-c", "p.yaml").wait_serving()
    server.get()

    config.write_text(text.replace("PATH", "two.log").replace("FORMAT", "'two %(s)s'"))
    server.signal(number)
    server.wait_generation(2, workers=1)
    server.get()

    two = tmp_path / "two.log"
    wait_for(lambda: two.read_text() == "two 200\n", "a line in the new file")
    assert (tmp_path / "one.log").read_text() == "one 200\n"
    two.rename(tmp_path / "two.log.1")
    server.signal(signal.SIGUSR1)
    wait_for(two.exists, "the rotated file")
    wait_for(lambda: server.get() and two.read_text(), "a line in the rotated file")
    assert (tmp_path / "two.log.1").read_text().startswith("two 200\n")


def test_rotation_reaches_workers_of_before_a_hot_restart(start: Start, tmp_path: Path) -> None:
    """
    The new code cannot start workers of its own, so the old ones go on, and it has their file rotated.
    """
    write_app(tmp_path, HELLO)
    log = tmp_path / "access.log"
    server = start("main:app", "--port", "0", "--workers", "1", "--access-log-file", str(log)).wait_serving()
    write_app(tmp_path, FAILS_TO_START)
    server.signal(signal.SIGUSR2)
    server.wait_status(lambda status: status["reload_failures"], "an abandoned roll")
    log.rename(tmp_path / "access.log.1")

    server.signal(signal.SIGUSR1)

    wait_for(log.exists, "the new file")
    wait_for(lambda: server.get()[1].startswith(b"hello") and log.read_text(), "a line in the new file")


def test_pipe_that_nobody_reads_stops_no_request(start: Start, tmp_path: Path) -> None:
    """
    Lines wait up to a limit; those beyond it are counted, and the numbers are right to the line.
    """
    write_app(tmp_path, HELLO)
    fifo = tmp_path / "access.fifo"
    os.mkfifo(fifo)
    server = start(*TWO, "--access-log-file", str(fifo), *JSON).wait_serving()
    count = 0
    agent = f"User-Agent: {'x' * 1000}\r\n"
    while not dropped(server):
        ask(server.port, iter(range(count, count + 2000)), head=agent)
        count += 2000
        assert count < 200_000
    assert server.metric("penstock_requests_total", code="2xx") == count

    received = bytearray()

    def read() -> None:
        reader = os.open(fifo, os.O_RDONLY)
        while data := os.read(reader, 1 << 20):
            received.extend(data)
        os.close(reader)

    thread = threading.Thread(target=read)
    thread.start()
    wait_for(lambda: received.count(b"\n") + dropped(server) == count, "what had waited")
    assert server.stop() == 0
    thread.join()
    assert len(set(numbers_in(received.decode().splitlines()))) == received.count(b"\n")


def test_every_way_to_lose_an_answer_has_a_line(start: Start, tmp_path: Path) -> None:
    """
    A request that is none, and a client that is gone before the app has said anything.
    """
    write_app(
        tmp_path, "import asyncio\nasync def app(scope, receive, send):\n    await asyncio.sleep(600)\n"
    )
    log = tmp_path / "access.log"
    server = start(*TWO, "--access-log-file", str(log), *JSON, "--lifespan", "off").wait_serving()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: server.metric("penstock_connections", state="active") == 1, "the request")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    lines = wait_for(lambda: len(found := log.read_text().splitlines()) == 2 and found, "two lines")
    assert isinstance(lines, list)
    assert [json.loads(line)["status"] for line in lines] == [400, 499]


def test_id_is_the_same_for_app_client_and_logs(start: Start, tmp_path: Path) -> None:
    """
    Under a root path, in the access log and in the traceback of a failure.
    """
    write_app(tmp_path, "async def app(scope, receive, send):\n    raise RuntimeError('boom')\n")
    log = tmp_path / "access.log"
    options = ("--request-id", "--access-log-file", str(log), *JSON, "--lifespan", "off")
    server = start(*TWO, *options).wait_serving()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    connection.request("GET", "/a")
    made = connection.getresponse().headers["x-request-id"]
    connection.close()
    wait_for(log.read_text, "a line")
    assert json.loads(log.read_text())["request_id"] == made
    assert f"id {made})" in server.output()
    server.admin("/metrics")
    assert log.read_text().count("\n") == 1  # The admin endpoint's own requests are nobody's affair.


def test_workers_without_privileges_write_what_the_master_opened(start: Start, tmp_path: Path) -> None:
    """
    Into a folder that they may not write to, if there is a right to give up; and again after a rotation.
    """
    log = tmp_path / "private" / "access.log"
    log.parent.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    options = (
        "--port",
        "0",
        "--workers",
        "1",
        "--user",
        pwd.getpwuid(os.geteuid() or 65534).pw_name,
        "--access-log-file",
        str(log),
    )
    server = start(*options).wait_serving()
    server.get("/whoami")
    wait_for(lambda: "GET /whoami" in log.read_text(), "a line")
    log.rename(log.with_suffix(".1"))
    server.signal(signal.SIGUSR1)
    wait_for(lambda: log.exists() and server.get("/whoami") and log.read_text(), "a line in the new file")


def test_file_that_cannot_be_opened_is_told(start: Start, tmp_path: Path) -> None:
    """
    At the start it ends it; in a reload it changes nothing.
    """
    write_app(tmp_path, HELLO)
    server = start(*TWO, "--access-log-file", str(tmp_path / "no" / "access.log"))
    assert server.wait_exit() == 2
    told = f"log.access.path: {tmp_path}/no/access.log: No such file or directory"
    assert told in server.output()
