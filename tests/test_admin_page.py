"""
The admin page in headless Chromium, with canned answers.

tests/process/test_admin_page_live.py has it look at a real server.
"""

import re
import threading
from collections.abc import Iterator

import pytest

from tests.process.browser import (
    DEADLINE_S,
    DESK,
    NARROW,
    PHONE,
    Browser,
    Tab,
    assert_legible,
)
from tests.process.canned import AdminServer, flying, sample, worker

UNKNOWN = "\N{EN DASH}"
BYTES_MAX = 60 * 1024


pytestmark = pytest.mark.xdist_group("chromium")


@pytest.fixture
def admin() -> Iterator[AdminServer]:
    server = AdminServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=DEADLINE_S)


def open_page(browser: Browser, admin: AdminServer, rows: int = 3, width: int = DESK) -> Tab:
    """Open the page and wait until it shows its workers."""
    tab = browser.open_tab(admin.url, width=width)
    tab.wait(f"document.querySelectorAll('#workers tbody tr').length === {rows}")
    return tab


def test_a_mistake_in_a_page_would_be_seen(browser: Browser, admin: AdminServer) -> None:
    """
    The control of every "no complaints" below: what the policy forbids is reported.
    """
    admin.page = admin.page.replace("<body>", "<body><img src=http://127.0.0.1:1/x><p onclick='1'>")

    assert browser.open_tab(admin.url).complaints


def test_the_page_is_one_small_document(browser: Browser, admin: AdminServer) -> None:
    """
    It has to work from a machine without a way to the internet, and over a slow line.
    """
    assert len(admin.page.encode()) < BYTES_MAX
    assert "unsafe" not in admin.policy

    tab = open_page(browser, admin)

    assert {url.removeprefix(admin.url).partition("?")[0] for url in tab.requests} == {
        "",
        "status",
        "samples",
        "requests",
        *(url for url in tab.requests if url.startswith("data:")),
    }


def test_it_shows_who_runs(browser: Browser, admin: AdminServer) -> None:
    """
    The first glance of somebody who was woken: which workers, in what state, who waits.
    """
    tab = open_page(browser, admin)

    rows = [tab.text(f"#workers tbody tr:nth-child({index})") for index in (1, 2, 3)]
    assert [row.replace("0 % ", "") for row in rows] == [
        f"0 any 4000 ready 3 {UNKNOWN} 36.0 MiB 2 10 {UNKNOWN} 400 µs 1 min 15 s",
        f"1 1 4001 starting 3 {UNKNOWN} {UNKNOWN} 2 10 {UNKNOWN} {UNKNOWN} 1 min 15 s",
        f"1 1 3002 draining 2 {UNKNOWN} 36.0 MiB 2 10 {UNKNOWN} 1.3 s 1 min 15 s",
    ]
    assert tab.text("#others") == (
        "Memory: master 20.0 MiB, admin 24.0 MiB (pid 4010). Workers replaced: crash 2, roll 1,200."
    )
    header = "Penstock shop · 0.1.0 rolling generation 3 pid 3999 up 1 h 2 min"
    assert tab.text("header") == header
    assert tab.text(".listener") == f"web 0.0.0.0:8080 3 shards, 3 waiting 0 1+3 {UNKNOWN}"
    assert tile(tab, 6) == "Workers ready 1 of 2 1 draining, 1 starting"
    assert tile(tab, 5) == "Connections 36 6 active, 30 idle"
    assert tab.value("document.title") == "1 of 2 ready · Penstock"
    assert tab.value("document.getElementById('failure').hidden")
    assert tab.value("document.getElementById('unreachable').hidden")
    assert tab.text("#loops") == ""
    assert tab.complaints == []


def test_it_shows_who_is_behind(browser: Browser, admin: AdminServer) -> None:
    """
    Each server of each upstream, with what it does now; and nothing where there is none.
    """
    tab = open_page(browser, admin)
    assert [tab.text(f"#upstreams tbody tr:nth-child({index})") for index in (1, 2)] == [
        f"backend 10.0.0.1:9000 up 1 3 5 0 {UNKNOWN} {UNKNOWN} 2",
        f"backend 10.0.0.2:9000 down 1 3 5 4 {UNKNOWN} {UNKNOWN} 2",
    ]
    assert tab.value("document.querySelectorAll('#upstreams .state.bad').length") == 1
    first = admin.status["upstreams"][0]["servers"][0]
    first["requests"] += 100_000
    first["failures"] += 100_000
    tab.wait("document.querySelector('#upstreams tbody td:nth-child(8)').innerText !== '0'")
    tab.wait("document.querySelectorAll('#upstreams td.late').length > 1")

    admin.status["upstreams"] = []
    tab.wait("document.getElementById('behind').hidden")
    assert tab.complaints == []


