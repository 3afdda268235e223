"""
Clients that count the requests a server loses, each in its own way of using connections.

*looking* clients keep connections alive and look for a FIN before they send, as
good HTTP libraries do. *blind* ones send at once, as many do. *oneshot* ones
connect for every request. All think a while between two requests. They run as
a process of their own, pinned to the load's core, until its input is closed.
"""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bench.answers import is_whole
from bench.child import pinned
from bench.failure import LoadFailed

KINDS = ("looking", "blind", "oneshot")
COUNTS = {"looking": 40, "blind": 40, "oneshot": 20}
THINK_S = (0.01, 0.05)

# How a request is lost.
REFUSED, RESET, EMPTY, CUT, LATE, STATUS = "refused", "reset", "empty", "cut", "late", "status"
HOW = (REFUSED, RESET, EMPTY, CUT, LATE, STATUS)

ANSWER_S = 15.0
END_S = ANSWER_S + 10.0
ANSWER_BYTES_MAX = 65536
LOADTEST = Path(__file__).resolve().parents[1]


class Lost(Exception):
    """A request went without a whole answer. Says how."""


class Tally:
    """What all clients have counted."""

    def __init__(self) -> None:
        self.requests = 0
        self.lost = {kind: dict.fromkeys(HOW, 0) for kind in KINDS}


class Client:
    """One client, with at most one connection."""

    def __init__(self, kind: str, port: int, tally: Tally, seed: int) -> None:
        self._kind = kind
        self._port = port
        self._tally = tally
        self._random = random.Random(seed)
        self._socket: socket.socket | None = None
        close = "Connection: close\r\n" if kind == "oneshot" else ""
        self._request = f"GET / HTTP/1.1\r\nHost: bench\r\n{close}\r\n".encode()

    async def live(self, ended: asyncio.Event) -> None:
        """Ask, think and ask again until told to end."""
        while not ended.is_set():
            self._tally.requests += 1
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._ask()
            except Lost as lost:
                self._lose(str(lost))
            except TimeoutError:
                self._lose(LATE)
            await asyncio.sleep(self._random.uniform(*THINK_S))
        self._drop()

    def _lose(self, how: str) -> None:
        self._tally.lost[self._kind][how] += 1
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _ask(self) -> None:
        if self._socket is not None and self._kind == "looking" and is_ended(self._socket):
            self._drop()
        if self._socket is None:
            self._socket = await self._connect()
        answer = await self._exchange(self._socket)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Lost(STATUS)
        if self._kind == "oneshot" or b"\r\nconnection: close\r\n" in answer.lower():
            self._drop()

    async def _connect(self) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self._port))
        except ConnectionRefusedError:
            client.close()
            raise Lost(REFUSED) from None
        except OSError:
            client.close()
            raise Lost(RESET) from None
        except BaseException:
            client.close()
            raise
        return client

    async def _exchange(self, client: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        received = b""
        try:
            await loop.sock_sendall(client, self._request)
            while not is_whole(received):
                part = await loop.sock_recv(client, ANSWER_BYTES_MAX)
                if not part:
                    raise Lost(CUT if received else EMPTY)
                received += part
        except OSError:
            raise Lost(RESET) from None
        return received


def is_ended(client: socket.socket) -> bool:
    """Look whether the server has closed a connection that is idle."""
    try:
        client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True  # A FIN, or bytes that nobody asked for.


class LostCount:
    """What the clients say when they have ended."""

    def __init__(self) -> None:
        self.requests = 0
        self.lost: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}


@contextlib.contextmanager
def count_lost(port: int, core: int | None) -> Iterator[LostCount]:
    """Let the clients run during the block; the counts are there after it. Raises LoadFailed."""
    words = pinned([sys.executable, "-m", "bench.lost", str(port)], core)
    process = subprocess.Popen(words, cwd=LOADTEST, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counted = LostCount()
    try:
        yield counted
        output, _ = process.communicate(timeout=END_S)  # Closes its input, so it ends.
        if process.returncode:
            raise LoadFailed(f"the clients ended with status {process.returncode}")
        told = json.loads(output)
        counted.requests, counted.lost = told["requests"], told["lost"]
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"the clients did not end within {END_S:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def run_clients(port: int, ended: asyncio.Event) -> Tally:
    """Run all clients until told to end."""
    tally = Tally()
    kinds = [kind for kind, count in COUNTS.items() for _ in range(count)]
    clients = [Client(kind, port, tally, seed) for seed, kind in enumerate(kinds)]
    await asyncio.gather(*(client.live(ended) for client in clients))
    return tally


async def _main(port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    tally = await run_clients(port, ended)
    loop.remove_reader(sys.stdin.fileno())
    print(json.dumps({"requests": tally.requests, "lost": tally.lost}))


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
