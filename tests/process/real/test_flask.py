"""Flask, which is WSGI: found out by looking."""

import hashlib
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

from tests.process.harness import Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]

BLOCK = bytes(range(256)) * 4096  # 1 MiB
GROWTH_BYTES_MAX = 24 * 1024 * 1024


def test_sessions_redirects_and_failures(serve: Serve, client_of: ClientOf) -> None:
    """
    What a Flask app does on its first day.
    """
    server = serve("flask_site:app")
    client = client_of(server)

    assert client.get("/").text == "hello, world"
    answer = client.post("/login", data={"name": "Ünal"}, follow_redirects=True)
    assert answer.json() == {"name": "Ünal", "client": "127.0.0.1", "url": f"{client.base_url}/who"}
    failed = client.get("/fails")
    assert failed.status_code == 500
    assert "secret" not in failed.text
    wait_for(lambda: "a secret of the house" in server.output(), "the traceback in the log")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("is_chunked", [False, True])
def test_half_a_gigabyte_up_in_constant_memory(serve: Serve, client_of: ClientOf, is_chunked: bool) -> None:
    """
    The app reads it piece by piece, and no more than a few pieces are ever here.
    """
    server = serve("flask_site:app")
    client = client_of(server)
    [worker] = server.status()["workers"]
    process = psutil.Process(worker["pid"])
    client.post("/digest", content=BLOCK)
    before = most = process.memory_info().rss

    seen = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        nonlocal most
        for number in range(500):
            seen.update(BLOCK)
            yield BLOCK
            if number % 25 == 0:
                most = max(most, process.memory_info().rss)

    headers = {} if is_chunked else {"content-length": str(500 * len(BLOCK))}
    answer = client.post("/digest", content=blocks(), headers=headers).json()

    assert answer == {"sha256": seen.hexdigest(), "size": 500 * len(BLOCK)}
    assert most - before < GROWTH_BYTES_MAX


def test_half_a_gigabyte_down_in_constant_memory(serve: Serve, client_of: ClientOf) -> None:
    """
    The generator is asked for no more than the client takes.
    """
    server = serve("flask_site:app")
    client = client_of(server)
    [worker] = server.status()["workers"]
    process = psutil.Process(worker["pid"])
    client.get("/zeros/1000000")
    before = most = process.memory_info().rss

    size = 0
    with client.stream("GET", f"/zeros/{500 * 1024 * 1024}") as response:
        for number, piece in enumerate(response.iter_raw(1 << 20)):
            size += len(piece)
            if number % 25 == 0:
                most = max(most, process.memory_info().rss)

    assert size == 500 * 1024 * 1024
    assert most - before < GROWTH_BYTES_MAX
