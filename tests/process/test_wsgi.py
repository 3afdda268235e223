"""Flask, Django and plain WSGI apps in real workers, asked by real clients."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from penstock.worker.http.outlet import RESET
from tests.process.harness import APPS, DEADLINE_S, Server, run_penstock, wait_for, write_app

Start = Callable[..., Server]

# What a worker may grow by while hundreds of megabytes go through it.
GROWTH_BYTES_MAX = 24 << 20
MEBIBYTE = 1 << 20


@pytest.fixture
def flask(start: Start, tmp_path: Path) -> Server:
    """Serve the Flask app on one worker with four threads."""
    return serve_flask(start, "--threads", "4")


def serve_flask(start: Start, *options: str) -> Server:
    return start(
        *("flask_shop:app", "--app-dir", str(APPS), "--port", "0", "--workers", "1", *options)
    ).wait_serving()


def worker(server: Server) -> psutil.Process:
    def ready() -> list[dict[str, Any]]:
        return [each for each in server.status()["workers"] if each["state"] == "ready"]

    [entry] = wait_for(ready, "the worker to be ready")
    return psutil.Process(entry["pid"])


def pieces(count: int) -> Any:
    """Give so many mebibytes."""
    return (b"x" * MEBIBYTE for _ in range(count))


def test_flask_is_found_out_and_served(flask: Server) -> None:
    """No option says that it is WSGI."""
    with httpx.Client(base_url=f"http://127.0.0.1:{flask.port}") as client:
        assert client.get("/").text == "Hello from Flask"
        told = client.get("/whoami?a=%20b").json()
        assert told["thread"].startswith("wsgi-")
        assert told["multithread"] is True
        assert told["url"] == f"http://127.0.0.1:{flask.port}/whoami?a=%20b"
        assert told["client"] == "127.0.0.1"
        form = client.post("/form", data={"title": "tea"}, files={"file": ("a.txt", b"y" * 200_000)})
        assert form.json() == {"name": "a.txt", "size": 200_000, "title": "tea"}
        failed = client.get("/fail")
        assert failed.status_code == 500
        assert "as asked" not in failed.text
        assert client.get("/").text == "Hello from Flask"
    # What Flask logs, it writes to wsgi.errors.
    wait_for(lambda: "RuntimeError: as asked" in flask.output(), "the traceback in the log")


def test_uploads_and_downloads_take_no_memory(flask: Server) -> None:
    """With a length and in chunks; the worker stays as large as it was."""
    upload_and_download(flask, 100)


@pytest.mark.soak
def test_uploads_and_downloads_of_500_mb_take_no_memory(flask: Server) -> None:
    """As above, with what users have tried."""
    upload_and_download(flask, 500)


def upload_and_download(server: Server, mebibytes: int) -> None:
    process = worker(server)
    peak = before = process.memory_info().rss
    size = mebibytes * MEBIBYTE
    is_over = threading.Event()

    def look() -> None:
        nonlocal peak
        while not is_over.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=DEADLINE_S) as client:
            for headers in ({"content-length": str(size)}, {}):
                told = client.post("/upload", content=pieces(mebibytes), headers=headers)
                assert told.json() == {"size": size}
            with client.stream("GET", f"/download/{mebibytes}") as response:
                assert sum(map(len, response.iter_bytes())) == size
    finally:
        is_over.set()
        watcher.join()
    assert peak - before < GROWTH_BYTES_MAX


def test_curl_uploads_a_sparse_file(flask: Server, tmp_path: Path) -> None:
    """With Expect: 100-continue, as curl does with what is large."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    command = ["curl", "-sS", "--max-time", "60", "--data-binary", f"@{path}"]
    command += ["-H", "Content-Type: application/octet-stream", "-H", "Expect: 100-continue"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{flask.port}/upload"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"size": 64 * MEBIBYTE}


def test_django_is_served(start: Start) -> None:
    """Paths as they were meant, uploads and streams; under a prefix, too."""
    server = start(
        *("django_shop:application", "--app-dir", str(APPS), "--port", "0", "--workers", "1"),
        *("--root-path", "/shop"),
    ).wait_serving()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert client.get("/").text == "Hello from Django http /shop/ /shop"
        assert client.get("/shop/café/").text == "Hello from Django http /shop/café/ /shop"
        assert client.post("/upload", content=b"x" * 300_000).json() == {"size": 300_000}
        assert client.get("/stream").text == "".join(f"{number}," for number in range(1000))
        assert client.get("/nothing").status_code == 404


def test_a_client_that_leaves_frees_its_thread(flask: Server, tmp_path: Path) -> None:
    """The generator is closed, and nothing is logged."""
    sock = socket.create_connection(("127.0.0.1", flask.port), DEADLINE_S)
    sock.sendall(b"GET /ticks HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"tick" in sock.recv(65536) + sock.recv(65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()

    wait_for((tmp_path / "ticks.closed").exists, "the end of the generator")
    assert "ERROR" not in flask.output()


def test_metrics_are_right_when_threads_count_at_once(flask: Server) -> None:
    """Each increment reads and writes, and none is lost."""
    with ThreadPoolExecutor(8) as pool:
        assert all(status == 200 for status, _ in pool.map(lambda _: flask.get("/drink/green"), range(200)))

    assert flask.metric("cups_total", kind="green") == 20_000
    assert flask.metric("steeping_count") == 20_000
    assert flask.metric("steeping_sum") == 30_000


@pytest.mark.parametrize("is_pure", [False, True])
def test_a_drain_waits_for_threads(start: Start, tmp_path: Path, is_pure: bool) -> None:
    """A roll in the middle of requests: one in a thread, and one that waits for it."""
    server = start(
        *("flask_shop:app", "--app-dir", str(APPS), "--port", "0", "--workers", "1", "--threads", "1"),
        env={"PENSTOCK_PURE": str(int(is_pure))},
    ).wait_serving()
    old = worker(server).pid
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.get, "/wait/go")
        wait_for((tmp_path / "go.began").exists, "the first request")
        second = pool.submit(server.get, "/whoami")
        # Where it waits is shown.
        stacks = wait_for(lambda: in_stacks(server, tmp_path, "waits for a thread"), "the second request")
        assert "GET /wait/go" in stacks
        assert "in wsgi-1" in stacks
        assert "Thread wsgi-1" in stacks
        assert "in wait\n" in stacks  # the app's own function
        server.signal(signal.SIGHUP)
        server.wait_status(
            lambda status: any(each["state"] == "draining" for each in status["workers"]), "a drain"
        )
        (tmp_path / "go").touch()
        assert first.result(DEADLINE_S)[1] == b"waited"
        assert json.loads(second.result(DEADLINE_S)[1])["pid"] == old
    server.wait_generation(2, 1)
    assert json.loads(server.get("/whoami")[1])["multithread"] is False
    assert server.stop() == 0
    assert "Traceback" not in server.output()


def in_stacks(server: Server, folder: Path, text: str) -> str:
    done = run_penstock("stacks", "0", "--control", str(server.control), cwd=folder)
    return done.stdout if text in done.stdout else ""


def test_a_stuck_thread_does_not_stop_the_exit(start: Start, tmp_path: Path) -> None:
    """It is named in the log, and ends with the process."""
    server = serve_flask(start, "--threads", "2", "--timeout-graceful-shutdown", "1")
    process = worker(server)
    sock = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
    sock.sendall(b"GET /wait/never HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for((tmp_path / "never.began").exists, "the request")

    assert server.stop() == 0
    assert not process.is_running()
    assert "left a WSGI thread behind that is still at work on GET /wait/never" in server.output()
    sock.close()


def test_event_streams_end_in_a_roll(flask: Server) -> None:
    """Their clients read a proper end, and come back to the successor."""
    with (
        httpx.Client(timeout=DEADLINE_S) as client,
        client.stream("GET", f"http://127.0.0.1:{flask.port}/ticks") as response,
    ):
        lines = response.iter_text()
        assert next(lines).startswith("data: tick")
        flask.signal(signal.SIGHUP)
        for _ in lines:
            pass
    flask.wait_generation(2, 1)


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("flask_shop:app", [], 0),
        ("flask_shop:app", ["--interface", "wsgi", "--threads", "3"], 0),
        ("flask_shop:app", ["--threads", "0"], 2),
        ("flask_shop:app", ["--interface", "wsgy"], 2),
        ("main:app", ["--interface", "wsgi"], 3),
        ("main:four", [], 3),
    ],
)
def test_check_judges_as_the_server_does(
    tmp_path: Path, target: str, options: list[str], expected: int
) -> None:
    """Before anything is bound."""
    write_app(tmp_path, "async def app(scope, receive, send): ...\ndef four(a, b, c, d): ...\n")
    folder = tmp_path if target.startswith("main") else APPS
    done = run_penstock("check", target, "--app-dir", str(folder), *options, cwd=tmp_path)

    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr


