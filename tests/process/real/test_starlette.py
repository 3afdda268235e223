"""Starlette: mounts, static files, middleware and what goes on after an answer."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.process.harness import DEADLINE_S, Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make a folder of files to serve."""
    folder = tmp_path / "files"
    (folder / "below").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>index</h1>")
    (folder / "below" / "ünï.txt").write_text("täxt")
    (folder / "big.bin").write_bytes(os.urandom(3_000_000))
    return folder


@pytest.fixture
def server(serve: Serve, files: Path) -> Server:
    return serve("starlette_site:app", env={"SITE_FILES": str(files)})


def test_static_files_of_the_app(server: Server, client_of: ClientOf, files: Path) -> None:
    """
    Ranges, conditions, an index and names that are not ASCII; the bytes are the file's.
    """
    client = client_of(server)
    big = (files / "big.bin").read_bytes()

    whole = client.get("/files/big.bin")
    assert whole.content == big
    assert whole.headers["x-tag"] == "seen"
    assert client.get("/download").content == big
    part = client.get("/download", headers={"range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, big[1000:2000])
    again = client.get("/files/big.bin", headers={"if-none-match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head("/files/big.bin").headers["content-length"] == str(len(big))
    assert client.get("/files/").text == "<h1>index</h1>"
    assert client.get("/files/below/ünï.txt").text == "täxt"
    assert client.get("/files/missing").status_code == 404


def test_a_client_that_leaves_in_the_middle_of_a_file(
    server: Server, client_of: ClientOf, files: Path
) -> None:
    """
    The file is closed, nothing is logged as an error, and others are served.
    """
    client = client_of(server)
    [worker] = server.status()["workers"]
    descriptors = Path(f"/proc/{worker['pid']}/fd")

    for _ in range(5):
        with httpx.stream("GET", f"{client.base_url}/files/big.bin") as response:
            next(response.iter_raw(1000))
    assert client.get("/files/").status_code == 200
    wait_for(
        lambda: not any(os.path.realpath(each).endswith("big.bin") for each in descriptors.iterdir()),
        "no descriptor of the file",
    )
    assert "ERROR" not in server.output()
    assert "Traceback" not in server.output()


def test_mounted_apps_know_where_they_are(serve: Serve, client_of: ClientOf, files: Path) -> None:
    """
    root_path grows with each mount and is never there twice, with and without a prefix of our own.
    """
    client = client_of(serve("starlette_site:app", "--root-path", "/api", env={"SITE_FILES": str(files)}))

    for asked in ("/inner/where", "/api/inner/where"):
        told = client.get(asked).json()
        assert told["path"] == "/api/inner/where"
        assert told["root_path"] == "/api/inner"
        assert told["raw_path"] == "/api/inner/where"
        assert told["url_for"] == f"{client.base_url}/api/inner/where"
        assert told["state"] == "starlette"
    assert client.get("/inner/where/a%2Fb").json()["raw_path"] == "/api/inner/where/a%2Fb"


def test_bodies_both_ways_and_background_work(server: Server, client_of: ClientOf) -> None:
    """
    A chunked upload through a middleware comes back; what an answer leaves behind is done.
    """
    client = client_of(server)

    assert client.post("/upper", content=(b"abc%d " % number for number in range(1000))).text == "".join(
        f"ABC{number} " for number in range(1000)
    )
    assert client.get("/later").json() == {"before": 0}
    wait_for(lambda: client.get("/later").json()["before"] > 0, "background work done")


def test_websocket(server: Server) -> None:
    """
    The lifespan's state is there, and the subprotocol that was offered.
    """
    with connect(
        f"ws://127.0.0.1:{server.port}/echo",
        subprotocols=[Subprotocol("chat")],
        open_timeout=DEADLINE_S,
    ) as websocket:
        assert websocket.subprotocol == "chat"
        websocket.send("tea")
        assert websocket.recv(DEADLINE_S) == "starlette: tea"
