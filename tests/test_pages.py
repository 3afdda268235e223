"""
The two pages in a real browser: headless Chromium, told what to do over a pipe.

The welcome page is served by a real Penstock. The admin page is seen there too,
and before that with canned answers, for what would take a real one hours to show.
"""

import http.server
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import __version__
from penstock.worker.welcome.page import content_security_policy
from tests.process.browser import DEADLINE_S, DESK, PHONE, Browser, Tab, open_browser
from tests.process.harness import Server

pytestmark = pytest.mark.xdist_group("chromium")

ADMIN_PAGE = Path(__file__).parents[1] / "master" / "admin" / "page.html"
UNKNOWN = "\N{EN DASH}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as started:
        yield started


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Return the browser, whose tabs are closed after the test: a page that is open goes on asking."""
    yield chromium
    chromium.close_tabs()


class AdminServer(http.server.ThreadingHTTPServer):
    """The admin page and canned answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AdminAnswers)
        self.status: dict[str, Any] = canned_status()
        self.samples: Callable[[float], dict[str, Any]] = lambda since: {"now": 100.0, "slots": {}}
        self.is_failing = False
        self.asked: list[str] = []
        self.page = ADMIN_PAGE.read_text(encoding="utf-8")
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class AdminAnswers(http.server.BaseHTTPRequestHandler):
    server: AdminServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append(self.path)
        if path == "/":
            self.answer("text/html; charset=utf-8", self.server.page.encode())
        elif self.server.is_failing:
            self.send_error(503)
        elif path == "/status":
            self.answer("application/json", json.dumps(self.server.status).encode())
        else:
            assert path == "/samples", path
            since = float(query.removeprefix("since="))
            self.answer("application/json", json.dumps(self.server.samples(since)).encode())

    def answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", content_security_policy(self.server.page))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error is for failures."""


def canned_status() -> dict[str, Any]:
    def worker(slot: int, pid: int, state: str, generation: int, **more: Any) -> dict[str, Any]:
        numbers = {"age_s": 75.2, "rss_bytes": 36 * 2**20, "connections": 12, "requests": 1234567}
        place = {"slot": slot, "core": slot, "pid": pid, "state": state, "generation": generation}
        return place | numbers | {"loop_lag_s": 0.0004} | more

    return {
        "name": "shop",
        "version": "0.1.0",
        "master": {
            "pid": 3999,
            "state": "rolling",
            "generation": 3,
            "started_at": 0,
            "rss_bytes": 20 * 2**20,
            "last_failure": None,
        },
        "admin": {"pid": 4010, "address": "127.0.0.1:9180", "rss_bytes": 24 * 2**20},
        "slots": 2,
        "worker_restarts": {"crash": 2, "roll": 1200, "timeout": 0},
        "workers": [
            worker(1, 3002, "draining", 2, loop_lag_s=1.25),
            worker(0, 4000, "ready", 3, core=None),
            worker(1, 4001, "starting", 3, loop_lag_s=None, rss_bytes=None),
        ],
        "listeners": [
            {
                "name": "web",
                "address": "0.0.0.0:8080",
                "shards": [
                    {"index": 0, "slot": 0, "queued": 0},
                    {"index": 1, "slot": 1, "queued": 3},
                    {"index": 2, "slot": None, "queued": 0},
                ],
            }
        ],
        "upstreams": [],
    }


def sample(t: float, requests: int, connections: int = 0) -> dict[str, Any]:
    return {
        "t": t,
        "requests": requests,
        "errors": 0,
        "sent_bytes": requests * 1024,
        "connections": connections,
        "loop_lag_s": 0.001,
    }


@pytest.fixture
def admin() -> Iterator[AdminServer]:
    server = AdminServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=DEADLINE_S)


def test_a_mistake_in_a_page_would_be_seen(browser: Browser, admin: AdminServer) -> None:
    """
    The control of every "no complaints" below: what the policy forbids is reported.
    """
    admin.page = admin.page.replace("<body>", "<body><img src=http://127.0.0.1:1/x><p onclick='1'>")

    assert browser.open_tab(admin.url).complaints


