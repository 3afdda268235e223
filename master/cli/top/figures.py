"""Numbers in at most five characters, so that columns stay where they are."""

from collections.abc import Sequence
from itertools import pairwise


def compact(value: float | None) -> str:
    """
    Write a number with two or three digits that count.

    >>> [compact(each) for each in (None, 0, 0.04, 3.14159, 12_345, 999_600)]
    ['-', '0', '0.04', '3.1', '12k', '1.0M']
    """
    if value is None:
        return "-"
    value, unit = _scaled(value, 1000.0, ("", "k", "M", "G", "T", "P", "E"))
    if value == 0 or value >= 9.95:
        return f"{value:.0f}{unit}"
    return f"{value:.2f}" if value < 0.095 else f"{value:.1f}{unit}"


def count(number: int | None) -> str:
    """
    Write a whole number, exactly as long as it fits.

    >>> [count(each) for each in (0, 99_999, 100_000)]
    ['0', '99999', '100k']
    """
    return compact(number) if number is None or number > 99_999 else str(number)


def size(number: float | None) -> str:
    """
    Write a number of bytes.

    >>> [size(each) for each in (512, 36 * 2**20, 1.5 * 2**30)]
    ['512B', '36M', '1.5G']
    """
    if number is None:
        return "-"
    value, unit = _scaled(number, 1024.0, ("B", "K", "M", "G", "T", "P", "E"))
    return f"{value:.0f}{unit}" if value >= 9.95 or unit == "B" else f"{value:.1f}{unit}"


def percent(share: float | None) -> str:
    """
    Write a share as a percentage.

    >>> [percent(each) for each in (0.004, 0.034, 1.0)]
    ['0.4', '3', '100']
    """
    if share is None:
        return "-"
    value = share * 100
    return f"{value:.1f}" if 0 < value < 0.95 else f"{min(value, 99_999):.0f}"


def span(seconds: float | None) -> str:
    """
    Write how long something takes.

    >>> [span(each) for each in (0.00042, 0.0031, 0.25, 1.84, 75, 7384)]
    ['420µs', '3.1ms', '250ms', '1.8s', '1m15s', '2h3m']
    """
    if not seconds:
        return "-" if seconds is None else "0"
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f}µs"
    if seconds < 0.9995:
        milliseconds = seconds * 1e3
        return f"{milliseconds:.0f}ms" if milliseconds >= 9.95 else f"{milliseconds:.1f}ms"
    return f"{seconds:.1f}s" if seconds < 9.95 else age(seconds)


def age(seconds: float | None) -> str:
    """
    Write an age in its largest unit, and in two while that is short.

    >>> [age(each) for each in (0, 59, 75, 754, 7384, 86400 * 400)]
    ['0s', '59s', '1m15s', '12m', '2h3m', '400d']
    """
    if seconds is None:
        return "-"
    whole = int(seconds)
    units: Sequence[tuple[str, int]] = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for (unit, length), (lower, lower_length) in pairwise(units):
        if whole >= length:
            number, rest = whole // length, whole % length // lower_length
            if number > 9999:
                return ">27y"
            return f"{number}{unit}" if number > 9 or not rest else f"{number}{unit}{rest}{lower}"
    return f"{whole}s"


def _scaled(value: float, step: float, units: Sequence[str]) -> tuple[float, str]:
    for unit in units[:-1]:
        if value < 999.5:
            return value, unit
        value /= step
    return min(value, 999.0), units[-1]
