"""A server whose sockets the service manager has opened, started by systemd's own tool."""

import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import DEADLINE_S, Server, free_port, get, wait_for, write_app

Start = Callable[..., Server]

HELLO = """
import os
import subprocess

async def app(scope, receive, send):
    seen = [name for name in os.environ if name.startswith(("LISTEN_", "_PENSTOCK"))]
    # A program that outlives the server must not hold its sockets.
    command = "readlink /proc/self/fd/3"
    seen += subprocess.run(["sh", "-c", command], capture_output=True, close_fds=False).stdout.split()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(seen).encode()})
"""


def activator(folder: Path, *addresses: str, names: str = "") -> str:
    """Write a program that starts Penstock as systemd would, when the first client comes."""
    tool = shutil.which("systemd-socket-activate")
    assert tool is not None, "systemd-socket-activate is missing: install the package systemd"
    listens = " ".join(f"-l {address}" for address in addresses) + (f" --fdname={names}" if names else "")
    program = folder / "activate"
    program.write_text(f'#!/bin/sh\nexec {tool} {listens} {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_the_first_client_waits_and_is_served(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, HELLO)
    port = free_port()
    server = start("main:app", "--workers", "2", executable=activator(tmp_path, f"127.0.0.1:{port}"))
    wait_for(lambda: "Listening on" in server.output(), "systemd's socket")

    assert get(port) == (200, b"[]")

    server.wait_serving()
    assert server.status()["listeners"][0]["name"] == "web"
    for _ in range(10):
        assert get(port) == (200, b"[]")


def test_it_is_the_same_socket_after_reload_and_hot_restart(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, HELLO)
    port = free_port()
    server = start("main:app", "--workers", "1", executable=activator(tmp_path, f"127.0.0.1:{port}"))
    wait_for(lambda: "Listening on" in server.output(), "systemd's socket")
    get(port)
    server.wait_serving()

    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    assert get(port) == (200, b"[]")
    server.signal(signal.SIGUSR2)
    server.wait_generation(3, workers=1)
    assert get(port) == (200, b"[]")

    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_several_sockets_are_several_listeners(start: Start, tmp_path: Path) -> None:
    write_app(tmp_path, HELLO)
    port, path = free_port(), tmp_path / "web.sock"
    server = start(
        "main:app", "--workers", "1", executable=activator(tmp_path, f"127.0.0.1:{port}", str(path))
    )
    wait_for(lambda: output_has(server, "Listening on", 2), "both sockets")

    assert get(port) == (200, b"[]")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    server.wait_serving()
    assert [each["name"] for each in server.status()["listeners"]] == ["web", "web-2"]


def output_has(server: Server, text: str, count: int) -> bool:
    return server.output().count(text) >= count


CONFIG = """
workers: 1
listeners:
  - {name: site, bind: "fd:site", routes: [{respond: {body: site}}]}
  - {name: api, bind: "fd:api", routes: [{respond: {body: api}}]}
"""


def test_a_file_calls_the_sockets_by_their_names(start: Start, tmp_path: Path) -> None:
    """
    Their order in systemd's unit does not matter, and a hot restart knows them by name, too.
    """
    config = tmp_path / "penstock.yaml"
    config.write_text(CONFIG)
    site, api = free_port(), free_port()
    program = activator(tmp_path, f"127.0.0.1:{api}", f"127.0.0.1:{site}", names="api:site")
    server = start("-c", str(config), executable=program)
    wait_for(lambda: output_has(server, "Listening on", 2), "both sockets")

    assert get(site) == (200, b"site")
    assert get(api) == (200, b"api")

    server.wait_serving()
    server.signal(signal.SIGUSR2)
    server.wait_generation(2, workers=1)
    assert get(site) == (200, b"site")
    assert get(api) == (200, b"api")

    config.write_text(CONFIG.replace("fd:api", "fd:pai"))
    server.signal(signal.SIGHUP)
    status = server.wait_status(lambda status: status["reload_failures"], "a refused reload")
    assert "fd:pai" in status["master"]["last_failure"]["message"]
    assert "of these: api, site" in status["master"]["last_failure"]["message"]
    assert get(api) == (200, b"api")
