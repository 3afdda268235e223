"""Memory stays flat: thousands of requests later a worker is no larger than after the first hundreds."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.process.harness import DEADLINE_S, Server

Serve = Callable[..., Server]

# What the allocator may still take for its arenas once it has seen every kind of request.
GROWTH_BYTES_MAX = 4 * 1024 * 1024

pytestmark = pytest.mark.xdist_group("load")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("starlette_site:app", "/inner/where"),
        ("starlette_site:app", "/files/index.html"),
        ("litestar_site:app", "/hello"),
        ("quart_site:app", "/hello/tea"),
        ("django_site:asgi", "/hello"),
        ("django_site:wsgi", "/hello"),
        ("flask_site:app", "/who"),
    ],
)
def test_memory_stays_flat(target: str, path: str, serve: Serve, tmp_path: Path) -> None:
    """
    Ten requests at a time, as fast as they are answered.
    """
    (tmp_path / "index.html").write_text("<h1>index</h1>")
    server = serve(target, env={"SITE_FILES": str(tmp_path), "SITE_DB": str(tmp_path / "none.sqlite3")})
    [worker] = server.status()["workers"]
    process = psutil.Process(worker["pid"])

    load(server, path, 2)
    before = process.memory_info().rss
    served = server.metric("penstock_requests_total", code="2xx")
    load(server, path, 5)

    assert server.metric("penstock_requests_total", code="2xx") - served > 500
    assert server.metric("penstock_requests_total", code="5xx") == 0
    assert process.memory_info().rss - before < GROWTH_BYTES_MAX


def load(server: Server, path: str, seconds: int) -> None:
    """Ask for so long."""
    subprocess.run(
        ["wrk", "-t1", "-c10", f"-d{seconds}s", f"http://127.0.0.1:{server.port}{path}"],
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