def test_both_kinds_of_apps_and_asgi_2_in_one_server(start: Start, tmp_path: Path) -> None:
    """Side by side in a file, preloaded, over a UNIX socket as well."""
    write_app(
        tmp_path,
        """
async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi 3"})

class Old:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        if self.scope["type"] == "http":
            await asgi(self.scope, receive, send)

def simple(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    keys = "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme"
    return [" ".join(repr(environ[key]) for key in keys).encode()]

def hidden(*args):
    return simple(*args)
""",
    )
    (tmp_path / "penstock.yaml").write_text(
        f"""
workers: 1
threads: 2
preload: true
listeners:
  - name: web
    bind: 127.0.0.1:0
    routes: &routes
      - {{match: {{path: /asgi}}, app: "main:asgi"}}
      - {{match: {{path: /old}}, app: "main:Old"}}
      - {{match: {{path: /hidden}}, app: "main:hidden", interface: wsgi}}
      - {{app: "main:simple"}}
  - name: local
    bind: unix:{tmp_path}/web.sock
    routes: *routes
"""
    )
    server = start("-c", "penstock.yaml").wait_serving()

    assert server.get("/asgi")[1] == server.get("/old")[1] == b"asgi 3"
    for path in ("/", "/hidden"):
        assert server.get(path)[1].decode() == f"'127.0.0.1' '{server.port}' '127.0.0.1' 'http'"
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "web.sock"))) as client:
        assert client.get("http://shop.example/").text == "'shop.example' '80' '' 'http'"
        assert client.get("http://shop.example/asgi").text == "asgi 3"
    assert server.stop() == 0
