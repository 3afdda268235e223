#!/usr/bin/env python3
"""
What a byte costs on its way through the gateway, beside nginx as a proxy with the same settings.

    python loadtest/streaming.py --rounds 7 --size 1GiB

nginx serves a file as the upstream server. Each round asks each gateway once, in turn,
and figures are medians: user and system time of all processes of the gateway, by byte.
The gateway has core 0; the client, which throws away what it reads, and the upstream
server have core 1. `--up` measures uploads instead.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from bench.child import pinned, telling_port
from bench.server import free_port

Running = tuple[psutil.Process, int]  # and the port

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
BLOCK_BYTES = 1 << 20

WIDTHS = (8, 8, 9, 7, 14, 12)
COLUMNS = ("ns/KiB", "lowest", "highest", "GB/s", "x best nginx", "grown, MiB")
HEADINGS = " " * 20 + "".join(f"{each:>{width}}" for each, width in zip(COLUMNS, WIDTHS, strict=True))

NGINX_CONF = """
daemon off; worker_processes 1; worker_rlimit_nofile 40000;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; client_max_body_size 0; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
}}
"""
PROXY = """
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 1000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Host $host;
      proxy_max_temp_file_size 0; proxy_request_buffering off; {settings} }} }}
"""
FILES = "server {{ listen 127.0.0.1:{port}; root {root}; }}"
LARGE_BUFFERS = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"
PENSTOCK = """
workers: 1
admin: {{bind: none}}
listeners:
  - bind: 127.0.0.1:{port}
    limits: {{body_bytes: 100GiB, header_timeout: 300s}}
    routes: [{{proxy: backend}}]
upstreams:
  backend: {{servers: ['127.0.0.1:{upstream}'], connections: {{max: 10000, idle_max: 1000}}}}
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What a byte costs on its way through the gateway.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="1GiB")
    parser.add_argument("--connections", type=int, default=1, help="at the same time, each with so much")
    parser.add_argument("--up", action="store_true", help="measure uploads")
    options = parser.parse_args()
    size = int(options.size[:-3]) * UNITS[options.size[-3:]]
    way = "up" if options.up else "down"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user, if this one is root
        sink = telling_port(pinned([sys.executable, "-c", SINK], 1))
        upstream = stack.enter_context(sink if options.up else files(folder, size))
        servers = {
            "penstock": stack.enter_context(penstock(folder, upstream)),
            "nginx": stack.enter_context(proxy(folder / "buffered", upstream, "")),
            "nginx, unbuffered": stack.enter_context(
                proxy(folder / "plain", upstream, "proxy_buffering off;")
            ),
            "nginx, 64 KiB": stack.enter_context(proxy(folder / "large", upstream, LARGE_BUFFERS)),
        }
        costs: dict[str, list[float]] = {each: [] for each in servers}
        rates: dict[str, list[float]] = {each: [] for each in servers}
        moved = size * options.connections
        for _, port in servers.values():
            move(way, port, size, options.connections)  # once, to warm up
        before = {each: resident(process) for each, (process, _) in servers.items()}
        for _ in range(options.rounds):
            for each, (process, port) in servers.items():
                began_s, spent_s = time.monotonic(), cpu_s(process)
                move(way, port, size, options.connections)
                rates[each].append(moved / (time.monotonic() - began_s) / 1e9)
                costs[each].append((cpu_s(process) - spent_s) / moved * 1e9 * 1024)
        best = min(statistics.median(cost) for each, cost in costs.items() if each != "penstock")
        print(HEADINGS)
        for each, cost in costs.items():
            median = statistics.median(cost)
            grown = (resident(servers[each][0]) - before[each]) / (1 << 20)
            rate = statistics.median(rates[each])
            figures = (
                f"{median:8.0f}{min(cost):8.0f}{max(cost):9.0f}{rate:7.2f}{median / best:14.2f}{grown:12.1f}"
            )
            print(f"{each:20}{figures}")


def move(way: str, port: int, size: int, count: int) -> None:
    """Have clients in processes of their own move bytes, on core 1."""
    words = ["taskset", "-c", "1", sys.executable, "-c", CLIENT, way, str(port), str(size), str(BLOCK_BYTES)]
    clients = [subprocess.Popen(words) for _ in range(count)]
    statuses = [client.wait(600) for client in clients]
    if any(statuses):
        sys.exit("a client failed")


CLIENT = """
import socket, sys
way, port, size, block = sys.argv[1], *map(int, sys.argv[2:])
sock = socket.create_connection(("127.0.0.1", port))
if way == "down":
    sock.sendall(b"GET /file HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += sock.recv(65536)
    room = bytearray(block)
    left = size - len(head.split(b"\\r\\n\\r\\n", 1)[1])
    assert head.startswith(b"HTTP/1.1 200"), head
    while left:
        got = sock.recv_into(room, min(block, left))
        assert got, "cut"
        left -= got
else:
    sock.sendall(b"POST /up HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
    piece = bytes(block)
    for _ in range(size // block):
        sock.sendall(piece)
    assert sock.recv(65536).startswith(b"HTTP/1.1 200")
"""

SINK = """
import socket, threading
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
def serve(sock):
    file = sock.makefile("rb")
    while True:
        length, is_chunked = 0, False
        while (line := file.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if not line:
            return
        buffer = bytearray(1 << 20)
        while length:
            length -= file.readinto1(memoryview(buffer)[:min(length, 1 << 20)])
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
while True:
    threading.Thread(target=serve, args=(sock.accept()[0],), daemon=True).start()
"""


@contextlib.contextmanager
def files(folder: Path, size: int) -> Iterator[int]:
    """Run nginx with a file of zeros; give its port."""
    root = folder / "root"
    root.mkdir()
    (root / "file").touch()
    os.truncate(root / "file", size)
    with nginx(folder / "upstream", 1, lambda port: FILES.format(port=port, root=root)) as (_, port):
        yield port


@contextlib.contextmanager
def running(words: list[str], port: int, core: int) -> Iterator[Running]:
    """Run a server until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until_s = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert time.monotonic() < until_s, f"{words} does not listen"
            assert process.poll() is None, f"{words} ended"
            time.sleep(0.05)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def nginx(folder: Path, core: int, http: Callable[[int], str]) -> Iterator[Running]:
    """Run nginx with one worker."""
    folder.mkdir()
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX_CONF.format(folder=folder, http=http(port)))
    words = [NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with running(words, port, core) as it:
        yield it


def proxy(folder: Path, upstream: int, settings: str) -> AbstractContextManager[Running]:
    """Run nginx as a gateway."""
    return nginx(folder, 0, lambda port: PROXY.format(port=port, upstream=upstream, settings=settings))


@contextlib.contextmanager
def penstock(folder: Path, upstream: int) -> Iterator[Running]:
    """Run ours."""
    port, config = free_port(), folder / "gateway.yaml"
    config.write_text(PENSTOCK.format(port=port, upstream=upstream))
    words = [sys.executable, "-m", "penstock", "-c", str(config), "--control", str(folder / "c.sock")]
    with running(words, port, 0) as it:
        yield it


def tree(process: psutil.Process) -> list[psutil.Process]:
    """List the processes of a server."""
    return [process, *process.children(recursive=True)]


def cpu_s(process: psutil.Process) -> float:
    """Add up the time of all processes of a server."""
    return sum(sum(each.cpu_times()[:2]) for each in tree(process))


def resident(process: psutil.Process) -> int:
    """Add up their memory."""
    return sum(each.memory_info().rss for each in tree(process))


if __name__ == "__main__":
    main()
