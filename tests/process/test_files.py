"""Static files of a real server, asked for by real clients."""

import asyncio
import hashlib
import http.client
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.harness import DEADLINE_S, Server, run_penstock, wait_for, write_app

LARGE = 3_000_000
HUGE = 24_000_000
PEM = Path(__file__).parents[1] / "master" / "config" / "pem"

APP = """
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

async def extensions(request):
    return PlainTextResponse(" ".join(request.scope["extensions"]))

async def download(request):
    return FileResponse(Path("public/large"), filename="large.bin")

app = Starlette(routes=[
    Route("/extensions", extensions),
    Route("/download", download),
    Mount("/mounted", StaticFiles(directory="public")),
])
"""

Start = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder to serve, in the one that the server starts in."""
    public = tmp_path / "public"
    public.mkdir()
    (public / "index.html").write_text("home")
    (public / "a.txt").write_text("0123456789" * 100)
    (public / "a.txt.gz").write_bytes(
        subprocess.run(["gzip", "-c", public / "a.txt"], check=True, capture_output=True).stdout
    )
    (public / "large").write_bytes(bytes(range(250)) * (LARGE // 250))
    write_app(tmp_path, APP, "files_app.py")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Give what starts a server there."""
    servers: list[Server] = []

    def begin(*arguments: str) -> Server:
        server = Server(*arguments, "--workers", "1", cwd=folder)
        servers.append(server)
        return server.wait_serving()

    yield begin
    for server in servers:
        server.clean_up()


def curl(*arguments: str) -> bytes:
    """Run curl."""
    command = ["curl", "-sS", "--max-time", str(DEADLINE_S), "--path-as-is", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S).stdout


def test_folder_is_served_without_an_app(start: Start, folder: Path) -> None:
    """
    What curl asks for: whole, in ranges, compressed, again.
    """
    server = start("--static", "/=./public", "--port", "0")
    base = f"http://127.0.0.1:{server.port}"
    large = (folder / "public" / "large").read_bytes()
    assert curl(f"{base}/") == b"home"
    assert curl(f"{base}/large") == large
    assert curl("-r", "10-2000009", f"{base}/large") == large[10:2000010]
    assert curl("-r", "-7", f"{base}/large") == large[-7:]
    assert b"content-encoding: gzip" in curl("-D-", "--compressed", f"{base}/a.txt")
    assert curl("--compressed", f"{base}/a.txt") == (folder / "public" / "a.txt").read_bytes()
    etag, code = folder / "etag", ["-w", "%{http_code}", "-o", "/dev/null"]
    assert curl("--etag-save", str(etag), *code, f"{base}/a.txt") == b"200"
    assert curl("--etag-compare", str(etag), *code, f"{base}/a.txt") == b"304"
    assert curl("-z", "1 Jan 2037", *code, f"{base}/a.txt") == b"304"
    assert curl("-H", 'If-Match: "x"', *code, f"{base}/a.txt") == b"412"
    assert curl("-r", f"{LARGE}-", *code, f"{base}/large") == b"416"
    assert curl(*code, f"{base}/../etag") == b"404"
    # A download that was cut off is continued.
    (folder / "part").write_bytes(large[:1_000_000])
    curl("-C", "-", "-o", str(folder / "part"), f"{base}/large")
    assert (folder / "part").read_bytes() == large
    assert server.metric("penstock_requests_total", route="/", code="4xx") == 3
    wait_for(lambda: server.metric("penstock_sent_bytes_total") > 7_000_000, "what was sent")


def test_folders_come_before_the_app(start: Start) -> None:
    """
    In the order given; what is below no folder is the app's. granian's options are understood.
    """
    server = start(
        *("files_app:app", "--static", "/s=public", "--static", "/t/=public"),
        *("--static-path-mount", "public", "--port", "0"),
    )
    for path in ("/s/a.txt", "/t/a.txt", "/static/a.txt"):
        assert server.get(path)[0] == 200
    assert server.get("/s/none")[0] == 404
    assert b"http.response.pathsend" in server.get("/extensions")[1]


def test_files_of_starlette(start: Start, folder: Path) -> None:
    """
    FileResponse and StaticFiles hand their files over, in plaintext and under TLS.
    """
    large = (folder / "public" / "large").read_bytes()
    (folder / "penstock.yaml").write_text(
        f"""
listeners:
  - {{bind: "127.0.0.1:0", name: plain, routes: [{{app: "files_app:app"}}]}}
  - bind: "127.0.0.2:0"
    name: tls
    tls: {{certificates: [{{cert: {PEM}/cert.pem, key: {PEM}/key.pem}}]}}
    routes:
      - {{match: {{path: /static/}}, files: {{root: public}}}}
      - {{app: "files_app:app"}}
"""
    )
    server = start("-c", "penstock.yaml")
    addresses = {each["name"]: each["address"] for each in server.status()["listeners"]}
    for base in (f"http://{addresses['plain']}", f"https://{addresses['tls']}"):
        assert curl("-k", f"{base}/download") == large
        assert curl("-k", f"{base}/mounted/large") == large
        assert curl("-k", "-r", "5-1999999", f"{base}/mounted/large") == large[5:2_000_000]
        head = curl("-k", "-I", f"{base}/download")
        assert b"content-length: %d" % LARGE in head
    assert curl("-k", f"https://{addresses['tls']}/static/large") == large
    assert curl("-k", "-r", "1-2500000", f"https://{addresses['tls']}/static/large") == large[1:2_500_001]
    assert "ERROR" not in server.output()


def test_many_at_once(start: Start, folder: Path) -> None:
    """
    200 downloads, and a small request that has its turn among them.
    """
    server = start("--static", "/=./public", "--port", "0")
    wanted = hashlib.sha256((folder / "public" / "large").read_bytes()).hexdigest()

    async def download() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        digest = hashlib.sha256()
        while piece := await reader.read(65536):
            digest.update(piece)
        writer.close()
        return digest.hexdigest()

    async def all_of_them() -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.gather(*(download() for _ in range(200)))

    assert set(asyncio.run(all_of_them())) == {wanted}
    wait_for(lambda: server.metric("penstock_requests_total", code="2xx") == 200, "the count")


def test_drain_lets_a_download_finish(start: Start, folder: Path) -> None:
    """
    The client gets the rest of what it has begun, and then the server ends.
    """
    (folder / "public" / "huge").write_bytes(b"x" * HUGE)
    server = start("--static", "/=./public", "--port", "0")
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.read(10) == b"x" * 10
        server.signal(signal.SIGTERM)
        wait_for(lambda: "draining" in server.output(), "the drain")
        assert len(response.read()) == HUGE - 10
    assert server.wait_exit() == 0
    assert "cut off" not in server.output()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--static", "public"], "--static: found 'public', expected PREFIX=DIR, such as /static=./public"),
        (["--static", "/x=nowhere"], "found 'nowhere', expected a folder: no such file or directory"),
        (["--static-path-route", "/x"], "--static-path-route: goes with --static-path-mount"),
        (["--static", "/=public", "--factory"], "--factory: goes with APP"),
        (
            ["--static", "/=public", "-c", "f.yaml"],
            "--static: goes with APP or alone; in a file a route has the key",
        ),
    ],
)
def test_what_is_wrong_is_told(folder: Path, arguments: list[str], told: str) -> None:
    """
    In one line, and nothing starts.
    """
    (folder / "f.yaml").write_text("listeners: [{bind: ':0', routes: [{respond: {}}]}]\n")
    done = run_penstock(*arguments, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr + done.stdout
