"""The report in a real browser, and what it says of a comparison."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import verdict
from bench.report import median_round, render
from bench.result import Cell, Comparison, Metric, Sample, Table

from tests.loadtest import sample_comparison as made
from tests.process.browser import Browser, Tab, open_browser

pytestmark = pytest.mark.xdist_group("chromium")

PHONE, DESK = 390, 1280
HOSTILE = (
    "</pre></style><script>document.title='owned'</script><img src=http://127.0.0.1:1/x>&\"'\x00${title}$x"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_browser() as started:
        yield started


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    chromium.close_tabs()


def show(browser: Browser, folder: Path, comparison: Comparison, **looks: object) -> Tab:
    """Open a report from a file, as somebody does to whom it was sent."""
    page = folder / "report.html"
    page.write_text(render(comparison), encoding="utf-8")
    tab = browser.open_tab(page.as_uri(), **looks)  # type: ignore[arg-type]
    assert tab.complaints == []
    assert tab.requests == [page.as_uri()]
    return tab


def count(tab: Tab, selector: str) -> int:
    found: int = tab.value(f"document.querySelectorAll({selector!r}).length")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_report_fits_and_asks_for_nothing(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    """
    On a phone as on a desk nothing sticks out to the right; on a phone wide tables scroll in their own frame.
    """
    tab = show(browser, tmp_path, made.comparison(), width=width, scheme=scheme)

    assert tab.value("document.documentElement.scrollWidth") <= width
    beyond = tab.value(
        """[...document.querySelectorAll('section > *, svg text')]
             .filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
             .map((part) => part.textContent.slice(0, 60))"""
    )
    assert beyond == []
    if width == DESK:
        assert tab.value(
            "[...document.querySelectorAll('.scroll')].every((each) => each.scrollWidth <= each.clientWidth)"
        )
    ground = tab.value("getComputedStyle(document.body).backgroundColor")
    paper = tab.value("getComputedStyle(document.querySelector('svg .paper')).fill")
    for colour in (ground, paper):
        assert (int(re.findall(r"\d+", colour)[0]) > 128) == (scheme == "light")


def test_report_shows_every_scenario_whole(browser: Browser, tmp_path: Path) -> None:
    """
    Its story, its pictures, all its servers, what went wrong, and the commands to do it again.
    """
    tab = show(browser, tmp_path, made.comparison())

    assert count(tab, "section.scenario") == 3
    assert [count(tab, f"#scenario-{name} svg") for name in ("hello", "reload", "idle")] == [3, 2, 1]
    assert count(tab, "#scenario-hello tbody tr") == len(made.CPU_US)
    assert count(tab, "tr.ours") == 3
    assert count(tab, "script") == 0
    hello = tab.text("#scenario-hello")
    assert "It shows what the server itself costs." in hello
    assert "penstock 0.1.0 15.2 15" in hello
    assert "hypercorn: asked 5,000/s, got 4,610/s, load generator at 41 % (5 times)" in hello
    reload = tab.text("#scenario-reload")
    assert "granian: the server ended (killed by SIGKILL)" in reload
    assert "hypercorn: no round gave a figure" in reload
    tab.value("document.querySelectorAll('details').forEach((each) => each.open = true)")
    assert "wrk2 -t1 -c32 -d12s -R5000" in tab.text("#scenario-hello details")
    assert "uvicorn apps.hello:app --port 41234 --no-access-log" in tab.text("#scenario-hello details")
    assert "haproxy: apt install haproxy" in tab.text(".absent")
    for fact in made.comparison().machine.values():
        assert fact in tab.text("header")


def test_many_notes_are_folded_up_and_failures_never() -> None:
    """
    A list of forty lost requests is for who asks; a server that died is for everyone.
    """
    cell = Cell("granian", "", "", [Sample(values={}, notes=(f"{n} reset",)) for n in range(40)], ["it died"])
    page = render(dataclasses.replace(made.comparison(), tables=[Table("t", "T", "", (made.CPU,), [cell])]))

    folded = re.findall(
        r"<details><summary>40 notes on single rounds</summary>.*?</details>", page, re.DOTALL
    )
    assert len(folded) == 1
    assert "39 reset" in folded[0]
    assert "it died" in page
    assert "it died" not in folded[0]


def test_links_lead_to_their_scenarios(browser: Browser, tmp_path: Path) -> None:
    """
    A long page is read by jumping.
    """
    tab = show(browser, tmp_path, made.comparison())

    assert tab.value(
        "[...document.querySelectorAll('nav a')].every((link) => document.querySelector(link.hash) !== null)"
    )


def test_what_is_folded_up_is_printed(browser: Browser, tmp_path: Path) -> None:
    """
    Paper cannot be clicked, and it is white whatever the screen was.
    """
    tab = show(browser, tmp_path, made.comparison(), scheme="dark")
    tab.order(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )

    assert tab.value("document.querySelector('details dl').getBoundingClientRect().height") > 0
    assert tab.value("getComputedStyle(document.querySelector('svg .paper')).fill") == "rgb(255, 255, 255)"
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")


def hostile() -> Comparison:
    """Every text that can come from outside, as bad as it can be."""
    table = Table(HOSTILE, HOSTILE, HOSTILE, (Metric("x", HOSTILE, HOSTILE),), load_commands=[HOSTILE])
    samples = [Sample(values={"x": 1.0}, curve=((0.0, 1), (100.0, 2)), notes=(HOSTILE,))]
    table.cells.append(Cell(HOSTILE, HOSTILE, HOSTILE, samples, [f"{HOSTILE}\n{HOSTILE}"]))
    return Comparison(HOSTILE, HOSTILE, 1, {HOSTILE: HOSTILE}, HOSTILE, [table], {HOSTILE: HOSTILE})


def bare() -> Comparison:
    """Metrics that nobody gave, a table of nobody, and a table of nothing."""
    cell = Cell("x" * 300, "y" * 300, "z" * 300)
    return Comparison(
        started_at="2026-03-14T09:26:53.123456+00:00",
        command="",
        rounds=0,
        machine={},
        tables=[
            Table("none", "No metric", "", ()),
            Table("nobody", "No server", "", (made.CPU,)),
            Table("long", "Long names", "word " * 300, (made.CPU, made.RATE), [cell]),
        ],
    )


@pytest.mark.parametrize("comparison", [hostile(), bare(), Comparison("", "", 0, {})])
def test_report_bears_anything(browser: Browser, tmp_path: Path, comparison: Comparison) -> None:
    """
    Texts stay texts, and what is missing is missing: the page is there, and fits.
    """
    tab = show(browser, tmp_path, comparison, width=PHONE)

    assert tab.value("document.title") == "Penstock beside its peers"
    assert count(tab, "script, img") == 0
    assert count(tab, "section.scenario") == len(comparison.tables)
    assert tab.value("document.documentElement.scrollWidth") <= PHONE
    assert "\x00" not in render(comparison)


def test_summary_tells_ratios() -> None:
    """
    In words, from the medians, whoever wins; where Penstock has 0, nothing can be divided by it.
    """
    told = dict(verdict.sentences(made.comparison()))

    assert told["ASGI hello: CPU per request"] == (
        "Penstock 15.2 µs, 1.21 \N{MULTIPLICATION SIGN} floor+task. In multiples of Penstock's: nginx 0.52, "
        "granian 1.45, uvicorn 1.62, gunicorn+uvicorn-worker 1.66, hypercorn 13.2."
    )
    assert told["Reload under load: lost by clients that look for a FIN"] == (
        "Penstock 0 requests. The others: granian 9 requests, nginx 38 requests, uvicorn 54 requests."
    )


def test_a_difference_within_the_spread_is_called_one() -> None:
    """
    A sceptic's first question.
    """
    table = Table("t", "T", "", (made.RATE,))
    for server, rates in {
        "penstock": (90.0, 110.0),
        "granian": (100.0, 120.0),
        "uvicorn": (40.0, 50.0),
    }.items():
        table.cells.append(Cell(server, "", "", [Sample(values={"rate": rate}) for rate in rates]))
    comparison = dataclasses.replace(made.comparison(), tables=[table])

    assert verdict.sentences(comparison) == [
        (
            "T: throughput (more is better)",
            "Penstock 100 requests/s. In multiples of Penstock's: granian 1.10 (the rounds overlap), "
            "uvicorn 0.45.",
        )
    ]
    assert [cell.server for cell in verdict.ranked(table)] == ["granian", "penstock", "uvicorn"]


def test_ratios_are_to_nobody_twice() -> None:
    """
    Where Penstock comes first or lost nothing, columns would be the same or empty.
    """
    [hello, reload, idle] = re.findall(r"<thead>.*?</thead>", render(made.comparison()))

    assert re.findall("\N{MULTIPLICATION SIGN} ([^<]+)", hello) == ["floor+task", "penstock"]
    assert re.findall("\N{MULTIPLICATION SIGN} ([^<]+)", reload) == []
    assert re.findall("\N{MULTIPLICATION SIGN} ([^<]+)", idle) == ["floor", "penstock"]


def test_the_curve_shown_is_a_round_that_was() -> None:
    """
    The one with the median p99: an average of percentiles is the percentile of nothing.
    """
    tails = (5000, 3000, 90_000)
    rounds = [Sample(values={}, curve=((50.0, 1000), (99.0, tail), (100.0, tail))) for tail in tails]
    cell = Cell("penstock", "", "", [Sample(values={}), *rounds])

    assert median_round(cell) is rounds[0]
    assert median_round(Cell("nobody", "", "")) is None
