"""Whole frames, from what was told to the lines on the terminal."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
from penstock.master.cli.top.answers import make_reading
from penstock.master.cli.top.frame import ENDLESS, View, frame
from penstock.master.cli.top.line import Line, Style, plain
from penstock.master.cli.top.listeners import holders
from penstock.master.cli.top.options import SORTS, Options
from penstock.master.cli.top.reading import Listener, Shard
from penstock.master.cli.top.text import is_harmless
from tests.master.cli.top.sample_answers import REQUESTS, SAMPLES, STATUS, WALL_S, later_status, status

ONCE = Options(is_live=False)

FULL = """\
penstock shop 0.1.0  running  generation 3  up 2h3m  pid 3999
  100 req/s    4.0 err/s   4.0K/s  p50 420µs  p99 3.1ms      4 active    20 idle

SLOT     PID CORE STATE    GEN CPU%  RSS ACTV IDLE REQ/S   P50   P99   LAG   AGE
   0    4000    0 ready      3   50  36M    2   10    50 400µs 3.0ms 400µs   12m
   1    4001    1 ready      3   50  36M    2   10    50 500µs 3.5ms 400µs   12m

LISTENER ADDRESS        SHARDS QUEUED HELD BY
web      127.0.0.1:8000      8      0 4 each

  AGE SLOT STATE      SENT METHOD  SLOWEST REQUESTS IN FLIGHT
  12s    1 running      0B GET     /reports/2024
 20ms    0 sending     64K POST    /orders
