"""Compressed responses of a real server with a real app, to real clients."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.process.harness import Server, run_penstock, wait_for, write_app

SHOP = """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

app = FastAPI()

@app.get("/items")
async def items():
    return [{"id": number, "name": f"item {number}"} for number in range(500)]

@app.get("/rows")
async def rows():
    return StreamingResponse((f"row {number}\\n" for number in range(500)), media_type="text/plain")

@app.get("/picture")
async def picture():
    return Response(b"p" * 5000, media_type="image/png")

@app.get("/missing")
async def missing():
    return PlainTextResponse("not here " * 500, 404)
"""
OPTIONS = ("main:app", "--port", "0", "--workers", "1")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []
    write_app(tmp_path, SHOP)

    def run(*options: str) -> Server:
        servers.append(Server(*(options or OPTIONS), cwd=tmp_path))
        return servers[-1].wait_serving()

    yield run
    for server in servers:
        server.clean_up()


def test_a_fastapi_app_is_compressed_for_httpx_and_curl(start: Callable[..., Server]) -> None:
    """
    Whole and streamed, by each coding, and the clients see nothing of it.
    """
    server = start(*OPTIONS, "--compression")
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=url) as client:
        for path in ("/items", "/rows", "/missing"):
            plain = client.get(path, headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
            for coding in ("gzip", "br", "zstd"):
                response = client.get(path, headers={"accept-encoding": coding})
                assert response.headers["content-encoding"] == coding
                assert response.content == plain.content
                if path != "/rows":  # As they come, and how many come at once is up to the machine.
                    assert response.num_bytes_downloaded < len(plain.content) / 3
        assert "content-encoding" not in client.get("/picture").headers
        plain = client.get("/items", headers={"accept-encoding": "identity"})
    curl = shutil.which("curl")
    assert curl is not None
    for coding in ("gzip", "br"):
        command = [curl, "-sS", "--compressed", "-H", f"Accept-Encoding: {coding}", f"{url}/items"]
        assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == plain.content


def test_log_and_metrics_have_the_bytes_that_were_sent(start: Callable[..., Server], tmp_path: Path) -> None:
    """
    Not those that the app has made.
    """
    log = tmp_path / "access.log"
    server = start(*OPTIONS, "--compression", "--access-log-file", str(log), "--access-log-format", "json")
    response = httpx.get(f"http://127.0.0.1:{server.port}/items")
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"), "a line")
    line = json.loads(log.read_text())
    sent = response.num_bytes_downloaded
    assert response.headers["content-encoding"] in ("zstd", "br", "gzip")
    assert any(isinstance(value, int) and sent <= value <= sent + 400 for value in line.values()), line
    wait_for(lambda: 0 < server.metric("penstock_sent_bytes_total") < sent + 400, "the bytes to be counted")


def test_a_route_may_say_otherwise(start: Callable[..., Server], tmp_path: Path) -> None:
    """
    The nearest word counts, and a fixed answer is compressed as well.
    """
    (tmp_path / "p.yaml").write_text(
        """
compression: {algorithms: [gzip], min_size: 100B}
workers: 1
listeners:
  - bind: 127.0.0.1:0
    routes:
      - {match: {path: /rows}, app: main:app, compression: none}
      - {match: {path: /fixed}, respond: {body: "%s"}}
      - {app: main:app}
"""
        % ("fixed " * 50)
    )
    server = start("-c", "p.yaml")
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert "content-encoding" not in client.get("/rows").headers
        assert client.get("/items").headers["content-encoding"] == "gzip"
        fixed = client.get("/fixed")
        assert (fixed.headers["content-encoding"], fixed.text) == ("gzip", "fixed " * 50)


def test_an_algorithm_without_its_library_is_told_with_the_extra(tmp_path: Path) -> None:
    """
    Before anything starts, with its place; and without being asked for it is left out.
    """
    write_app(tmp_path, SHOP)
    # A finder that knows no brotli, as on a machine without it.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('brotli', 'zstandard'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    config = tmp_path / "p.yaml"
    listeners = "\nlisteners: [{bind: ':0', routes: [{respond: {}}]}]\n"
    config.write_text("compression: {algorithms: [br, gzip]}" + listeners)
    env = {"PYTHONPATH": str(tmp_path)}

    result = run_penstock("check", "-c", "p.yaml", cwd=tmp_path, env=env)
    assert result.returncode == 2
    told = re.search(
        r"p.yaml:1:27: compression.algorithms: found 'br', which is not installed.*", result.stderr
    )
    assert told is not None, result.stderr
    assert "pip install 'penstock[compression]'" in told[0]

    config.write_text("compression: true" + listeners)
    assert run_penstock("check", "-c", "p.yaml", cwd=tmp_path, env=env).returncode == 0