def test_admin_page_shows_who_runs(browser: Browser, admin: AdminServer) -> None:
    """
    The first glance of somebody who was woken: which workers, in what state, who waits.
    """
    tab = browser.open_tab(admin.url)
    tab.wait("document.querySelectorAll('#workers tr').length === 3")

    rows = [tab.text(f"#workers tr:nth-child({index})") for index in (1, 2, 3)]
    assert rows == [
        "0 any 4000 ready 3 1 min 15 s 36.0 MiB 12 1,234,567 0.4 ms",
        f"1 1 4001 starting 3 1 min 15 s {UNKNOWN} 12 1,234,567 {UNKNOWN}",
        "1 1 3002 draining 2 1 min 15 s 36.0 MiB 12 1,234,567 1.3 s",
    ]
    assert tab.text("#others") == (
        "Memory: master 20.0 MiB, admin 24.0 MiB (pid 4010). Workers replaced: crash 2, roll 1,200."
    )
    assert tab.text("header").startswith("Penstock shop · 0.1.0 rolling generation 3 master pid 3999 up ")
    assert tab.text(".listener") == f"web 0.0.0.0:8080 3 shards, 3 waiting 0 1+3 {UNKNOWN}"
    assert tab.value("document.title") == "1 of 2 ready · Penstock"
    assert tab.value("document.getElementById('failure').hidden")
    assert tab.value("document.getElementById('unreachable').hidden")
    assert tab.complaints == []


def test_admin_page_works_rates_out_of_counters(browser: Browser, admin: AdminServer) -> None:
    """
    Requests a second are the growth of every slot, added up; connections are levels, added up.
    """
    admin.samples = lambda since: {
        "now": 101.0,
        "slots": {
            "0": [sample(t, 1_000_000 + 100 * t, connections=7) for t in range(60, 102) if t > since],
            "1": [sample(t, 50 * t, connections=5) for t in range(60, 102) if t > since],
        },
    }

    tab = browser.open_tab(admin.url)
    tab.wait("document.getElementById('requests-now').textContent === '150'")

    assert tab.text("#connections-now") == "12"
    assert tab.text(".plot:nth-child(4)") == "Sent 150 KiB/s"
    assert set(heights(tab, "#requests-plot")) == {1.0}  # at the top, all along
    assert tab.complaints == []


def test_admin_page_bears_a_replaced_counter_and_a_gap(browser: Browser, admin: AdminServer) -> None:
    """
    A counter that falls is another worker's: no negative rate, and no giant one after it.

    A gap is a blocked worker's: its one difference is spread over the time it took.
    """
    before = [sample(t, 1000 * t) for t in range(20, 41)]
    replaced = [sample(t, 1000 * (t - 41)) for t in range(41, 61)]
    after_the_gap = [sample(90, 19_000 + 30_000)]
    admin.samples = lambda since: {"now": 90.0, "slots": {"0": before + replaced + after_the_gap}}

    tab = browser.open_tab(admin.url)
    tab.wait("document.getElementById('requests-now').textContent === '1,000'")

    assert set(heights(tab, "#requests-plot")) == {1.0}
    pieces = tab.value(
        "document.querySelectorAll('#requests-plot path')[1].getAttribute('d').match(/M/g).length"
    )
    assert pieces == 2  # the second from 40 to 41 is not known, and not drawn


def test_admin_page_asks_for_what_is_new(browser: Browser, admin: AdminServer) -> None:
    """
    Two minutes of samples of 64 workers are sent once, not every two seconds.
    """
    clock = iter(range(100, 1000))
    admin.samples = lambda since: {"now": float(next(clock)), "slots": {}}

    tab = browser.open_tab(admin.url)
    tab.wait("performance.getEntriesByType('resource').filter((e) => e.name.includes('samples')).length > 2")

    asked = [path for path in admin.asked if path.startswith("/samples")]
    assert asked[:3] == ["/samples?since=0", "/samples?since=100", "/samples?since=101"]


def test_admin_page_says_when_the_server_is_gone_and_when_it_is_back(
    browser: Browser, admin: AdminServer
) -> None:
    """
    Old numbers that look like new ones are the worst that a page like this can show.
    """
    tab = browser.open_tab(admin.url)
    tab.wait("document.querySelectorAll('#workers tr').length === 3")

    admin.is_failing = True
    tab.wait("!document.getElementById('unreachable').hidden")
    assert tab.text("#unreachable").startswith("The server cannot be reached. /samples answered 503.")
    assert tab.text("#state") == "no answer"
    assert tab.value("document.getElementById('main').classList.contains('stale')")

    admin.is_failing = False
    tab.wait("document.getElementById('unreachable').hidden")
    assert not tab.value("document.getElementById('main').classList.contains('stale')")


