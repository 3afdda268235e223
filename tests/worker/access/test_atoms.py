"""Lines of text: what each atom shows, and what is no format."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.access.atoms import (
    COMBINED,
    TRAIL_ATOMS,
    FormatError,
    compile_format,
    shows_response_headers,
    shows_trail,
)
from penstock.worker.access.redaction import Redaction
from penstock.worker.gateway.trail import NOWHERE, Trail
from penstock.worker.limits import ACCESS_LINE_BYTES_MAX
from tests.worker.access.entries import entry

VISIBLE = Redaction([])
TRAIL = Trail(
    "backend",
    ("10.0.0.1:9000", "unix:/run/x"),
    status=503,
    failure="closed",
    connect_us=0,
    sent_us=34_567,
    head_us=250,
)


def line(text: str, redaction: Redaction = VISIBLE, **changed: Any) -> str:
    return compile_format(text, redaction, pid=42, slot=3)(entry(**changed))


@pytest.mark.parametrize(
    ("atom", "shown"),
    [
        ("h", "127.0.0.1"),
        ("l", "-"),
        ("u", "bob"),
        ("r", "GET /a/b?page=3&token=secret HTTP/1.1"),
        ("m", "GET"),
        ("U", "/a/b"),
        ("q", "page=3&token=secret"),
        ("H", "HTTP/1.1"),
        ("s", "200"),
        ("B", "512"),
        ("b", "512"),
        ("f", "https://a.example/b?token=secret"),
        ("a", "curl/8"),
        ("T", "1"),
        ("M", "1234"),
        ("D", "1234567"),
        ("L", "1.234567"),
        ("p", "<42>"),
        ("{X-Forwarded-For}i", "10.0.0.1"),
        ("{x-none}i", "-"),
        ("{content-type}o", "text/plain"),
        ("{x-none}o", "-"),
        ("{REMOTE_ADDR}e", "127.0.0.1"),
        ("{REMOTE_PORT}e", "54321"),
        ("{REQUEST_METHOD}e", "GET"),
        ("{PATH_INFO}e", "/a/b"),
        ("{QUERY_STRING}e", "page=3&token=secret"),
        ("{SERVER_PROTOCOL}e", "HTTP/1.1"),
        ("{HTTP_X_FORWARDED_FOR}e", "10.0.0.1"),
        ("{listener}e", "web"),
        ("{route}e", "shop"),
        ("{request_id}e", "id-1"),
        ("{worker}e", "3"),
        ("{upstream}e", "backend"),
        ("{server}e", "unix:/run/x"),
        ("{upstream_status}e", "503"),
        ("{upstream_connect_s}e", "0.000000"),
        ("{upstream_first_byte_s}e", "0.000250"),
        ("{upstream_s}e", "1.200000"),
        ("{upstream_failure}e", "closed"),
        ("{attempts}e", "10.0.0.1:9000, unix:/run/x"),
    ],
)
def test_each_atom(atom: str, shown: str) -> None:
    """
    As gunicorn has them.
    """
    assert line(f"<%({atom})s>", trail=TRAIL) == f"<{shown}>"


def test_ways_are_kept_only_for_those_who_show_them() -> None:
    """
    Of a request that went nowhere they have a dash.
    """
    atoms = " ".join(f"%({{{name}}}e)s" for name in TRAIL_ATOMS)
    assert shows_trail(atoms)
    assert shows_trail("%(h)s %({server}e)s")
    assert not shows_trail(COMBINED)
    assert not shows_trail("%({route}e)s %({server}i)s")
    for trail in (None, NOWHERE):
        assert line(atoms, trail=trail) == " ".join("-" * len(TRAIL_ATOMS))


def test_time_is_local_and_says_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As in the Common Log Format.
    """
    assert re.fullmatch(r"\[2[0-9]/Nov/2026:\d\d:50:02 [+-]\d{4}\]", line("%(t)s"))


def test_what_is_not_known_is_a_dash() -> None:
    """
    A client on a UNIX socket, a request that never said what it wanted, an empty response.
    """
    nothing: dict[str, Any] = {
        "client": None,
        "method": "",
        "headers": [],
        "sent_bytes": 0,
        "request_id": None,
        "response_headers": None,
    }
    atoms = "%(h)s %(u)s %(r)s %(m)s %(b)s %(f)s %(a)s %({x}i)s %({x}o)s %({request_id}e)s %({REMOTE_PORT}e)s"
    assert line(atoms, **nothing) == " ".join("-" * 11)


