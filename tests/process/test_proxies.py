"""A server behind proxies: curl as one, and nginx as it is deployed."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.harness import Server, free_port, wait_for, write_app

Start = Callable[..., Server]
CONF = Path(__file__).parents[2] / "etc" / "nginx-in-front.conf"

APP = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    told = {name: scope[name] for name in ("client", "scheme", "server")}
    told["host"] = dict(scope["headers"])[b"host"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""


@contextmanager
def nginx(folder: Path, upstream: str, own: str = "127.0.0.1") -> Iterator[int]:
    """Run nginx with the file that we give people, and our addresses in it."""
    port = free_port()
    text = CONF.read_text()
    text = re.sub(r"server unix:/run/penstock/web\.sock;", f"server {upstream};", text)
    text = text.replace("listen 80;", f"listen {own}:{port};")
    (folder / "site.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        + ("user root;" if os.geteuid() == 0 else "")
        + f"events {{}} http {{ access_log off; {temporary} include {folder}/site.conf; }}"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)

    def serves() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        try:
            socket.create_connection((own, port), timeout=20).close()
        except OSError:
            return False
        return True

    try:
        wait_for(serves, "nginx")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_behind_nginx_the_client_is_who_asked_nginx(start: Start, tmp_path: Path, way: str) -> None:
    """
    With nothing said about proxies, on both ways that people have. What the client invents is not believed.
    """
    write_app(tmp_path, APP)
    path = tmp_path / "web.sock"
    where = ("--uds", str(path)) if way == "unix" else ("--port", "0")
    server = start("main:app", *where, "--workers", "1", "--access-log").wait_serving()
    upstream = f"unix:{path}" if way == "unix" else f"127.0.0.1:{server.port}"

    # nginx listens on another loopback address, so that a client's is not one that is trusted.
    with nginx(tmp_path, upstream, own="127.0.0.7") as port:
        for invented in (
            {},
            {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=7.7.7.7"},
        ):
            done = subprocess.run(
                ["curl", "-sS", "--interface", "127.0.0.9", f"http://127.0.0.7:{port}/x",
                 *(word for name, value in invented.items() for word in ("-H", f"{name}: {value}"))],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            told = json.loads(done.stdout)
            assert told["client"] == ["127.0.0.9", 0]
            assert told["scheme"] == "http"
            assert told["host"] == f"127.0.0.7:{port}"
    wait_for(lambda: server.output().count("127.0.0.9 - - [") == 2, "two lines of the access log")
    assert "WARNING" not in server.output()
    assert server.stop() == 0


def test_what_is_trusted_is_believed(start: Start, tmp_path: Path) -> None:
    """
    Address, port and scheme, as a load balancer has them.
    """
    write_app(tmp_path, APP)
    server = start(
        "main:app", "--port", "0", "--workers", "1", "--access-log",
        env={"FORWARDED_ALLOW_IPS": "127.0.0.1,10.0.0.0/8"},
    ).wait_serving()  # fmt: skip

    told = json.loads(
        server.get("/", **{"X-Forwarded-For": "203.0.113.9:4711, 10.1.1.1", "X-Forwarded-Proto": "https"})[1]
    )

    assert told["client"] == ["203.0.113.9", 4711]
    assert told["scheme"] == "https"
    assert told["server"] == ["127.0.0.1", server.port]
    wait_for(lambda: re.search(r'^203\.0\.113\.9 .*"GET / HTTP/1\.1" 200', server.output(), re.M), "the line")


@pytest.mark.parametrize("options", [("--no-proxy-headers",), ("--forwarded-allow-ips", "10.0.0.0/8")])
def test_what_is_not_trusted_is_not(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    """
    And told of once a worker, if somebody may have expected otherwise.
    """
    write_app(tmp_path, APP)
    server = start("main:app", "--port", "0", "--workers", "2", *options).wait_serving()

    for _ in range(20):
        told = json.loads(
            server.get("/", **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})[1]
        )
        assert told["client"][0] == "127.0.0.1"
        assert told["scheme"] == "http"

    told_count = server.output().count("--forwarded-allow-ips")
    assert told_count in ({0} if options == ("--no-proxy-headers",) else {1, 2})


def test_family_of_the_file_is_read(start: Start, tmp_path: Path) -> None:
    """
    RFC 7239 instead of what everybody else does.
    """
    write_app(tmp_path, APP)
    (tmp_path / "p.yaml").write_text(
        "workers: 1\nlisteners:\n  - bind: 127.0.0.1:0\n    forwarded: forwarded\n"
        "    routes: [{app: 'main:app'}]\n"
    )
    server = start("-c", "p.yaml").wait_serving()

    told = json.loads(
        server.get("/", Forwarded='for="[2001:db8::9]:81";proto=https', **{"X-Forwarded-For": "6.6.6.6"})[1]
    )

    assert told["client"] == ["2001:db8::9", 81]
    assert told["scheme"] == "https"