"""


def view(
    after: Any = None,
    samples: Any = SAMPLES,
    requests: Any = REQUESTS,
    before: Any = STATUS,
    trouble: str = "",
) -> View:
    return View(
        before=make_reading(100.0, WALL_S - 2, before, None, None),
        current=make_reading(102.0, WALL_S, later_status() if after is None else after, samples, requests),
        trouble=trouble,
    )


def shown(view: View, width: int = 80, height: int = ENDLESS, options: Options = ONCE) -> list[str]:
    return [plain(line) for line in frame(view, width, height, options)]


def rows(lines: list[str], heading: str) -> list[str]:
    start = next(index for index, line in enumerate(lines) if heading in line)
    found = []
    for line in lines[start + 1 :]:
        if not line:
            break
        found.append(line)
    return found


def test_a_frame_of_eighty_columns() -> None:
    """
    All that there is to see of a small server, without a line too long.
    """
    assert "\n".join(shown(view())) + "\n" == FULL


def test_the_page_about_it_shows_what_it_shows() -> None:
    """
    The frame there was captured once; its columns are still these.
    """
    page = Path(penstock.__file__).parents[1] / "docs" / "top.md"
    captured = (
        page.read_text(encoding="utf-8").partition("$ penstock top\n")[2].partition("```")[0].splitlines()
    )

    assert len(captured) == 24
    for heading in ("SLOT ", "LISTENER ", "  AGE "):
        [now] = [line.split() for line in FULL.splitlines() if line.startswith(heading)]
        [then] = [line.split() for line in captured if line.startswith(heading)]
        assert then == now
    assert captured[-1] == shown(view(), 80, 24, Options())[-1]


def test_a_terminal_of_24_lines_has_everything_and_the_keys() -> None:
    """
    The size that every terminal has.
    """
    lines = shown(view(), 80, 24, Options())

    assert len(lines) == 24
    assert lines[:13] == FULL.splitlines()
    assert lines[23] == " q quit  s sort: slot  p pause  ? help  every 1s"
    assert shown(view(), 80, 24, Options(is_paused=True))[23].endswith("PAUSED")


def test_what_a_narrow_terminal_has_no_room_for_is_left_out() -> None:
    """
    Whole columns, the least important first.
    """
    lines = shown(view(), 40, 10, Options())

    assert lines == [
        "penstock shop 0.1.0  running",
        "  100 req/s    4.0 err/s  p99 3.1ms",
        "SLOT STATE    CPU% REQ/S   P99   LAG",
        "   0 ready      50    50 3.0ms 400µs",
        "   1 ready      50    50 3.5ms 400µs",
        "  AGE SLOT METHOD  SLOWEST REQUESTS IN …",
        "  12s    1 GET     /reports/2024",
        " 20ms    0 POST    /orders",
        "",
        " q ? help  every 1s",
    ]


def test_with_many_workers_the_others_keep_some_lines() -> None:
    """
    A machine of 64 cores has the same terminal.
    """
    many = {**STATUS, "workers": [{**STATUS["workers"][0], "slot": slot, "pid": slot} for slot in range(64)]}
    lines = shown(view(many), 80, 24, Options())

    assert len(rows(lines, "SLOT ")) >= 6
    assert any(line.startswith("  … 5") and line.endswith(" more") for line in lines)
    assert rows(lines, "SLOWEST")[:1] == ["  12s    1 running      0B GET     /reports/2024"]
    further = shown(view(many), 80, 24, Options(skip=20))
    assert rows(further, "SLOT ")[0].startswith("  20 ")
    last = shown(view(many), 80, 24, Options(skip=63))
    assert rows(last, "SLOT ")[-2].startswith("  63 ")
    assert rows(last, "SLOT ")[-1].endswith(" above")


@pytest.mark.parametrize("sort", SORTS)
def test_workers_are_sorted_with_the_largest_first(sort: str) -> None:
    """
    By slot with the smallest.
    """
    after = later_status()
    after["workers"][1].update(cpu_s=101.9, requests=9000, rss_bytes=2**30, connections=99, loop_lag_s=0.5)
    first = rows(shown(view(after), options=Options(is_live=False, sort=sort)), "SLOT ")[0]

    assert first.split()[0] == ("0" if sort == "slot" else "1")


def test_what_an_older_server_does_not_tell_is_a_dash() -> None:
    """
    And connections are one number there.
    """
    older = status()
    for worker in older["workers"]:
        for key in ("connections_active", "connections_idle", "cpu_s"):
            del worker[key]
    lines = shown(view(older, samples=None, requests=None, before=older))

    assert lines[1] == "    0 req/s      - err/s      -/s  p50     -  p99     -     24 connections"
    assert rows(lines, "SLOT ")[0] == (
        "   0    4000    0 ready      3    -  36M   12     0     -     - 400µs   12m"
    )
    assert lines[-1] == "requests in flight: -"
    assert shown(view(requests={"requests": []}))[-1] == "requests in flight: none"


def test_what_is_wrong_stands_at_the_top_in_words() -> None:
    """
    Whoever is woken looks there first, and may see no colours.
    """
    bad = status()
    bad["workers"][1].update(state="suspect", loop_lag_s=2.5)
    bad["crash_loops"] = [{"slot": 1, "failures": 5, "next_attempt_s": 12.0, "last_reason": "exited with 1"}]
    bad["master"]["last_failure"] = {"at": WALL_S - 125, "message": "no module 'shop'\nTraceback"}
    bad["operations"] = [
        {"verb": "scale", "argument": 4, "state": "running"},
        {"verb": "reload", "argument": None, "state": "done"},
    ]
    lines = shown(view(bad, trouble="no answer for 3s"))

    assert lines[0] == "no answer for 3s"
    assert lines[3:6] == [
        "crash loop: slot 1, 5 failures, tried again in 12s: exited with 1",
        "last failure 2m5s ago: no module 'shop'",
        "under way: scale 4",
    ]
    styles = {piece.text.strip(): piece.style for line in frame(view(bad), 80, 99, ONCE) for piece in line}
    assert (styles["suspect"], styles["2.5s"], styles["ready"]) == (Style.BAD, Style.BAD, Style.GOOD)


@pytest.mark.parametrize(
    ("slots", "queued", "told"),
    [
        ([0, 0, 1, 1], {}, "2 each"),
        ([0, 0, 0, 1, 1], {}, "2 or 3 each"),
        ([0, 0, 1, 1], {2: 3}, "0: 0-1  1: 2-3 (3 queued)"),
        ([0, 0, 0, 0], {}, "0: 0-3  1: none"),
        ([0, None, 1, 1], {}, "?: 1  0: 0  1: 2-3"),
        ([0, 1, 0, 0], {}, "0: 0,2-3  1: 1"),
        ([None], {}, "all slots"),
        ([None], {0: 2}, "all slots (2 queued)"),
        ([], {}, "0: none  1: none"),
    ],
)
def test_shards_are_told_one_by_one_when_that_says_something(
    slots: list[int | None], queued: dict[int, int], told: str
) -> None:
    """
    When a queue grows, the first question is whose it is.
    """
    shards = tuple(
        Shard(index=index, slot=slot, queued=queued.get(index, 0)) for index, slot in enumerate(slots)
    )
    assert holders(Listener(shards=shards), {0, 1}) == told
    assert holders(Listener(shards=(Shard(index=0, slot=0), Shard(index=1, slot=0))), {0}) == "all by slot 0"


def test_upstreams_are_shown_where_there_are_any() -> None:
    """
    Most servers have none, and lose no line to them.
    """
    with_upstreams = later_status()
    with_upstreams["upstreams"] = [
        {
            "name": "backend",
            "servers": [
                {"address": "10.0.0.1:9000", "state": "unhealthy", "connections_active": 3, "queued": 1}
            ],
        },
        {"name": "cache"},
    ]
    lines = shown(view(with_upstreams))

    assert not any("UPSTREAM" in line for line in shown(view()))
    first, second = rows(lines, "UPSTREAM")
    assert first.split() == ["backend", "10.0.0.1:9000", "unhealthy", "3", "-", "1", "-", "-"]
    assert second.split()[0] == "cache"


def test_requests_that_are_passed_on_say_to_whom() -> None:
    """
    In a column that takes no room where nothing is passed on.
    """
    passed = {"requests": [{"path": "/cart", "age_s": 1.0, "server": "10.0.0.1:9000"}, {"path": "/a"}]}
    lines = shown(view(requests=passed))

    assert not any("SERVER" in line for line in shown(view()))
    assert [line.split()[-2:] for line in lines[-2:]] == [["10.0.0.1:9000", "/cart"], ["-", "/a"]]


def test_a_client_cannot_write_on_the_terminal() -> None:
    """
    The path and the method are its own words.
    """
    hostile = {"method": "\x1b[2J", "path": "/\x1b]0;owned\x07\n\u202e你", "age_s": 1.0, "state": "\x9b"}
    lines = shown(view(requests={"requests": [hostile]}))

    assert "%1B]0;owned%07%0A%E2%80%AE" in lines[-1]
    assert not any(each in "".join(lines) for each in "\x1b\x07\x9b\n\u202e你")


def test_those_who_may_not_see_paths_see_routes() -> None:
    """
    Over TCP the path is null.
    """
    request = {**REQUESTS["requests"][0], "path": None, "route": "reports"}

    assert shown(view(requests={"requests": [request]}))[-1].endswith(" GET     route reports")


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    """
    Old consoles, and scripts in a C locale.
    """
    lines = shown(view(), 40, 10, Options(is_unicode=False))

    assert "".join(lines).isascii()
    assert "400us" in "".join(lines)


def test_help_says_what_the_keys_do() -> None:
    """
    On 80 by 24 as well.
    """
    lines = shown(view(), 80, 24, Options(is_help=True))

    assert len(lines) == 24
    assert {"q", "s", "p", "?"} <= {line.split()[0] for line in lines if line}
    assert not any(line.endswith("…") for line in lines)


def test_before_the_first_answer_there_is_a_word() -> None:
    """
    An empty screen says nothing.
    """
    assert shown(View()) == ["asking the server"]
    assert shown(View(trouble="no answer")) == ["no answer"]


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just([]) | st.just({})
)


def objects(*keys: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(keys), VALUES | st.integers(0, 9), max_size=len(keys))


STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "version": VALUES,
        "master": VALUES | objects("pid", "state", "generation", "started_at", "last_failure"),
        "workers": VALUES | st.lists(objects(*STATUS["workers"][0]), max_size=40),
        "listeners": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {"name": VALUES, "address": VALUES},
                optional={"shards": st.lists(objects("index", "slot", "queued"))},
            ),
            max_size=4,
        ),
        "upstreams": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {"name": VALUES},
                optional={"servers": st.lists(objects("address", "state", "queued"), max_size=3)},
            ),
            max_size=3,
        ),
        "operations": VALUES | st.lists(objects("verb", "state", "argument"), max_size=3),
        "crash_loops": VALUES
        | st.lists(objects("slot", "failures", "next_attempt_s", "last_reason"), max_size=3),
    },
)
SAMPLE_ANSWERS = VALUES | st.fixed_dictionaries(
    {
        "slots": VALUES
        | st.dictionaries(st.sampled_from("012x"), st.lists(objects("t", "errors", "sent_bytes"))),
        "latency": VALUES | st.lists(objects("t", "p50_s", "p99_s", "slots"), max_size=3),
    }
)
REQUEST_ANSWERS = VALUES | st.fixed_dictionaries(
    {"requests": VALUES | st.lists(objects(*REQUESTS["requests"][0]), max_size=8)}
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(STATUSES, SAMPLE_ANSWERS, REQUEST_ANSWERS), min_size=2, max_size=2),
    st.integers(0, 140),
    st.integers(0, 50),
    st.builds(
        Options,
        sort=st.sampled_from(SORTS),
        skip=st.integers(0, 50),
        is_paused=st.booleans(),
        is_help=st.booleans(),
        is_live=st.booleans(),
        is_unicode=st.booleans(),
    ),
    st.text(max_size=200),
)
def test_no_frame_is_larger_than_the_terminal(
    told: list[tuple[Any, Any, Any]], width: int, height: int, options: Options, trouble: str
) -> None:
    """
    Whatever is told and however small it is: no line wraps, none is too many, and all print.
    """
    before, current = (make_reading(at_s, 100.0, *answers) for at_s, answers in enumerate(told))
    lines: list[Line] = frame(View(before=before, current=current, trouble=trouble), width, height, options)

    assert len(lines) <= height
    for line in lines:
        text = "".join(piece.text for piece in line)
        assert len(text) <= width
        assert all(map(is_harmless, text))
        assert options.is_unicode or text.isascii()
    if options.is_live and height > 0 and width > 0 and height > 2:
        assert len(lines) == height


@pytest.mark.parametrize("height", range(12))
def test_every_small_height_says_who_it_is(height: int) -> None:
    """
    A pane of three lines is still of use.
    """
    lines = shown(view(), 80, height, Options())

    assert len(lines) == height or height in (1, 2)
    assert not lines or lines[0].startswith("penstock shop")
