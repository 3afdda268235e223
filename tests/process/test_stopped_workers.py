"""
Clients that wait in the accept queues of a worker that stands still, whatever is done meanwhile.

A stopped worker accepts nothing, so what waits does so for certain; and it is late to hear
everything, so that orders and clients come upon it at once when it goes on.
"""

import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app
from tests.process.test_hang import answer, states
from tests.process.test_idle_connections import WHO, Talk, lasting, pids
from tests.process.test_orders import order
from tests.process.test_serving import HELLO

Start = Callable[..., Server]

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
QUEUED = 100  # on each shard of the stopped worker
SHARDS = 4  # that a worker of two has
# Half of all clients hash to the shards of the other worker, and the hash is uneven.
CLIENTS_MAX = 3000
# Of a suspect the queues do not stay full, so so many clients have to do.
CLIENTS_OF_SUSPECT = 1200

SUSPECT_S = "1"


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Allow as many as the clients of one test need."""
    needed = CLIENTS_MAX + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"ulimit -Hn is {hard}; {needed} are needed"
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def standing_still(pid: int) -> Iterator[ExitStack]:
    """Stop a process until the end of the block, or the close of what it gives."""

    def go_on() -> None:
        try:
            process.resume()
        except psutil.NoSuchProcess:
            pass  # It was killed as it stood.

    process = psutil.Process(pid)
    with ExitStack() as stopped:
        process.suspend()
        stopped.callback(go_on)
        yield stopped


def queues(port: int) -> list[int]:
    """Count what waits in each accept queue of a port, as the kernel tells it now."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, waiting, *_ = line.split()
        if state == "0A" and int(local.partition(":")[2], 16) == port:  # listens
            found.append(int(waiting.partition(":")[2], 16))
    return found


def is_full(port: int) -> bool:
    """Whether enough waits on each shard of one worker."""
    return sum(waiting >= QUEUED for waiting in queues(port)) >= SHARDS


class Clients:
    """Connect until the queues are full, or so often; every second one has sent its request by then."""

    def __init__(self, server: Server, stack: ExitStack, count: int | None = None) -> None:
        self._all: list[socket.socket] = []
        while len(self._all) < count if count else not is_full(server.port):
            assert len(self._all) < CLIENTS_MAX, queues(server.port)
            for turn in range(50):
                client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
                stack.enter_context(client)
                if turn % 2:
                    client.sendall(REQUEST)
                self._all.append(client)
        self.count = len(self._all)

    def read_early(self) -> Counter[bytes]:
        """Read the answers of those that have asked, and of half of the others, which ask now."""
        speaks_now = self._all[0::4]
        for client in speaks_now:
            client.sendall(REQUEST)
        return Counter(answer(client) for client in (*self._all[1::2], *speaks_now))

    def read_late(self) -> Counter[bytes]:
        """Have the rest ask, and read their answers."""
        for client in self._all[2::4]:
            client.sendall(REQUEST)
        return Counter(answer(client) for client in self._all[2::4])


class Act(NamedTuple):
    """Something that is done while the worker of a slot stands still, and when it has happened."""

    do: Callable[[Server, int], None]
    slot: int
    is_done: Callable[[dict[str, Any], int], bool]


def send(number: signal.Signals) -> Callable[[Server, int], None]:
    return lambda server, victim: server.signal(number)


def recycle(server: Server, victim: int) -> None:
    """Only order it: it is not done before the stopped worker has gone."""
    (slot,) = [each["slot"] for each in server.status()["workers"] if each["pid"] == victim]
    assert order(server, "recycle", str(slot), "--timeout", "0.1").returncode == 1


def kill(server: Server, victim: int) -> None:
    os.kill(victim, signal.SIGKILL)


def is_replaced(status: dict[str, Any], victim: int) -> bool:
    """Whether somebody serves in the place of the stopped worker, which is to leave or has left."""
    found = {each["pid"]: each["state"] for each in status["workers"]}
    return found.pop(victim, "gone") in ("draining", "gone") and list(found.values()) == ["ready"] * 2


def is_surplus(status: dict[str, Any], victim: int) -> bool:
    return Counter(states(status)) == {"ready": 1, "draining": 1}


