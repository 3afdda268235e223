"""Numbers in at most five characters."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.master.cli.top.answers import NUMBER_MAX
from penstock.master.cli.top.figures import age, compact, count, percent, size, span


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (compact, None, "-"),
        (compact, 0, "0"),
        (compact, 0.04, "0.04"),
        (compact, 0.0949, "0.09"),
        (compact, 0.095, "0.1"),
        (compact, 3.14159, "3.1"),
        (compact, 9.96, "10"),
        (compact, 999.4, "999"),
        (compact, 999.5, "1.0k"),
        (compact, 12_345, "12k"),
        (compact, 999_600, "1.0M"),
        (count, 99_999, "99999"),
        (count, 100_000, "100k"),
        (count, None, "-"),
        (size, 0, "0B"),
        (size, 512, "512B"),
        (size, 1000, "1.0K"),
        (size, 36 * 2**20, "36M"),
        (size, 1.5 * 2**30, "1.5G"),
        (percent, 0.0, "0"),
        (percent, 0.004, "0.4"),
        (percent, 0.034, "3"),
        (percent, 1.0, "100"),
        (span, 0.0, "0"),
        (span, 0.00042, "420µs"),
        (span, 0.0009996, "1.0ms"),
        (span, 0.25, "250ms"),
        (span, 0.9996, "1.0s"),
        (span, 9.96, "9s"),
        (span, 75, "1m15s"),
        (age, 0, "0s"),
        (age, 59.9, "59s"),
        (age, 754, "12m"),
        (age, 3600, "1h"),
        (age, 7384, "2h3m"),
        (age, 86400 * 400, "400d"),
        (age, 1e18, ">27y"),
    ],
)
def test_numbers_are_written_with_the_digits_that_count(
    write: Callable[[float | None], str], number: float | None, text: str
) -> None:
    """
    So that they can be compared at a glance.
    """
    assert write(number) == text


@pytest.mark.parametrize("write", [compact, size, span, age, percent])
@given(number=st.floats(0, NUMBER_MAX))
def test_no_number_is_wider_than_five(write: Callable[[float | None], str], number: float) -> None:
    """
    Else a column would push the others aside.
    """
    assert len(write(number)) <= 5


@given(st.integers(0, int(NUMBER_MAX)))
def test_no_count_is_wider_than_five(number: int) -> None:
    """
    Counts are exact for longer.
    """
    assert len(count(number)) <= 5
