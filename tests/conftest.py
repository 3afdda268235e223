"""Servers for the tests of whole processes, ended after each test whatever happened."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.deadlines import pytest_timeout_set_timer  # noqa: F401 (pytest finds it here)
from tests.process.browser import Browser, open_browser
from tests.process.harness import Server

# A shell starts what runs in its background deaf to Ctrl-C, and what is started by that inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says what else the machine does. What blocks a change must not depend on chance:
# CI takes the same examples each time, and whoever runs the tests elsewhere looks for others.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may go to, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="penstock-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start one browser, for whoever is in the group of that name."""
    with open_browser() as started:
        yield started


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Give the browser, whose tabs are closed after the test: a page that is open goes on asking."""
    yield chromium
    chromium.close_tabs()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server in the test's own folder."""
    servers: list[Server] = []

    def start_server(*arguments: str, **options: Any) -> Server:
        options.setdefault("cwd", tmp_path)
        server = Server(*arguments, **options)
        servers.append(server)
        return server

    yield start_server
    for server in servers:
        server.clean_up()