def test_it_works_rates_out_of_counters(browser: Browser, admin: AdminServer) -> None:
    """
    Requests a second are the growth of every slot, added up; connections stand on each other.
    """
    admin.samples = lambda since: {
        "now": 101.0,
        "slots": {
            "0": [sample(t, 1_000_000 + 100 * t, 7, errors=3 * t) for t in range(60, 102) if t > since],
            "1": [sample(t, 50 * t, 5) for t in range(60, 102) if t > since],
        },
    }

    tab = browser.open_tab(admin.url)
    tab.wait("document.getElementById('requests-now').textContent === '150'")

    assert tile(tab, 1) == "Requests 150 /s 150 KiB/s sent"
    assert tile(tab, 2) == "Errors (5xx) 3.0 /s 2 % of all"
    assert legend(tab, "requests") == ["all 150", "5xx 3.0"]
    assert legend(tab, "connections") == ["slot 0 7", "slot 1 5"]
    assert legend(tab, "lag") == ["slot 0 1.0 ms", "slot 1 1.0 ms"]
    (level,) = {y for _, y in points(tab, "requests", 1)}
    assert level == pytest.approx(height_of(tab, "requests", 150), abs=0.1)
    (upper,) = {y for _, y in points(tab, "connections", 2)}
    assert upper == pytest.approx(height_of(tab, "connections", 12), abs=0.1)
    assert tab.complaints == []


def test_it_bears_a_replaced_counter_and_a_gap(browser: Browser, admin: AdminServer) -> None:
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

    assert len({y for _, y in points(tab, "requests", 1)}) == 1
    assert drawn(tab, "requests", 1).count("M") == 2  # the second from 40 to 41 is not known, and not drawn


def test_it_draws_latency_by_decades(browser: Browser, admin: AdminServer) -> None:
    """
    A median of half a millisecond and a tail of a second are both to be read off.
    """
    quantiles = {"p50_s": 0.0005, "p95_s": 0.012, "p99_s": 0.9}
    admin.samples = lambda since: {
        "now": 101.0,
        "slots": {"0": [sample(t, t) for t in range(60, 102)]},
        "latency": [{"t": float(t), "requests": 9, **quantiles, "slots": {}} for t in range(60, 101, 5)],
    }
    tab = browser.open_tab(admin.url)
    tab.wait("document.getElementById('p99').textContent === '900'")

    assert tile(tab, 3) == "Latency, p50 500 µs half are faster"
    assert tile(tab, 4) == "Latency, p99 900 ms 1 % are slower"
    assert legend(tab, "latency") == ["p50 500 µs", "p95 12 ms", "p99 900 ms"]
    assert ticks(tab, "latency") == ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
    heights = [points(tab, "latency", layer)[0][1] for layer in (1, 2, 3)]
    assert heights == sorted(heights, reverse=True)
    # One window after the other, without a hole.
    assert [drawn(tab, "latency", layer).count("M") for layer in (1, 2, 3)] == [1, 1, 1]

    admin.samples = lambda since: {"now": 140.0, "slots": {"0": [sample(t, t) for t in range(60, 141)]}}
    tab.wait(f"document.getElementById('p99').textContent === '{UNKNOWN}'")


def test_it_works_out_what_a_worker_uses_now(browser: Browser, admin: AdminServer) -> None:
    """
    Processor time and requests since the start say nothing about the last seconds.
    """
    admin.status["workers"] = [worker(0, 4000, cpu_s=0.0, requests=0)]
    tab = open_page(browser, admin, rows=1)
    admin.status["workers"] = [worker(0, 4000, cpu_s=30.0, requests=60_000)]
    cell = "document.querySelector('#workers tbody tr').children[{}].innerText"
    tab.wait(f"parseFloat({cell.format(5)}) > 0")

    # 30 s in at least one second, and in no more than the test's deadline.
    assert 100 <= int(tab.value(cell.format(5)).removesuffix(" %")) <= 4000
    assert int(tab.value(cell.format(9)).replace(",", "")) > 2000