@pytest.mark.parametrize(
    ("act", "suspect_s"),
    [
        pytest.param(Act(send(signal.SIGHUP), 0, is_replaced), "0", id="HUP"),
        pytest.param(Act(send(signal.SIGUSR2), 0, is_replaced), "0", id="USR2"),
        pytest.param(Act(send(signal.SIGTTOU), 1, is_surplus), "0", id="TTOU"),
        pytest.param(Act(recycle, 1, is_replaced), "0", id="recycle"),
        pytest.param(Act(kill, 0, is_replaced), "0", id="KILL"),
        pytest.param(Act(send(signal.SIGHUP), 0, is_replaced), SUSPECT_S, id="HUP of a suspect"),
        pytest.param(Act(kill, 0, is_replaced), SUSPECT_S, id="KILL of a suspect"),
    ],
)
def test_who_takes_its_place_serves_what_waits(
    start: Start, tmp_path: Path, act: Act, suspect_s: str
) -> None:
    """
    All are answered while it still stands, and nobody is harmed when it goes on.

    A suspect has lost its shards to its sibling before anything else happens to it.
    """
    write_app(tmp_path, HELLO)
    limits = ("--timeout-worker-suspect", suspect_s)
    server = start("main:app", "--port", "0", "--workers", "2", *limits).wait_serving()
    victim = server.wait_generation(1, workers=2)["workers"][act.slot]["pid"]
    with ExitStack() as stack:
        stopped = stack.enter_context(standing_still(victim))
        if suspect_s == "0":
            clients = Clients(server, stack)
        else:
            clients = Clients(server, stack, CLIENTS_OF_SUSPECT)
            server.wait_status(lambda status: "suspect" in states(status), "a suspect")

        act.do(server, victim)

        server.wait_status(lambda status: act.is_done(status, victim), "the stopped worker's replacement")
        answers = clients.read_early()
        assert b"" not in answers, answers
        assert b"hello from %d" % victim not in answers
        stopped.close()
        answers += clients.read_late()
        assert b"" not in answers, answers
    server.wait_status(lambda status: victim not in {each["pid"] for each in status["workers"]}, "its end")
    assert server.metric("penstock_requests_total") == answers.total()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGTTIN, ["ready"] * 3), (signal.SIGTTOU, ["ready"])],
    ids=["TTIN", "TTOU"],
)
def test_a_worker_that_stays_serves_what_waits_when_it_goes_on(
    start: Start, tmp_path: Path, number: signal.Signals, expected: list[str]
) -> None:
    """
    Its shards go to another, or another's come to it: what waits in them stays there until somebody accepts.
    """
    write_app(tmp_path, HELLO)
    limits = ("--timeout-worker-suspect", "0")
    server = start("main:app", "--port", "0", "--workers", "2", *limits).wait_serving()
    victim = server.wait_generation(1, workers=2)["workers"][0]["pid"]
    with ExitStack() as stack:
        stopped = stack.enter_context(standing_still(victim))
        clients = Clients(server, stack)

        server.signal(number)

        server.wait_status(lambda status: states(status) == expected, "another number of workers")
        stopped.close()
        answers = clients.read_early() + clients.read_late()
        assert b"" not in answers, answers
        assert answers.total() == clients.count == server.metric("penstock_requests_total")


def test_requests_cross_the_hand_over_of_their_connections_at_any_moment(
    start: Start, tmp_path: Path
) -> None:
    """
    Hundreds of connections, most of them parked, are asked at all times, and each survives every roll.
    """
    write_app(tmp_path, WHO)
    server = start("main:app", "--port", "0", "--workers", "2").wait_serving()
    server.wait_generation(1, workers=2)
    with lasting(("127.0.0.1", server.port), 600) as clients:
        with Talk(clients, threads=6) as talk:
            for generation, number in enumerate((signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP), 2):
                talk.wait_more(600)
                server.signal(number)
                server.wait_generation(generation, workers=2)
                assert not talk.failures, f"{talk.failures}\n{server.output()}"
            talk.wait_more(600)
        assert not talk.failures, f"{talk.failures}\n{server.output()}"
        assert {client.ask() for client in clients} == pids(server)
        assert server.metric("penstock_connections_total") == 600
        wait_for(lambda: server.metric("penstock_requests_total") == 600 + talk.count + 600, "every request")
