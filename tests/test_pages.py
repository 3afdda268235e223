"""
The welcome page in a real browser: headless Chromium, told what to do over a pipe.

tests/test_admin_page.py is about the other page.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import __version__
from tests.process.browser import DESK, PHONE, Browser, assert_legible
from tests.process.harness import Server

pytestmark = pytest.mark.xdist_group("chromium")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start what `penstock` starts when it is told nothing else, with two workers."""
    started = Server("--port", "0", "--workers", "2", cwd=tmp_path)
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


def test_welcome_page_shows_every_worker_answering(browser: Browser, server: Server) -> None:
    """
    The first thing that a newcomer sees: all workers at work, and nothing missed.
    """
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/")
    tab.wait("document.querySelectorAll('.slot .generation.new').length === 0 && answered >= 48")

    assert tab.text("h1") == "Penstock is running."
    counts = tab.value("[...document.querySelectorAll('.count')].map((node) => Number(node.textContent))")
    pids = tab.value("[...document.querySelectorAll('.pid')].map((node) => Number(node.textContent))")
    assert len(counts) == 2
    assert min(counts) > 0
    assert sorted(pids) == sorted(worker["pid"] for worker in server.status()["workers"])
    assert " answered, 0 failed." in tab.text("#said")
    assert f"kill -USR2 {server.pid}" in tab.text(".next")
    assert tab.value("document.querySelector('.admin a').href") == f"http://127.0.0.1:{server.admin_port}/"
    assert f"Penstock {__version__} on" in tab.text(".facts")
    assert tab.complaints == []


def test_welcome_page_sees_a_hot_restart_pass(browser: Browser, server: Server) -> None:
    """
    It asks while the workers change under it, and tells that nobody was turned away.
    """
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/")
    tab.wait("answered > 0")

    server.signal(signal.SIGUSR2)
    tab.wait("[...cards.values()].every((card) => card.generation.textContent === '2')")

    assert tab.text("#said").endswith(" 0 failed. Generation 2 has taken over.")
    assert tab.complaints == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_welcome_page_fits(browser: Browser, server: Server, width: int) -> None:
    """
    The first look may well be on a phone, at a server in the next room.
    """
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/", width=width)
    tab.wait("answered > 0")

    assert tab.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_welcome_page_can_be_read(browser: Browser, server: Server, scheme: str) -> None:
    """
    Every colour of text stands out from every ground, by WCAG's measure for normal text.
    """
    tab = browser.open_tab(f"http://127.0.0.1:{server.port}/", scheme=scheme)

    assert_legible(tab, scheme, ("--ink", "--soft", "--water", "--alarm"), ("--paper", "--raised"))