def test_it_shows_the_slowest_requests(browser: Browser, admin: AdminServer) -> None:
    """
    The answer to "what is it doing", the oldest first; paths only where the server tells them.
    """
    admin.requests = [flying(0.25 * age, path="/secret" if age == 40 else None) for age in range(1, 41)]
    tab = open_page(browser, admin)
    tab.wait("document.querySelectorAll('#requests tbody tr').length === 10")

    assert tab.text("#requests tbody tr:nth-child(1)") == "10 s GET /secret app 2.0 KiB 1 4001"
    assert tab.text("#requests tbody tr:nth-child(2)") == "9.8 s GET /report app 2.0 KiB 1 4001"
    assert tab.text("#requests-told") == "And 30 more."

    admin.requests = []
    tab.wait("document.getElementById('requests-told').textContent === 'None at the moment.'")
    assert tab.complaints == []


def test_it_does_without_a_list_of_requests(browser: Browser, admin: AdminServer) -> None:
    """
    A server that does not tell is asked once, and the section is not there.
    """
    admin.requests = None
    tab = open_page(browser, admin)
    tab.wait("performance.getEntriesByType('resource').filter((e) => e.name.includes('samples')).length > 2")

    assert tab.value("document.getElementById('flying').hidden")
    assert admin.asked.count("/requests") == 1


def test_it_asks_for_what_is_new(browser: Browser, admin: AdminServer) -> None:
    """
    Four minutes of samples of 64 workers are sent once, not every second.
    """
    clock = iter(range(100, 1000))
    admin.samples = lambda since: {"now": float(next(clock)), "slots": {}}

    tab = browser.open_tab(admin.url)
    tab.wait("performance.getEntriesByType('resource').filter((e) => e.name.includes('samples')).length > 2")

    asked = [path for path in admin.asked if path.startswith("/samples")]
    assert asked[:3] == ["/samples?since=0", "/samples?since=100", "/samples?since=101"]


def test_another_admin_process_is_asked_for_all(browser: Browser, admin: AdminServer) -> None:
    """
    Its sums began elsewhere: to subtract the old one's from them would draw a peak that never was.
    """

    def tell(first: int) -> None:
        admin.samples = lambda since: {
            "now": 101.0,
            "slots": {"0": [sample(t, first + 10 * t) for t in range(60, 102) if t > since]},
        }

    tell(0)
    tab = open_page(browser, admin)
    tab.wait("document.getElementById('requests-now').textContent === '10'")

    admin.status["admin"]["pid"] = 5020
    tell(5_000_000)
    tab.wait("document.getElementById('others').textContent.includes('5020')")

    assert len({y for _, y in points(tab, "requests", 1)}) == 1
    assert admin.asked.count("/samples?since=0") == 2


def test_it_says_when_the_server_is_gone_and_when_it_is_back(browser: Browser, admin: AdminServer) -> None:
    """
    Old numbers that look like new ones are the worst that a page like this can show.
    """
    tab = open_page(browser, admin)

    admin.is_failing = True
    tab.wait("!document.getElementById('unreachable').hidden")
    tab.wait("document.getElementById('unreachable').textContent.includes('Asking again in 4 s.')")
    # It asks for several things at once, and tells of the first that failed.
    assert re.match(r"The server cannot be reached\. /\w+ answered 503\.", tab.text("#unreachable"))
    assert tab.text("#state") == "no answer"
    assert tab.value("document.title") == "no answer · Penstock"
    assert tab.value("document.getElementById('main').classList.contains('stale')")

    admin.is_failing = False
    tab.wait("document.getElementById('unreachable').hidden")
    assert not tab.value("document.getElementById('main').classList.contains('stale')")
    assert tab.text("#state") == "rolling"


