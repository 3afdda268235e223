#!/usr/bin/env python3
"""
What a client takes of a gateway's memory, beside nginx: idle after an answer, and with a request under way.

    python loadtest/gateway_memory.py --clients 2000

Resident memory of the whole process tree, before and with so many clients, each in
a connection of its own. Kernel memory is not in it.
"""

import argparse
import contextlib
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

from bench.child import telling_port
from streaming import penstock, proxy, resident

SERVER = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
async def visited(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            if b"/idle" in head:
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(visited, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
SETTLE_S = 4.0  # idle connections are put away after one to two seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What a client takes of a gateway's memory.")
    parser.add_argument("--clients", type=int, default=2000)
    count = parser.parse_args().clients
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(f"{'KiB a client':20}{'idle':>8}{'in flight':>12}")
    with tempfile.TemporaryDirectory() as name, telling_port([sys.executable, "-c", SERVER]) as upstream:
        folder = Path(name)
        folder.chmod(0o755)
        for label, gateway in (
            ("penstock", penstock(folder, upstream)),
            ("nginx", proxy(folder / "nginx", upstream, "")),
        ):
            with gateway as (process, port):
                figures = []
                for path in (b"/idle", b"/wait"):
                    with contextlib.closing(ask(port, path)) as first:
                        first.settimeout(1)
                        before = resident(process)
                        clients = [ask(port, path) for _ in range(count)]
                        time.sleep(SETTLE_S)
                        figures.append((resident(process) - before) / count / 1024)
                        for client in clients:
                            client.close()
                        time.sleep(1)
                print(f"{label:20}{figures[0]:8.1f}{figures[1]:12.1f}")


def ask(port: int, path: bytes) -> socket.socket:
    """Send a request; wait for its answer if it has one."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n")
    if path == b"/idle":
        sock.recv(4096)
    return sock


if __name__ == "__main__":
    main()
