"""
Measure what a WebSocket message costs: CPU of Penstock and of uvicorn, in the same run.

    python loadtest/websocket.py [--seconds 4] [--rounds 3] [--app apps.websocket:app]

Each client sends a message, waits for its echo and sends the next. Clients send
compressed messages where compression was agreed upon, and never need another
message to read one. CPU is that of the server's whole process tree.
"""

import argparse
import asyncio
import base64
import os
import statistics
import sys
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from bench.machine import program, usable_cores
from bench.server import Server, free_port, running
from bench.target import cores_for

LOADTEST = Path(__file__).parent
WARM_S = 0.5
CONNECT_S = 20.0
TAIL = b"\x00\x00\xff\xff"
# Like a short message of a chat or a quote: a few keys, and no repetition but theirs.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 ,.:{}"


@dataclass(frozen=True)
class Case:
    """What clients send."""

    name: str
    size: int
    deflates: bool
    clients: int = 32


CASES = (
    Case("32 bytes", 32, False),
    Case("32 bytes, deflate agreed", 32, True),
    Case("1 KiB", 1024, False),
    Case("1 KiB, deflate agreed", 1024, True),
    Case("64 KiB", 65536, False, clients=8),
)


class Client(asyncio.Protocol):
    """Sends the same frame again whenever a whole one has come back."""

    def __init__(self, case: Case, counts: list[int]) -> None:
        self._case = case
        self._counts = counts
        self._received = b""
        self._left = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        head = "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        if self._case.deflates:
            head += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        self._transport.write(f"{head}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Count whole frames."""
        if not self.ready.done():
            self._received += data
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            assert (b"permessage-deflate" in head) == self._case.deflates
            self._frame = frame_of(self._case)
            self._received = b""
            self.ready.set_result(None)
            data = rest
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
            else:
                data = self._received + data
                self._received = b""
                head_size = {126: 4, 127: 10}.get(data[1], 2) if len(data) > 1 else 2
                if len(data) < head_size:
                    self._received = data
                    return
                size = data[1] if head_size == 2 else int.from_bytes(data[2:head_size], "big")
                if data[0] & 15 == 1:
                    self._left = size
                else:
                    assert data[0] & 15 == 9, data  # a ping, which nobody waits for in so short a time
                    data = data[size:]
                data = data[head_size:]
            if not self._left:
                self._counts[0] += 1
                self.go()

    def go(self) -> None:
        """Send one."""
        self._transport.write(self._frame)

    def stop(self) -> None:
        """Be gone."""
        self._transport.abort()


@cache
def frame_of(case: Case) -> bytes:
    """Make the frame of a case, with a mask of zeros, which costs the server what any other does."""
    number, text = 1, ""
    while len(text) < case.size:
        number = number * 1103515245 + 12345 & 0x7FFFFFFF
        text += ALPHABET[(number >> 16) % len(ALPHABET)]
    payload, first = text.encode(), 0x81
    if case.deflates:
        stream = zlib.compressobj(wbits=-12)
        payload = (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        first |= 0x40
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


async def load(server: Server, case: Case, seconds: float) -> float:
    """Return the µs of CPU that a message took the server."""
    counts = [0]
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(case.clients):
        _, client = await loop.create_connection(lambda: Client(case, counts), "127.0.0.1", server.port)
        await asyncio.wait_for(client.ready, CONNECT_S)
        clients.append(client)
    for client in clients:
        client.go()
    await asyncio.sleep(WARM_S)
    before, before_s = counts[0], server.cpu_s()
    await asyncio.sleep(seconds)
    cpu_us = (server.cpu_s() - before_s) * 1e6 / max(1, counts[0] - before)
    for client in clients:
        client.stop()
    server.check()
    return cpu_us


def commands(app: str) -> dict[str, list[str]]:
    """Return the command lines to compare, without a port."""
    common = ["--no-access-log", "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]
    return {
        "penstock": ["penstock", app, "--workers", "1", "--admin-bind", "none", "--log-level", "warning"],
        "uvicorn": ["uvicorn", app, *common],
        "uvicorn sansio": ["uvicorn", app, *common, "--ws", "websockets-sansio"],
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--app", default="apps.websocket:app")
    parser.add_argument("--server", action="append", help="one of: " + ", ".join(commands("APP")))
    arguments = parser.parse_args()
    cores, load_core = cores_for(usable_cores())
    if load_core is not None:
        os.sched_setaffinity(0, {load_core})
    chosen = {
        name: words for name, words in commands(arguments.app).items() if name in (arguments.server or [name])
    }
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for name, words in chosen.items():
            port = free_port()
            command = [str(program(words[0]) or words[0]), *words[1:], "--port", str(port)]
            with running(command, port, cores=cores, cwd=LOADTEST) as server:
                for case in CASES:
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        value = runner.run(load(server, case, arguments.seconds))
                    found.setdefault((case.name, name), []).append(value)
    print(f"CPU per message, µs: median of {arguments.rounds} rounds of {arguments.seconds:g} s")
    print(f"{'':28}" + "".join(f"{name:>18}" for name in chosen))
    for case in CASES:
        medians = [statistics.median(found[case.name, name]) for name in chosen]
        cells = "".join(f"{value:>10.1f} {value / medians[-1]:>6.2f}x" for value in medians)
        print(f"{case.name:28}{cells}")


if __name__ == "__main__":
    main()