def test_it_shows_the_last_failure_and_crash_loops_first(browser: Browser, admin: AdminServer) -> None:
    """
    They stand above all numbers, and are read aloud when they appear and not at each second.
    """
    admin.status["master"]["last_failure"] = {"at": 40.0, "message": "no module named shop"}
    admin.status["crash_loops"] = [
        {"slot": 1, "failures": 4, "next_attempt_s": 3.2, "last_reason": "killed by SIGSEGV"}
    ]
    tab = open_page(browser, admin)
    tab.wait("document.querySelectorAll('#loops p').length === 1")

    assert tab.text("#failure") == "Last failure 1 min ago: no module named shop"
    assert tab.text("#loops") == (
        "Slot 1 is in a crash loop: 4 failures in a row. Last: killed by SIGSEGV. Next attempt in 4 s."
    )
    order = "document.getElementById('{}').getBoundingClientRect().top"
    assert tab.value(order.format("failure")) < tab.value(order.format("tiles"))

    tab.value("""
        window.said = 0;
        const listener = new MutationObserver(() => { window.said += 1; });
        for (const node of document.querySelectorAll('[role=alert]'))
          listener.observe(node, { childList: true, characterData: true });
    """)
    seen = len(admin.asked)
    tab.wait(f"performance.getEntriesByType('resource').length > {seen + 6}")
    assert tab.value("window.said") == 0

    admin.status["crash_loops"] = []
    admin.status["master"]["last_failure"] = None
    tab.wait("document.getElementById('loops').childElementCount === 0")
    assert tab.value("document.getElementById('failure').hidden")


def test_what_comes_from_outside_is_text(browser: Browser, admin: AdminServer) -> None:
    """
    What failed is the app's message, a path is anybody's, names are the config's: none becomes markup.
    """
    hostile = "<img src=x onerror='document.title = 1'>"
    admin.status["master"]["last_failure"] = {"at": 0, "message": f"main.py: {hostile}"}
    admin.status["crash_loops"] = [
        {"slot": 1, "failures": 4, "next_attempt_s": None, "last_reason": hostile},
    ]
    admin.status["name"] = hostile
    admin.status["listeners"][0]["name"] = hostile
    admin.status["workers"][0]["state"] = hostile
    admin.status["worker_restarts"] = {hostile: 3}
    admin.requests = [flying(1.0, path=hostile, method=hostile, state=hostile)]

    tab = browser.open_tab(admin.url)
    tab.wait("!document.getElementById('failure').hidden")
    tab.wait("!document.getElementById('flying').hidden")

    assert f"main.py: {hostile}" in tab.text("#failure")
    for shown in ("#loops", "#name", ".listener", "#others", "#workers", "#requests"):
        assert hostile in tab.text(shown)
    assert tab.value("document.images.length") == 0
    assert tab.complaints == []


@pytest.mark.parametrize("width", [NARROW, PHONE, DESK])
def test_it_fits(browser: Browser, admin: AdminServer, width: int) -> None:
    """
    Alarms are read on phones: nothing sticks out to the right.
    """
    admin.status["listeners"][0]["shards"] *= 100
    admin.status["listeners"][0]["name"] = "n" * 100
    admin.status["name"] = "s" * 100
    admin.status["master"]["last_failure"] = {"at": 0, "message": "a" * 1000}
    admin.requests = [flying(1000.0, path="/" + "p" * 500, state="writing_response")]
    admin.samples = lambda since: {
        "now": 101.0,
        "slots": {str(slot): [sample(t, 10**9 * t, 10**6) for t in range(60, 102)] for slot in range(64)},
    }

    tab = open_page(browser, admin, width=width)
    tab.wait("!document.getElementById('flying').hidden")
    tab.wait("document.querySelectorAll('#connections-plot .line').length === 2")

    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(browser: Browser, admin: AdminServer, scheme: str) -> None:
    """
    Every colour of text stands out from every ground by WCAG's measure for text, a line by that for figures.
    """
    tab = browser.open_tab(admin.url, scheme=scheme)

    grounds = ("--paper", "--raised")
    assert_legible(tab, scheme, ("--ink", "--soft", "--water", "--waiting", "--alarm"), grounds)
    assert_legible(tab, scheme, ("--ink", "--alarm"), ("--alarm-faint",))
    slots = tuple(f"--slot-{index}" for index in range(8))
    assert_legible(tab, scheme, (*slots, "--water", "--soft", "--alarm"), grounds, least=3.0)


