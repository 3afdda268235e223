"""docs/switching.md names options and keys that there are, and all that other servers have."""

import json
import re

import pytest

from penstock.master.config.listener import Limits, Listener
from penstock.master.config.model import Config
from penstock.master.config.options import OPTIONS
from penstock.master.config.route import Route
from penstock.master.config.schema import config_schema
from tests.master.switching import PAGE, PEERS, page_with_tables

TEXT = PAGE.read_text()


def tables(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Take the tables of a page apart: heads and rows."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
        found.append((lines[0], lines[2:]))
    return found


def keys() -> set[str]:
    """List every key of the file as the page writes it, and those that are planned."""
    schema = config_schema()
    found = {
        f"{path}{later}"
        for path, record in (
            ("", Config),
            ("listeners[].", Listener),
            ("listeners[].limits.", Limits),
            ("listeners[].routes[].", Route),
        )
        for later in record.LATER
    }

    def walk(part: dict[str, object], path: str) -> None:
        text = json.dumps(part)
        for name in set(re.findall(r'"#/\$defs/(\w+)"', text)):
            of = schema["$defs"][name]
            for key, inner in of.get("properties", {}).items():
                is_list = '"array"' in json.dumps(inner) and "$ref" in json.dumps(inner)
                whole = f"{path}{key}"
                if whole in found:
                    continue
                found.add(whole)
                walk(inner, f"{whole}{'[]' if is_list else ''}.")

    walk({"$ref": schema["$ref"]} if "$ref" in schema else {"$ref": "#/$defs/Config"}, "")
    return found


def test_the_tables_are_written_anew() -> None:
    """
    By `make tables`, after a change of the options or of what others mean here.
    """
    assert page_with_tables(TEXT) == TEXT


def test_every_option_that_is_named_as_ours_exists() -> None:
    """
    In the column `here`, in that of Penstock, and in what is to be written instead.
    """
    ours = {flag for option in OPTIONS for flag in (*option.flags, *option.off)}
    named: set[str] = set()
    for heads, rows in tables(TEXT):
        for index, head in enumerate(heads):
            if head in {"here", "because", "instead", "Penstock"}:
                named |= {flag for row in rows for flag in re.findall(r"`(--[a-z][a-z0-9-]*)", row[index])}

    assert len(named) > 30
    assert named - ours == set()


def test_every_key_that_is_named_exists() -> None:
    """
    Or is planned, which the file says of it too.
    """
    named: set[str] = set()
    for heads, rows in tables(TEXT):
        for index, head in enumerate(heads):
            if head in {"key here", "key in the file"}:
                named |= {key for row in rows for key in re.findall(r"`([^`]+)`", row[index])}

    assert len(named) > 35
    assert named - keys() == set()


@pytest.mark.parametrize("peer", ["uvicorn", "gunicorn", "granian", "hypercorn"])
def test_every_option_of_another_server_is_told_of(peer: str) -> None:
    """
    In its own section.
    """
    section = re.split(r"\n## ", TEXT.partition(f"## From {peer}\n")[2])[0]
    for option in json.loads((PEERS / f"{peer}.json").read_text())["options"]:
        for flag in option["flags"]:
            assert re.search(rf"`{re.escape(flag)}[` ]", section), flag