@pytest.mark.parametrize("given", [b"Basic !", b"Bearer x", b"Basic " + b"=" * 9, b"Basic", b"Basic Og=="])
def test_a_user_who_is_none(given: bytes) -> None:
    """
    Whoever the app takes it for.
    """
    assert line("%(u)s", headers=[(b"authorization", given)]) == "-"


def test_secrets_are_hidden_wherever_they_are_shown() -> None:
    """
    By default, and in every atom that could show one.
    """
    atoms = (
        "%(u)s %(r)s %(q)s %(f)s %({Authorization}i)s %({cookie}i)s %({set-cookie}o)s "
        "%({QUERY_STRING}e)s %({HTTP_COOKIE}e)s %({referer}i)s"
    )
    shown = line(atoms, Redaction())
    assert "secret" not in shown
    assert "bob" not in shown
    assert shown.split()[0] == "***"
    assert "token=***" in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("%(h)s %(y)s", "there is no atom %(y)s"),
        ("%(h)s %(request)s", "there is no atom %(request)s"),
        ("%({NOPE}e)s", "there is no variable for %({NOPE}e)s; there are REMOTE_ADDR"),
        ("%({a b}i)s", "there is no header for %({a b}i)s"),
        ("100% %(h)s", "there is a lone '%' at character 4"),
        ("%(h)d", "there is a lone '%' at character 1"),
        ("hello", "there is no atom such as %(r)s in it"),
        ("%(h)s\n%(r)s", "'\\n' is not printable ASCII"),
        ("%(h)s é", "'é' is not printable ASCII"),
    ],
)
def test_what_is_no_format_is_told(text: str, fault: str) -> None:
    """
    The atom is named, since formats are long.
    """
    with pytest.raises(FormatError) as caught:
        compile_format(text, VISIBLE, pid=1, slot=0)
    assert str(caught.value).startswith(fault)


def test_percent_is_itself() -> None:
    assert line("100%% %(s)s\t%%(h)s") == "100% 200\t%(h)s"


def test_response_headers_are_kept_only_for_those_who_show_them() -> None:
    """
    They would live a tenth of a second longer for nothing.
    """
    assert shows_response_headers("%(h)s %({etag}o)s")
    assert not shows_response_headers(COMBINED)
    assert not shows_response_headers("json")


TRICKY = st.sampled_from(
    [b"\n", b"\r\n", b'"', b"\\", b" ", b"\x00", b"\x85", b"\xe2\x80\xa8", b"\x1b[2J", b"a"]
)
BYTES = st.one_of(st.binary(max_size=60), st.lists(TRICKY, max_size=20).map(b"".join))
_COMBINED = re.compile(
    r'(\S+) (\S+) (\S+) \[[^\]]+\] "((?:[^"\\]|\\.)*)" (\d{3}) (\S+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)


@given(st.lists(BYTES, min_size=5, max_size=5), st.text(max_size=20))
def test_no_request_can_forge_a_line(values: list[bytes], method: str) -> None:
    """
    Whatever it says: one line, and a parser of the combined format finds the fields as they are.
    """
    path, query, referer, agent, user = values
    credentials = b"Basic " + base64.b64encode(user + b":pw")
    headers = [(b"referer", referer), (b"user-agent", agent), (b"authorization", credentials)]
    for redaction in (VISIBLE, Redaction()):
        text = line(COMBINED, redaction, path=path, query=query, headers=headers, method=method)
        assert text.isprintable()
        assert text.isascii()
        found = _COMBINED.fullmatch(text)
        assert found is not None, text
        assert (found[1], found[5]) == ("127.0.0.1", "200")


@given(BYTES, st.integers(1, 40))
def test_no_line_is_longer_than_a_pipe_takes(value: bytes, times: int) -> None:
    """
    With its newline it is written whole or not at all.
    """
    atoms = " ".join(["%({cookie}i)s"] * times)
    assert len(line(atoms, headers=[(b"cookie", value * 50)])) < ACCESS_LINE_BYTES_MAX
