"""YAML text as nodes with places."""

import os
from pathlib import Path

import pytest

from penstock.master.config.problems import ConfigError, Place
from penstock.master.config.tree import (
    DEPTH_MAX,
    FILE_BYTES_MAX,
    Mapping,
    Scalar,
    Sequence,
    parse_tree,
    read_tree,
)


def fault(data: bytes | str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_tree(data if isinstance(data, bytes) else data.encode(), "f")
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_every_node_knows_where_it_stands() -> None:
    """
    Lines and columns count from 1, in characters, as editors do.
    """
    tree = parse_tree("é: [a, 'b']\nkey:\n  - |\n    text\n".encode(), "f")

    assert isinstance(tree, Mapping)
    listed, nested = tree.get("é"), tree.get("key")
    assert isinstance(listed, Sequence)
    assert isinstance(nested, Sequence)
    assert listed.items == (Scalar(Place("f", 1, 5), "a"), Scalar(Place("f", 1, 8), "b", is_plain=False))
    assert nested.items[0] == Scalar(Place("f", 3, 5), "text\n", is_plain=False)
    assert tree.items[1][0].place == Place("f", 2, 1)
    assert tree.get("absent") is None


def test_an_alias_is_what_its_anchor_was() -> None:
    """
    Limits that several listeners share are written once.
    """
    tree = parse_tree(b"a: &x {b: c}\nd: *x", "f")

    assert isinstance(tree, Mapping)
    assert tree.get("d") == tree.get("a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f: is empty, expected a configuration"),
        ("# nothing\n", "f: is empty, expected a configuration"),
        ("---\n---\n", "f:2:1: found a second document, expected one"),
        ("a: 1\na: 2", "f:2:1: found the key 'a' again, expected it once (first on line 1)"),
        ("{a: {b: 1, b: 2}}", "f:1:12: found the key 'b' again, expected it once (first on line 1)"),
        ("a: *x", "f:1:4: found the alias '*x', expected one of an anchor above"),
        ("a: &x [*x]", "f:1:8: found the alias '*x', expected one of an anchor above"),
        ("a: !!int 5", "f:1:4: found the tag 'tag:yaml.org,2002:int', expected a value without a tag"),
        ("!!python/object:os.system {}", "f:1:1: found the tag"),
        ("? [a]\n: b", "f:1:3: found a list or a mapping as a key, expected a word"),
        ("a: &x {}\n<<: *x", "f:2:1: found the merge key '<<', expected"),
        ("a: b: c", "f:1:5: not YAML: mapping values are not allowed in this context"),
        ("\ta: 1", "f:1:1: not YAML: "),
        ("a:\n  - b\n c: d", "f:3:2: not YAML: "),
        ("a: [1, 2", "not YAML: "),
        ("a: 'x", "not YAML: "),
        ("a: {b: ${C}}", "(a ${...} between { and } or [ and ] stands in quotes)"),
        ("a: @x", "f:1:4: not YAML: "),
        ("a: 1\nb: \x00", "f:2:4: not YAML: found a control character"),
        ("[" * (DEPTH_MAX + 2), "found more than"),
        ("{a: " * 5000, "found more than"),
        ("- " * 5000, "found more than"),
    ],
)
def test_what_is_not_a_plain_document_is_refused_at_its_place(text: str, expected: str) -> None:
    """
    One clear message, and never a traceback or a guess.
    """
    assert expected in fault(text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: \xff", "f:2:4: found the byte 0xff, expected UTF-8 text"),
        ("a: 1".encode("utf-16"), "f:1:1: found the byte 0xff, expected UTF-8 text"),
        ("é\x80".encode("latin-1"), "f:1:1: found the byte 0xe9, expected UTF-8 text"),
        (os.urandom(0) + bytes(range(128, 256)), "f:1:1: found the byte 0x80, expected UTF-8 text"),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_at_their_place(data: bytes, expected: str) -> None:
    """
    A file in another encoding, or no text at all.
    """
    assert fault(data) == expected


def test_a_byte_order_mark_is_passed_over() -> None:
    """
    Windows editors put it there.
    """
    assert isinstance(parse_tree("\ufeffa: 1".encode(), "f"), Mapping)


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    """
    A missing file, a directory, a file of gigabytes, a name that no file can have.
    """
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(FILE_BYTES_MAX + 1)
    for file, expected in (
        (tmp_path / "missing", "missing: no such file"),
        (tmp_path, "is a directory, expected a configuration file"),
        (big, "is larger than 4 MiB"),
        (Path("/dev/zero"), "is larger than 4 MiB"),
        (big / "below", "cannot be read: Not a directory"),
        (Path("a\0b"), "cannot be read: "),
    ):
        with pytest.raises(ConfigError, match=expected):
            read_tree(str(file))
