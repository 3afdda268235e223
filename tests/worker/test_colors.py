"""Colours where a person looks, and nowhere else."""

import logging

import pytest

from penstock.worker.access.entry import Entry
from penstock.worker.colors import ColorFormatter, colored_line, wants_colors


@pytest.mark.parametrize(
    ("wish", "is_terminal", "environ", "wanted"),
    [
        (None, True, {}, True),
        (None, True, {"TERM": "xterm"}, True),
        (None, False, {}, False),
        (None, True, {"TERM": "dumb"}, False),
        (None, True, {"NO_COLOR": "1"}, False),
        (None, True, {"NO_COLOR": ""}, True),
        (None, False, {"FORCE_COLOR": "1"}, True),
        (None, True, {"FORCE_COLOR": "0"}, False),
        (None, False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (None, False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (True, False, {"NO_COLOR": "1"}, True),
        (False, True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_who_decides(wish: bool | None, is_terminal: bool, environ: dict[str, str], wanted: bool) -> None:
    """The operator, then the environment, then what the output is."""
    assert wants_colors(wish, is_terminal=is_terminal, environ=environ) is wanted


def test_only_the_level_is_painted_and_only_here() -> None:
    """Another handler of the app's sees the record as it was."""
    record = logging.LogRecord("penstock", logging.WARNING, "", 0, "hello %s", ("you",), None)
    formatter = ColorFormatter("%(levelname)s %(message)s")

    assert formatter.format(record) == "\x1b[33mWARNING\x1b[0m hello you"
    assert record.levelname == "WARNING"


def entry(status: int) -> Entry:
    return (0.0, None, "GET", b"/", b"", "1.1", [], status, 10, 0, "-", "web", None, None, None)


@pytest.mark.parametrize(("status", "color"), [(200, 32), (304, 36), (404, 33), (503, 31)])
def test_the_status_is_painted_by_its_class(status: int, color: int) -> None:
    line = colored_line(lambda entry: f'- "GET / HTTP/1.1" {entry[7]} 10 "-" "a {entry[7]} b"')

    expected = f'- "GET / HTTP/1.1" \x1b[{color}m{status}\x1b[0m 10 "-" "a {status} b"'
    assert line(entry(status)) == expected


def test_a_line_without_a_status_stays_as_it_is() -> None:
    """A format of one's own may show none."""
    assert colored_line(lambda _: "GET / 200")(entry(200)) == "GET / 200"
    assert colored_line(lambda _: '"-" 101 -')(entry(101)) == '"-" 101 -'
