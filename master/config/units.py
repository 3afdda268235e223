"""Durations, sizes and permissions, from text and back: `30s`, `64KiB`, `0660`."""

import re

from penstock.master.config.problems import Mismatch

DURATION_PATTERN = r"[0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h|d)"
SIZE_PATTERN = r"[0-9]{1,15}(B|KB|MB|GB|KiB|MiB|GiB)?"
MODE_PATTERN = r"(0o?)?[0-7]{3}"
UMASK_PATTERN = r"(0o)?[0-7]{1,4}"

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]{1,15}) ?([A-Za-z]*)")

# Larger than any sane value, and small enough for every timer and counter.
DURATION_S_MAX = 366 * 86400.0
SIZE_MAX = 2**50


def parse_duration(text: str) -> float:
    """Read a duration as seconds. Raises Mismatch."""
    match = _DURATION.fullmatch(text)
    if match is None:
        hint = f"write {text}s" if _NUMBER.fullmatch(text) else ""
        raise Mismatch("a duration such as 500ms, 30s, 5m or 1h", hint=hint)
    seconds = float(match[1]) * SECONDS[match[2]]
    if seconds > DURATION_S_MAX:
        raise Mismatch("a duration of at most 366d")
    return seconds


def parse_size(text: str) -> int:
    """Read a size as bytes. Raises Mismatch."""
    match = _SIZE.fullmatch(text)
    expected = "a size such as 4096, 64KiB or 1MiB"
    if match is None:
        raise Mismatch(expected)
    count, unit = int(match[1]), match[2] or "B"
    if unit not in BYTES:
        folded = {each.lower(): each for each in BYTES}
        # `64k` is nginx's spelling, and means 64 KiB there.
        short = {"k": "KiB", "m": "MiB", "g": "GiB", "ki": "KiB", "mi": "MiB", "gi": "GiB"}
        known = folded.get(unit.lower()) or short.get(unit.lower())
        raise Mismatch(expected, hint=f"did you mean '{count}{known}'?" if known else "")
    size = count * BYTES[unit]
    if size > SIZE_MAX:
        raise Mismatch("a size of at most 1 PiB")
    return size


def parse_mode(text: str) -> int:
    """Read the permissions of a file, in octal. Raises Mismatch."""
    if not re.fullmatch(MODE_PATTERN, text):
        raise Mismatch("permissions in octal such as 0660")
    return int(text.removeprefix("0o"), 8)


def parse_umask(text: str) -> int:
    """Read a mask of permissions, in octal: `022`, `0o22`, `0`. Raises Mismatch."""
    if not re.fullmatch(UMASK_PATTERN, text) or int(text.removeprefix("0o"), 8) > 0o777:
        raise Mismatch("a mask in octal such as 022")
    return int(text.removeprefix("0o"), 8)


def duration_text(seconds: float) -> str:
    """
    Write a duration with the largest unit that needs no fraction.

    >>> duration_text(90.0)
    '90s'
    """
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / SECONDS[unit]
        if count >= 0.5 and abs(count - round(count)) < 1e-6:
            return f"{round(count)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def size_text(size: int) -> str:
    """Write a size with the largest binary unit that needs no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return str(size)
