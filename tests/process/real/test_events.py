"""Server-sent events of sse-starlette: the most often cited reason why a server does not stop."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.process.browser import Browser
from tests.process.harness import Server, wait_for

Serve = Callable[..., Server]
ClientOf = Callable[[Server], httpx.Client]


def test_a_client_that_leaves_ends_its_generator(serve: Serve, client_of: ClientOf, tmp_path: Path) -> None:
    """
    Nobody counts for nobody.
    """
    server = serve("events_site:app")
    with client_of(server).stream("GET", "/ticks") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith("data:"))
    wait_for((tmp_path / "ended").exists, "the generator's end")


def test_the_server_stops_although_somebody_listens(
    serve: Serve, client_of: ClientOf, tmp_path: Path
) -> None:
    """
    The stream ends whole, its generator is cleaned up, and the exit status is 0.
    """
    server = serve("events_site:app", "--timeout-stream-drain", "0")
    with client_of(server).stream("GET", "/ticks") as response:
        lines = response.iter_lines()
        next(lines)
        server.signal(signal.SIGTERM)
        for _ in lines:
            pass  # to its proper end: httpx raises if it is cut off
    assert server.wait_exit() == 0
    assert (tmp_path / "ended").exists()


@pytest.mark.xdist_group("chromium")
def test_a_browser_goes_on_listening_over_a_reload(serve: Serve, browser: Browser) -> None:
    """
    The event source connects anew by itself, to the worker that came after.
    """
    server = serve("events_site:app", "--timeout-stream-drain", "0")
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/")
    tab.wait("list.children.length > 3")

    server.signal(signal.SIGHUP)
    server.wait_generation(2, workers=1)
    [worker] = server.status()["workers"]

    tab.wait(f"list.lastChild.textContent.startsWith('{worker['pid']} ')")
    assert tab.value("opened") >= 2
