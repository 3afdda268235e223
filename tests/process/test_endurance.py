"""What is left after many deaths and many hot restarts: exactly what should be."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

# Says at once who answers, and ends its response when a file is there.
HOLDING = """
import asyncio
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    round = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%07d" % os.getpid(), "more_body": True})
    while not os.path.exists(f"go-{round}"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"whole"})
"""

CONNECTIONS = 40


def held(stack: ExitStack, port: int, round: int) -> dict[socket.socket, int]:
    """Open connections with a request in flight on each; say at which worker each is."""
    clients = {}
    for _ in range(CONNECTIONS):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S))
        client.sendall(b"GET /?%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % round)
        clients[client] = 0
    for client in clients:
        seen = b""
        while len(body := seen.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2]) < 7:
            part = client.recv(4096)
            assert part, seen
            seen += part
        clients[client] = int(body[:7])
    return clients


def is_whole(client: socket.socket) -> bool:
    """Read to the end; say whether the response is complete."""
    seen = b""
    try:
        while part := client.recv(4096):
            seen += part
    except ConnectionResetError:
        return False
    return seen.endswith(b"5\r\nwhole\r\n0\r\n\r\n")


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.timeout(300)
def test_a_killed_worker_loses_what_it_was_at_and_nothing_else(
    start: Start, tmp_path: Path, kills: int
) -> None:
    write_app(tmp_path, HOLDING)
    server = start("main:app", "--port", "0", "--workers", "6").wait_serving()
    answered = 0.0
    for round in range(kills):
        with ExitStack() as stack:
            clients = held(stack, server.port, round)
            at = Counter(clients.values())
            # In turn: a slot whose workers die young one after the other has to wait ever longer.
            victim = next(each["pid"] for each in server.status()["workers"] if each["slot"] == round % 6)

            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: not psutil.pid_exists(victim), "the worker's end")  # noqa: B023

            # Its shards have holders again before anybody knows of the successor.
            late = held(stack, server.port, round)
            assert victim not in late.values()
            (tmp_path / f"go-{round}").touch()
            whole = {client: is_whole(client) for client in (*clients, *late)}

            lost = [client for client in whole if not whole[client]]
            assert all(clients.get(client) == victim for client in lost)
            assert len(lost) == at[victim]
        server.wait_status(all_ready, "six workers")
        now = server.metric("penstock_requests_total")
        assert now == answered + 2 * CONNECTIONS - at[victim]
        answered = now
    assert server.status()["worker_restarts"] == {"crash": kills}


def all_ready(status: dict[str, list[dict[str, object]]]) -> bool:
    return len(status["workers"]) == 6 and all(each["state"] == "ready" for each in status["workers"])


def belongings(server: Server) -> dict[str, object]:
    """What a master holds that could leak."""
    master = psutil.Process(server.pid)
    links = [str(fd.readlink()) for fd in Path(f"/proc/{server.pid}/fd").iterdir()]
    return {
        "descriptors": len(links),
        "memory files": sum("memfd:" in link for link in links),
        "children": len(server.children()),
        "zombies": sum(each.status() == psutil.STATUS_ZOMBIE for each in master.children(recursive=True)),
        "threads": master.num_threads(),
    }


@pytest.mark.parametrize(
    ("warmup", "restarts"), [(2, 4), pytest.param(10, 100, marks=pytest.mark.soak)], ids=["few", "many"]
)
@pytest.mark.timeout(600)
def test_hot_restarts_leave_nothing_behind(start: Start, tmp_path: Path, warmup: int, restarts: int) -> None:
    """
    A server is upgraded for years without a stop.
    """
    write_app(tmp_path, HELLO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    generation, total = 1, 0.0
    before: dict[str, object] = {}
    pss = 0
    for count in range(warmup + restarts):
        if count == warmup:
            before, pss = belongings(server), pss_bytes(server)
        generation += 1
        server.signal(signal.SIGUSR2)
        server.wait_generation(generation, workers=2)
        assert server.get()[0] == 200
        now = server.metric("penstock_requests_total")
        assert now > total, "a counter fell, or stood still"
        total = now
    # The admin process of the image before may take a moment to leave.
    wait_for(lambda: belongings(server) == before, f"{before}, and not {belongings(server)}")
    assert pss_bytes(server) <= 1.05 * pss
    assert total == warmup + restarts


def pss_bytes(server: Server) -> int:
    """Measure the master's share of memory."""
    return psutil.Process(server.pid).memory_full_info().pss