def test_plots_are_told_to_those_who_do_not_see_them(browser: Browser, admin: AdminServer) -> None:
    """
    Each has a name with its last value and its highest, and can be walked through with arrow keys.
    """
    admin.samples = lambda since: {
        "now": 101.25,
        "slots": {"0": [sample(t, 100 * t if t < 91 else 9000 + 5 * t, t) for t in range(60, 102)]},
    }
    tab = browser.open_tab(admin.url)
    tab.wait("document.querySelectorAll('#requests-plot .legend li').length === 2")

    label = tab.value("document.querySelector('#requests-plot svg').getAttribute('aria-label')")
    assert label.startswith("Requests, a second, the last four minutes: all 5.0, 5xx 0, at most ")
    assert tab.value("document.querySelectorAll('.plot svg[role=img][tabindex=\"0\"]').length") == 4

    tab.value("document.querySelector('#connections-plot svg').focus()")
    for _ in range(2):
        tab.order("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft")
    assert tab.text("#cursor-told") == "10 s ago: slot 0 89"
    # One cursor for all plots, so that what happened together is read together.
    assert legend(tab, "requests") == ["all 100", "5xx 0"]
    assert tab.value("document.querySelectorAll('.plot .cursor').length") == 4
    tab.order("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert legend(tab, "requests") == ["all 5.0", "5xx 0"]


def test_tables_stay_tables_on_a_phone(browser: Browser, admin: AdminServer) -> None:
    """
    Rows are laid out as cards there, which makes a browser forget what they are unless it is told.
    """
    tab = open_page(browser, admin, width=NARROW)

    tree = tab.order("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in tree if not node["ignored"]]
    assert roles.count("columnheader") >= 12
    assert roles.count("cell") == 3 * 12 + 2 * 10
    assert tab.value("getComputedStyle(document.querySelector('#workers tbody tr')).display") == "grid"


def test_it_holds_still_for_who_asks_for_that(browser: Browser, admin: AdminServer) -> None:
    """
    Motion makes some people ill.
    """
    tab = browser.open_tab(admin.url)
    duration = "getComputedStyle(document.getElementById('main')).transitionDuration"
    assert tab.value(duration) != "0s"
    tab.order("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert tab.value(duration) == "0s"


def test_many_slots_are_drawn_as_one(browser: Browser, admin: AdminServer) -> None:
    """
    Slot by slot is for as many as can be told apart; of more there are sums and extremes.
    """
    admin.status["workers"] = [worker(slot, 4000 + slot) for slot in range(64)]
    admin.samples = lambda since: {
        "now": 300.0,
        "slots": {
            str(slot): [sample(t, 10 * t, slot % 9) for t in range(40, 301) if t > since]
            for slot in range(64)
        },
    }
    tab = open_page(browser, admin, rows=64)
    tab.wait("document.querySelectorAll('#connections-plot .line').length === 2")

    # 64 lines in eight colours would be none.
    assert legend(tab, "connections") == ["all slots 252", "fullest slot 8"]
    assert legend(tab, "lag") == ["median slot 1.0 ms", "latest slot 1.0 ms"]
    assert tab.complaints == []


def tile(tab: Tab, number: int) -> str:
    """Return what a tile says."""
    return tab.text(f"#tiles div:nth-child({number})")


def legend(tab: Tab, plot: str) -> list[str]:
    """Return name and value of each layer."""
    told = tab.value(f"[...document.querySelectorAll('#{plot}-plot .legend li')].map((li) => li.innerText)")
    return [re.sub(r"\s+", " ", each).strip() for each in told]


def ticks(tab: Tab, plot: str) -> list[str]:
    """Return what stands at the vertical axis, from below."""
    told = f"document.querySelectorAll('#{plot}-plot text[text-anchor=end]')"
    return [each for each in tab.value(f"[...{told}].map((text) => text.textContent)") if each != "now"]


def drawn(tab: Tab, plot: str, layer: int) -> str:
    """Return the path of a layer's line."""
    path: str = tab.value(f"document.querySelectorAll('#{plot}-plot .line')[{layer - 1}].getAttribute('d')")
    return path


def points(tab: Tab, plot: str, layer: int) -> list[tuple[float, float]]:
    """Return the corners of a layer's line, in pixels from above."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn(tab, plot, layer))]


def height_of(tab: Tab, plot: str, value: float) -> float:
    """Return where a value lies on a linear axis, by the labels that stand there."""
    labels = tab.value(
        f"[...document.querySelectorAll('#{plot}-plot text[text-anchor=end]')]"
        ".filter((text) => text.textContent !== 'now')"
        ".map((text) => [Number(text.textContent), Number(text.getAttribute('y')) - 4])"
    )
    (low, bottom), (high, top) = labels[0], labels[-1]
    return float(bottom + (value - low) / (high - low) * (top - bottom))
