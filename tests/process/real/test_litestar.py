"""Litestar, with its own opinions on types, threads, streams and sockets."""

import hashlib
from collections.abc import Callable

import httpx
from websockets.sync.client import connect

from tests.process.harness import DEADLINE_S, Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]


def test_handlers(serve: Serve, client_of: ClientOf) -> None:
    """
    JSON both ways, a thread, an upload, a stream and events.
    """
    server = serve("litestar_site:app")
    client = client_of(server)

    assert client.get("/hello").json() == {"hello": "world"}
    assert client.get("/sync").text == "from a thread"
    assert client.post("/items", json={"name": "tea", "price": 2.5}).json() == {"name": "tea", "price": 5.0}
    assert client.post("/items", json={"name": "tea"}).status_code == 400
    blob = bytes(range(256)) * 8000
    uploaded = client.post("/upload", files={"data": ("blob.bin", blob)}).json()
    assert uploaded == {"filename": "blob.bin", "sha256": hashlib.sha256(blob).hexdigest()}
    with client.stream("GET", "/stream") as response:
        assert list(response.iter_lines()) == [f"line {number}" for number in range(20)]
    events = client.get("/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.text.count("event: count") == 3
    assert client.get("/schema/openapi.json").json()["openapi"]
    assert client.get("/missing").status_code == 404


def test_failure(serve: Serve, client_of: ClientOf) -> None:
    """
    The traceback is in the log, and the client learns nothing.
    """
    server = serve("litestar_site:app")
    client = client_of(server)

    answer = client.get("/fails")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert client.get("/hello").status_code == 200
    wait_for(lambda: "ERROR" not in server.output() or "secret" in server.output(), "the log, if any")


def test_websocket(serve: Serve) -> None:
    """
    A listener that is a plain function.
    """
    server = serve("litestar_site:app")
    with connect(f"ws://127.0.0.1:{server.port}/echo", open_timeout=DEADLINE_S) as websocket:
        websocket.send("tea")
        assert websocket.recv(DEADLINE_S) == "litestar: tea"
