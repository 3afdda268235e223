"""
Words and columns for people: figures in a few characters, tables of at most 80 columns.
"""

from collections.abc import Sequence

COLUMNS_MAX = 80
CUT = "…"


def duration(seconds: float | None) -> str:
    """
    Write an age in its two largest units.

    >>> duration(7384)
    '2h3m'
    """
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for index, (unit, length) in enumerate(units[:-1]):
        if whole >= length:
            lower, lower_length = units[index + 1]
            rest = whole % length // lower_length
            # After 100 days the hours say nothing.
            return f"{whole // length}{unit}" + (f"{rest}{lower}" if rest and whole < 100 * 86400 else "")
    return f"{whole}s"


def size(count: int | None) -> str:
    """Write a size with three significant digits."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1000 or unit == "PiB":
            break
        value /= 1024
    return f"{value:.0f}{unit}" if value >= 100 or unit == "B" else f"{value:.1f}{unit}"


def lag(seconds: float | None) -> str:
    """Write how late a loop is."""
    if seconds is None:
        return "-"
    if seconds < 0.1:
        return f"{seconds * 1000:.1f}ms"
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else duration(seconds)


def count(number: int | None) -> str:
    """
    Write a number in at most eight characters.

    >>> count(1234567890)
    '1234.6M'
    """
    if number is None:
        return "-"
    for unit, one in (("", 1), ("M", 10**6), ("G", 10**9), ("T", 10**12)):
        if number < 10**4 * one or (one == 1 and number < 10**8):
            return f"{number / one:.1f}{unit}" if unit else str(number)
    return f"{number / 10**12:.0f}T"


def aligned(rows: Sequence[Sequence[str]], *, left: set[int]) -> str:
    """Align columns, closer together when they would not fit, and cut what does not fit even so."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= COLUMNS_MAX else " "
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(gap.join(cells).rstrip())
    return "\n".join(line if len(line) <= COLUMNS_MAX else line[: COLUMNS_MAX - 1] + CUT for line in lines)


def is_cut(table: str) -> bool:
    """Tell whether an aligned table was too wide."""
    return any(line.endswith(CUT) for line in table.splitlines())
