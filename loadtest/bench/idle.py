"""
Connections that are held and do nothing, and the memory they take.
"""

import contextlib
import dataclasses
import resource
import select
import socket
import time
from collections.abc import Iterator

from bench.answers import is_whole
from bench.server import Server, ServerFailed

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
ANSWER_S = 20.0

# Before the first count, so that the heap's first growth is not laid upon the connections.
WARM_COUNT = 50
BATCH = 200
PAUSE_EVERY = 5 * BATCH

# Long enough for a server that puts idle connections away to have done so.
SETTLE_S = 2.5
# Nothing has to be put away before there are any.
WARM_SETTLE_S = 0.5

# Beside the connections: files, pipes, the server's own.
SPARE_DESCRIPTORS = 500


@dataclasses.dataclass(frozen=True)
class Held:
    """What holding connections found."""

    bytes_each: float
    closed: int  # By the server, though they were only idle.
    cpu_share: float  # Of a core, while nothing came; 0 where nobody watched.


def hold(server: Server, count: int, *, pause_s: float = 0.0, watch_s: float = 0.0) -> Held:
    """
    Open connections, ask once on each, and measure what they add to the server. Raises ServerFailed.

    With a pause after every thousand, the others are idle by the time that the next come. In the end,
    watch for so long what the server does with them although nothing comes.
    """
    with contextlib.ExitStack() as opened:
        for client in _ask(server, WARM_COUNT):
            client.close()
        time.sleep(WARM_SETTLE_S)
        before_bytes = server.pss_bytes()
        clients: list[socket.socket] = []
        for start in range(0, count, BATCH):
            if pause_s and start and start % PAUSE_EVERY == 0:
                time.sleep(pause_s)
            for client in _ask(server, min(BATCH, count - start)):
                clients.append(opened.enter_context(client))
        time.sleep(SETTLE_S)
        grown_bytes = server.pss_bytes() - before_bytes
        cpu_share = busy(server, watch_s) if watch_s else 0.0
        return Held(grown_bytes / count, sum(is_closed(client) for client in clients), cpu_share)


@contextlib.contextmanager
def held(server: Server, count: int) -> Iterator[None]:
    """Keep so many connections open, each after one request. Raises ServerFailed."""
    with contextlib.ExitStack() as opened:
        for start in range(0, count, BATCH):
            for client in _ask(server, min(BATCH, count - start)):
                opened.enter_context(client)
        time.sleep(SETTLE_S)
        yield


def busy(server: Server, seconds: float) -> float:
    """Measure the share of a core that a server takes that is left alone."""
    started_s, before_s = time.monotonic(), server.cpu_s()
    time.sleep(seconds)
    return (server.cpu_s() - before_s) / (time.monotonic() - started_s)


def is_closed(client: socket.socket) -> bool:
    """Tell whether the server has closed a connection on which nothing is due."""
    poll = select.poll()  # select() knows no descriptor above 1023.
    poll.register(client, select.POLLIN)
    return bool(poll.poll(0))


def allow_descriptors(connections: int) -> None:
    """
    Raise the limit for this process and the servers it starts.

    As far as it goes; raises ServerFailed if that is too little for so many connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        raise ServerFailed(f"{wanted} descriptors are needed, and the limit is {hard}: see `ulimit -Hn`")


def _ask(server: Server, count: int) -> list[socket.socket]:
    """Open connections at once, and wait for one answer on each."""
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=ANSWER_S) for _ in range(count)]
    try:
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            answer = b""
            while not is_whole(answer) and (part := client.recv(65536)):
                answer += part
            if not answer.startswith(b"HTTP/1.1 200"):
                raise ServerFailed("a request on a connection to be held was not answered with 200")
    except OSError as error:
        raise ServerFailed(f"a connection to be held failed: {error}") from error
    return clients
