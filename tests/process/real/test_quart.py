"""Quart: a framework that runs its own tasks beside the one that it was called in."""

import hashlib
import signal
from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.process.harness import DEADLINE_S, Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]


def test_handlers(serve: Serve, client_of: ClientOf) -> None:
    """
    JSON, a form, a body in pieces, a stream, and work that goes on.
    """
    server = serve("quart_site:app")
    client = client_of(server)

    hello = client.get("/hello/tea", params={"a": "1"}).json()
    assert hello == {"hello": "tea", "client": "127.0.0.1", "query": {"a": "1"}}
    blob = bytes(range(256)) * 8000
    uploaded = client.post("/upload", data={"note": "für dich"}, files={"file": ("blob.bin", blob)}).json()
    assert uploaded == {"note": "für dich", "sha256": hashlib.sha256(blob).hexdigest()}
    assert client.post("/count", content=(bytes(1000) for _ in range(1000))).json() == {"size": 1_000_000}
    with client.stream("GET", "/stream") as response:
        assert list(response.iter_lines()) == [f"line {number}" for number in range(20)]
    client.get("/later")
    wait_for(lambda: client.get("/later").json()["before"] > 0, "background work done")
    failed = client.get("/fails")
    assert failed.status_code == 500
    assert "secret" not in failed.text
    wait_for(lambda: "a secret of the house" in server.output(), "the traceback in the log")


def test_websocket_is_told_of_a_reload(serve: Serve) -> None:
    """
    A worker that is replaced closes its sockets with 1012, and the client connects to the next.
    """
    server = serve("quart_site:app", "--timeout-stream-drain", "0")
    url = f"ws://127.0.0.1:{server.port}/echo"
    with connect(url, open_timeout=DEADLINE_S) as websocket:
        websocket.send("tea")
        assert websocket.recv(DEADLINE_S) == "quart: tea"
        server.signal(signal.SIGHUP)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(DEADLINE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    server.wait_generation(2, workers=1)
    with connect(url, open_timeout=DEADLINE_S) as websocket:
        websocket.send("again")
        assert websocket.recv(DEADLINE_S) == "quart: again"
