"""The admin page beside a real server: under traffic, and while things happen to it."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.process.browser import NARROW, Browser, Tab, assert_legible
from tests.process.harness import Server, free_port, wait_for
from tests.process.traffic import OneShotClients

RATE = 40.0


pytestmark = pytest.mark.xdist_group("chromium")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server("--port", "0", "--workers", "2", cwd=tmp_path)
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


def open_page(browser: Browser, port: int, **look: int | str) -> Tab:
    """Open the page of the server, and mark the document so that a reload would show."""
    tab = browser.open_tab(f"http://127.0.0.1:{port}/", **look)  # type: ignore[arg-type]
    tab.value("window.isSame = true")
    tab.wait("document.querySelectorAll('#workers .state.good').length === 2")
    return tab


def complaints_of(tab: Tab) -> list[str]:
    """
    Leave out that a server need not tell which requests are in flight.

    The page asks once, and a browser reports every 404.
    """
    return [complaint for complaint in tab.complaints if not complaint.endswith("/requests")]


def pids_shown(tab: Tab) -> set[int]:
    told = "[...document.querySelectorAll('#workers tbody tr')].map((tr) => Number(tr.children[2].innerText))"
    return set(tab.value(told))


def wait_pids(tab: Tab, server: Server) -> None:
    """Wait until the page shows the very workers that run."""
    wait_for(
        lambda: pids_shown(tab) == {worker["pid"] for worker in server.status()["workers"]},
        "the page to show the workers that run",
    )


def test_numbers_move_without_a_reload(browser: Browser, server: Server) -> None:
    """
    All four plots have something to show, from the server's own answers and from nowhere else.
    """
    tab = open_page(browser, server.admin_port)
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(OneShotClients(server.port, RATE))
        for connection in idle:
            stack.enter_context(connection)
        tab.wait("parseFloat(document.getElementById('requests-now').textContent) > 5")
        tab.wait("parseInt(document.getElementById('connections-now').textContent) >= 3")
        tab.wait("/^[0-9.]+$/.test(document.getElementById('p99').textContent)")
        for plot in ("requests", "latency", "connections", "lag"):
            line = f"document.querySelector('#{plot}-plot .line').getAttribute('d')"
            tab.wait(f"{line}.includes('L')")
        first = tab.value("document.querySelector('#requests-plot .line').getAttribute('d')")
        tab.wait(f"document.querySelector('#requests-plot .line').getAttribute('d') !== '{first}'")
        tab.wait("parseFloat(document.querySelector('#workers tbody tr').children[9].innerText) > 0")
    assert clients.outcomes.keys() == {"200"}

    status = server.status()
    wait_pids(tab, server)
    assert tab.text("#pid") == str(server.pid)
    tab.wait("document.getElementById('state').textContent === 'running'")
    shard_count = sum(len(listener["shards"]) for listener in status["listeners"])
    assert tab.value("document.querySelectorAll('.shards li').length") == shard_count
    assert tab.value("window.isSame")
    assert complaints_of(tab) == []
    origin = f"http://127.0.0.1:{server.admin_port}/"
    assert [url for url in tab.requests if not url.startswith((origin, "data:"))] == []


def test_the_policy_lets_nothing_else_run(browser: Browser, server: Server) -> None:
    """
    What would get into the page in spite of everything is dead there.
    """
    tab = open_page(browser, server.admin_port)
    tab.value("""
        (() => {
          const script = document.createElement('script');
          script.textContent = 'window.hasRun = true';
          document.body.append(script);
          const image = document.createElement('img');
          image.src = 'http://127.0.0.1:1/leak';
          document.body.append(image);
        })()
    """)
    wait_for(lambda: tab.value("1") and len(complaints_of(tab)) >= 2, "both to be refused")
    assert not tab.value("Boolean(window.hasRun)")
    assert all("Content Security Policy" in complaint for complaint in complaints_of(tab))


def test_it_sees_a_worker_die_and_another_come(browser: Browser, server: Server) -> None:
    """
    With the reason, in the same table.
    """
    tab = open_page(browser, server.admin_port)
    victim = server.status()["workers"][0]["pid"]
    with OneShotClients(server.port, RATE):
        os.kill(victim, signal.SIGKILL)
        tab.wait("document.getElementById('others').textContent.includes('crash 1')")
        tab.wait("document.querySelectorAll('#workers .state.good').length === 2")

    wait_pids(tab, server)
    assert victim not in pids_shown(tab)
    assert tab.value("window.isSame")
    assert tab.value("document.getElementById('unreachable').hidden")
    assert complaints_of(tab) == []


def test_it_sees_a_hot_restart_pass(browser: Browser, server: Server) -> None:
    """
    The admin process itself is replaced, and the plots go on without a peak that was none.
    """
    tab = open_page(browser, server.admin_port)
    with OneShotClients(server.port, RATE):
        tab.wait("parseFloat(document.getElementById('requests-now').textContent) > 5")
        server.signal(signal.SIGUSR2)
        tab.wait("document.getElementById('generation').textContent === '2'")
        server.wait_generation(2, 2)
        wait_pids(tab, server)
        tab.wait("document.getElementById('unreachable').hidden")
        tab.wait("parseFloat(document.getElementById('requests-now').textContent) > 5")

    rates = tab.value(
        "total([...series.values()].map((s) => ratesOf(s, 'requests'))).filter((v) => v !== null)"
    )
    assert max(rates) < 10 * RATE
    assert tab.text("#pid") == str(server.pid)
    assert tab.value("window.isSame")


def test_it_outlives_the_server_and_finds_the_next(browser: Browser, tmp_path: Path) -> None:
    """
    It says that nobody answers, and recovers by itself when somebody does on the same address.
    """
    port, admin_port = free_port(), free_port()

    def start(name: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        options = ("--port", str(port), "--admin-bind", f"127.0.0.1:{admin_port}", "--workers", "2")
        return Server(*options, cwd=folder).wait_serving()

    first = start("first")
    second = None
    try:
        tab = open_page(browser, admin_port)
        children = first.children()
        first.process.kill()
        first.wait_exit()
        assert psutil.wait_procs(children, timeout=30.0)[1] == []
        tab.wait("!document.getElementById('unreachable').hidden")
        assert "The server cannot be reached." in tab.text("#unreachable")
        assert tab.text("#state") == "no answer"

        second = start("second")
        tab.wait("document.getElementById('unreachable').hidden")
        tab.wait(f"document.getElementById('pid').textContent === '{second.pid}'")
        wait_pids(tab, second)
        tab.wait("document.querySelector('#lag-plot .line') !== null")
        tab.wait("document.getElementById('state').textContent === 'running'")
        assert tab.value("window.isSame")
    finally:
        first.clean_up()
        if second is not None:
            second.clean_up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(browser: Browser, server: Server, scheme: str) -> None:
    """
    Where alarms are read.
    """
    tab = open_page(browser, server.admin_port, width=NARROW, scheme=scheme)
    tab.wait("document.querySelector('#lag-plot .line') !== null")

    assert tab.value("document.documentElement.scrollWidth") <= NARROW
    assert_legible(tab, scheme, ("--ink", "--soft"), ("--paper", "--raised"))
    assert complaints_of(tab) == []
