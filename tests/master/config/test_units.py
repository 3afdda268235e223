"""Durations, sizes and permissions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.config.problems import Mismatch
from penstock.master.config.units import (
    duration_text,
    parse_duration,
    parse_mode,
    parse_size,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("0s", 0),
        ("1.5s", 1.5),
        ("1m", 60),
        ("1h", 3600),
        ("2d", 172800),
        ("366d", 31622400),
    ],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    """
    Every unit that a person writes.
    """
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "30", "-1s", "1e3s", "30 s", "1m30s", "30S", "inf", "٣s", "367d", "1_0s", "30sec"]
)
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    """
    30 what? nginx means seconds, Go nanoseconds; nobody should have to know.
    """
    with pytest.raises(Mismatch):
        parse_duration(text)


def test_a_bare_number_is_answered_with_what_to_write() -> None:
    """
    The one mistake that everybody makes.
    """
    with pytest.raises(Mismatch) as caught:
        parse_duration("30")
    assert caught.value.message("30") == (
        "found '30', expected a duration such as 500ms, 30s, 5m or 1h; write 30s"
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("16KB", 16000),
        ("64KiB", 65536),
        ("1MiB", 2**20),
        ("1 GiB", 2**30),
    ],
)
def test_sizes_are_read_as_bytes(text: str, size: int) -> None:
    """
    KB is 1,000 bytes and KiB 1,024, as their names say.
    """
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1.5MiB", "1TiB", "0x10", "9999999GiB", "٣"])
def test_other_sizes_are_refused(text: str) -> None:
    """
    A size that is not understood is never taken for a number of bytes.
    """
    with pytest.raises(Mismatch):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("64k", "64KiB"), ("64kib", "64KiB"), ("1m", "1MiB"), ("2gb", "2GB")]
)
def test_a_size_in_another_spelling_is_answered_with_ours(text: str, meant: str) -> None:
    """
    Nginx writes 64k, and people copy it.
    """
    with pytest.raises(Mismatch, match="size") as caught:
        parse_size(text)
    assert meant in caught.value.hint


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("660", 0o660), ("0o600", 0o600), ("000", 0)])
def test_permissions_are_octal_however_they_are_written(text: str, mode: int) -> None:
    """
    YAML 1.1 and 1.2 disagree on 0660; this file has one answer.
    """
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "888", "66", "01777", "rw-rw----", "-660", "432 "])
def test_other_permissions_are_refused(text: str) -> None:
    """
    Guessing here would open a socket to the world.
    """
    with pytest.raises(Mismatch):
        parse_mode(text)


@given(st.integers(0, 10**7))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    """
    The schema shows defaults as one would type them, so they must mean the same.
    """
    assert parse_duration(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@given(st.integers(0, 2**40))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    """
    As above.
    """
    assert parse_size(size_text(size)) == size