def test_admin_page_shows_the_last_failure_as_text(browser: Browser, admin: AdminServer) -> None:
    """
    What failed is the app's message, and names are the config's: none of it may become markup.
    """
    hostile = "<img src=x onerror='document.title = 1'>"
    admin.status["master"]["last_failure"] = {"at": 0, "message": f"main.py: {hostile}"}
    admin.status["listeners"][0]["name"] = hostile
    admin.status["workers"][0]["state"] = hostile

    tab = browser.open_tab(admin.url)
    tab.wait("!document.getElementById('failure').hidden")

    assert f"main.py: {hostile}" in tab.text("#failure")
    assert hostile in tab.text(".listener")
    assert tab.value("document.images.length") == 0
    assert tab.complaints == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_admin_page_fits(browser: Browser, admin: AdminServer, width: int) -> None:
    """
    Alarms are read on phones: nothing sticks out to the right.
    """
    admin.status["listeners"][0]["shards"] *= 100
    admin.status["master"]["last_failure"] = {"at": 0, "message": "a" * 1000}

    tab = browser.open_tab(admin.url, width=width)
    tab.wait("document.querySelectorAll('#workers tr').length === 3")

    assert tab.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_admin_page_can_be_read(browser: Browser, admin: AdminServer, scheme: str) -> None:
    """
    Every colour of text stands out from every ground, by WCAG's measure for normal text.
    """
    tab = browser.open_tab(admin.url, scheme=scheme)

    assert_legible(
        tab, scheme, ("--ink", "--soft", "--water", "--waiting", "--alarm"), ("--paper", "--raised")
    )
    assert_legible(tab, scheme, ("--ink", "--alarm"), ("--alarm-faint",))
    assert_legible(tab, scheme, ("--ink", "--alarm"), ("--water-faint",))


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


def test_admin_page_shows_a_real_server(browser: Browser, server: Server) -> None:
    """
    What the page expects of `/status` and `/samples` is what they answer.
    """
    for _ in range(20):
        assert server.get("/whoami")[0] == 200

    tab = browser.open_tab(f"http://127.0.0.1:{server.admin_port}/")
    tab.wait("document.querySelectorAll('#workers .state.good').length === 2")
    # Two samples make a rate, and a sample comes every second.
    tab.wait("/[0-9]/.test(document.getElementById('requests-now').textContent)")

    status = server.status()
    shown = {int(row.split()[2]) for row in (tab.text(f"#workers tr:nth-child({n})") for n in (1, 2))}
    assert shown == {worker["pid"] for worker in status["workers"]}
    shard_count = sum(len(listener["shards"]) for listener in status["listeners"])
    assert tab.value("document.querySelectorAll('.shards li').length") == shard_count
    assert tab.text("#pid") == str(server.pid)
    assert tab.text("#state") == "running"
    assert tab.complaints == []


def heights(tab: Tab, plot: str) -> list[float]:
    """Return the line's y of every second; 1.0 is the highest point of a plot."""
    drawn = tab.value(f"document.querySelectorAll('{plot} path')[1].getAttribute('d')")
    return [float(y) for y in re.findall(r"L\d+ ([\d.]+)", drawn)]


def assert_legible(tab: Tab, scheme: str, inks: tuple[str, ...], grounds: tuple[str, ...]) -> None:
    body = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (luminance(*map(int, re.findall(r"\d+", body))) < 0.5) == (scheme == "dark")
    for ink in inks:
        for ground in grounds:
            lighter, darker = sorted((luminance_of(tab, ink), luminance_of(tab, ground)), reverse=True)
            contrast = (lighter + 0.05) / (darker + 0.05)
            assert contrast >= 4.5, f"{ink} on {ground}, {scheme}: {contrast:.2f}"


def luminance_of(tab: Tab, variable: str) -> float:
    colour = tab.value(f"getComputedStyle(document.documentElement).getPropertyValue('{variable}').trim()")
    return luminance(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)))


def luminance(*channels: int) -> float:
    """Return the relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    linear = (c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
