"""`penstock status --slow` is a table that no client can spoil."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.slow import Incident, incident_table, slow_table


def test_person_sees_when_what_and_how_long() -> None:
    """Youngest first, as the server tells it."""
    found = [
        Incident(at=990.0, status=500, duration_s=0.0031, slot=1, sent_bytes=117, method="GET", path="/fail"),
        Incident(at=400.0, status=200, duration_s=1.2, method="POST", route="/a", request_id="x-1"),
    ]
    assert incident_table(found, now_s=1000.0) == (
        "AGO  SLOT  STATUS   TIME  SENT  REQUEST\n"
        "10s     1     500  3.1ms  117B  GET /fail\n"
        "10m     -     200  1.20s     -  POST (route /a) [x-1]"
    )


def test_nothing_is_said_in_words() -> None:
    """An empty table looks like a mistake."""
    assert slow_table(b'{"requests": []}') == "no request was slow or failed\n"


@given(st.text(), st.text())
def test_path_stays_on_its_line(method: str, path: str) -> None:
    """No escape sequence of a client's reaches the terminal."""
    incident = Incident(at=1.0, status=200, duration_s=2.0, method=method, path=path)
    body = msgspec.json.encode({"requests": [msgspec.to_builtins(incident)]})
    lines = slow_table(body).split("\n")
    assert len(lines) == 2
    assert all(char.isprintable() for line in lines for char in line)


def test_who_had_it_and_what_was_wrong_stand_before_the_path() -> None:
    """
    A long path is cut, and this is what one looks for.
    """
    failed = Incident(
        at=0.0, status=504, duration_s=3.0, method="GET", path="/" + "x" * 200, server="10.0.0.1:9000",
        failure="timeout",
    )  # fmt: skip
    slow = Incident(at=0.0, status=200, duration_s=3.0, method="GET", path="/a", server="10.0.0.1:9000")
    lines = incident_table((failed, slow), 1.0).splitlines()
    assert "GET (10.0.0.1:9000: timeout) /xxx" in lines[1]
    assert lines[2].endswith("GET (10.0.0.1:9000) /a")
