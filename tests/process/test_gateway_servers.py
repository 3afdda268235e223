"""Servers that people have behind a gateway, and clients that they have before it: all real."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.process.harness import Server, free_port, wait_for

Start = Callable[..., Server]

APPS = """
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log error; {user}
events {{}}
http {{
    access_log off; keepalive_timeout 2s;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }}
}}
"""

HAPROXY = """
global
    maxconn 200
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
    timeout http-keep-alive 2s
frontend behind
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string hello
"""


def command(kind: str, folder: Path, port: int) -> list[str]:
    """Write down how a server is run. Gunicorn closes an idle connection after 2 s, and uvicorn after 5."""
    python = [sys.executable, "-m"]
    if kind == "gunicorn":
        words = ["gunicorn", "apps:application", "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "4"]
        return [*python, *words, "--keep-alive", "2", "--log-level", "error"]
    if kind == "uvicorn":
        return [*python, "uvicorn", "apps:app", "--port", str(port), "--log-level", "error"]
    config = folder / f"{kind}.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text((NGINX if kind == "nginx" else HAPROXY).format(folder=folder, port=port, user=user))
    path = shutil.which(kind) or shutil.which(kind, path="/usr/sbin")
    assert path is not None, f"{kind} is not installed"
    return (
        [path, "-c", str(config), "-p", str(folder)] if kind == "nginx" else [path, "-db", "-f", str(config)]
    )


@contextmanager
def running(kind: str, folder: Path) -> Iterator[int]:
    """Run a server, and give its port."""
    port = free_port()
    (folder / "apps.py").write_text(APPS)
    process = subprocess.Popen(command(kind, folder, port), cwd=folder)

    def serves() -> bool:
        assert process.poll() is None, f"{kind} ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=20).close()
        except OSError:
            return False
        return True

    try:
        wait_for(serves, kind)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("kind", ["nginx", "haproxy", "gunicorn", "uvicorn"])
def test_no_request_is_lost_before_a_real_server(start: Start, tmp_path: Path, kind: str) -> None:
    """
    Nor when its connections have been idle for so long that somebody has closed them.
    """
    folder = tmp_path / "behind"
    folder.mkdir()
    with running(kind, folder) as port:
        path = tmp_path / "gateway.yaml"
        path.write_text(
            f"workers: 1\nlisteners: [{{bind: '127.0.0.1:0', routes: [{{proxy: '127.0.0.1:{port}'}}]}}]\n"
        )
        gateway = start("-c", str(path)).wait_serving()
        url = f"http://127.0.0.1:{gateway.port}/"

        def open_count() -> float:
            return gateway.metric("penstock_upstream_connections")

        with httpx.Client() as client:
            for _ in range(2):
                for method in ("GET", "POST", "GET", "PUT"):
                    answer = client.request(method, url, content=b"x" * 10_000 if method[0] == "P" else None)
                    assert (answer.status_code, answer.text) == (200, "hello")
                wait_for(lambda: open_count() == 0, "idle connections are closed")
        loaded = subprocess.run(
            ["wrk", "-t1", "-c8", "-d1", url], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert int(re.findall(r"(\d+) requests in", loaded)[0]) > 0
        assert "Non-2xx" not in loaded
        assert "Socket errors" not in loaded
        told = subprocess.run(
            ["curl", "-sS", "-i", url], capture_output=True, text=True, timeout=60, check=True
        )
        assert told.stdout.startswith("HTTP/1.1 200 OK\r\n".replace("\r\n", "\n"))
        assert "via: 1.1 penstock" in told.stdout
        assert gateway.metric("penstock_upstream_failures_total") == 0
