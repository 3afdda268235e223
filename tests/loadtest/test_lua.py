"""Our generator runs the scripts of wrk as wrk does."""

import json
import sys
from pathlib import Path

import pytest
from bench.failure import LoadFailed
from bench.load import script_named
from bench.lua import Script

URL = "http://127.0.0.1:8000/items?all=1"


def script(folder: Path, text: str) -> Script:
    path = folder / "own.lua"
    path.write_text(text)
    return Script(path, URL)


def test_a_script_without_request_sends_what_the_table_says(tmp_path: Path) -> None:
    made = script(tmp_path, 'wrk.method = "PUT"\nwrk.headers["X-A"] = "b"\nwrk.body = "four"')

    head, _, body = made.next_request().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PUT /items?all=1 HTTP/1.1"
    assert sorted(lines[1:]) == [b"Content-Length: 4", b"Host: 127.0.0.1:8000", b"X-A: b"]
    assert body == b"four"
    assert made.next_request() == made.next_request()
    assert made.answer_count == 1
    assert made.delay_s() == 0
    assert not made.wants_response


def test_host_of_an_ipv6_address_is_bracketed(tmp_path: Path) -> None:
    path = tmp_path / "empty.lua"
    path.touch()

    assert b"Host: [::1]:81\r\n" in Script(path, "http://[::1]:81/").next_request()
    assert b"Host: [::1]\r\n" in Script(path, "http://[::1]").next_request()


def test_init_setup_and_arguments_are_given(tmp_path: Path) -> None:
    """
    A thread's variables are globals of the script, as under wrk.
    """
    made = script(
        tmp_path,
        'function setup(thread) thread:set("name", "first") end\n'
        'function init(args) path = "/" .. name .. "?" .. args[0] end\n'
        "function request() return wrk.format(nil, path) end",
    )

    assert made.next_request().startswith(b"GET /first?http://127.0.0.1:8000/items?all=1 HTTP/1.1\r\n")


def test_a_script_sees_its_answers(tmp_path: Path) -> None:
    made = script(
        tmp_path,
        "function response(status, headers, body) seen = status .. headers['X-A'] .. #body end\n"
        "function request() return wrk.format(nil, '/' .. (seen or '')) end",
    )

    assert made.wants_response
    made.response(204, {b"X-A": b"\xff"}, b"a\0b")
    assert made.next_request().startswith(b"GET /204\xff3 HTTP/1.1\r\n")


def test_post_sends_four_kibibytes_of_json() -> None:
    head, _, body = Script(script_named("post"), URL).next_request().partition(b"\r\n\r\n")

    assert head.startswith(b"POST /items?all=1 HTTP/1.1\r\n")
    assert b"Content-Length: 4096" in head
    assert len(body) == 4096
    assert json.loads(body)["orders"][0]["number"] == 1


def test_pipeline_sends_sixteen_at_once() -> None:
    assert Script(script_named("pipeline"), URL).answer_count == 16


def test_the_mix_is_the_same_on_every_run_and_as_weighted() -> None:
    """
    Two runs differ by the server then, and not by the dice.
    """
    one, other = Script(script_named("mix"), URL), Script(script_named("mix"), URL)
    drawn = [(one.next_request(), one.delay_s()) for _ in range(2000)]

    assert drawn == [(other.next_request(), other.delay_s()) for _ in range(2000)]
    shares = {
        path: sum(b"GET %b HTTP" % path in text for text, _ in drawn) / 2000 for path in (b"/", b"/slow")
    }
    assert 0.55 < shares[b"/"] < 0.65
    assert 0.01 < shares[b"/slow"] < 0.04
    assert all(0.010 <= think_s <= 0.030 for _, think_s in drawn)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("function request( return", r"own\.lua:1: .*expected near"),
        ("\nno_such_thing()", r"own\.lua:2: attempt to call global 'no_such_thing'"),
        ("function init() error('out of order') end", r"own\.lua:1: out of order"),
        ("function request() return nil .. 'a' end", r"own\.lua:1: attempt to concatenate a nil value"),
        ("function request() end", r"own\.lua: request\(\) gave no string, but None"),
        ("function request() return 'hello' end", r"own\.lua: the request is not"),
        ("function request() return 'GET / HTTP/1.1\\r\\n' end", r"own\.lua: the request is not complete"),
    ],
)
def test_an_error_in_a_script_names_the_file(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(LoadFailed, match=told):
        script(tmp_path, text)


@pytest.mark.parametrize("gives", ["nil", "-1", "0/0", "1/0", "'soon'"])
def test_a_delay_that_is_no_time_is_refused(tmp_path: Path, gives: str) -> None:
    made = script(tmp_path, f"function delay() return {gives} end")

    with pytest.raises(LoadFailed, match="no number of milliseconds"):
        made.delay_s()


def test_a_missing_lua_names_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lupa", "lupa.luajit21", "lupa.luajit20", "lupa.lua51"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(LoadFailed, match="make peers"):
        script(tmp_path, "")
