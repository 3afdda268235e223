"""Figures are medians of rounds, and a verdict says what it was held against."""

import pytest
from bench.figures import ABSENT, MET, MISSED, Figure, Result, Round, gather, number, table

PLAIN = Figure("a", "one thing", "ns")


def result(figure: Figure, *rounds: Round) -> Result:
    [found] = gather([figure], rounds)
    return found


def test_a_figure_is_the_median_of_its_rounds() -> None:
    """
    One round in which the machine was busy changes nothing.
    """
    found = result(PLAIN, {"a": 3.0}, {"a": 100.0}, {"a": 1.0})

    assert (found.median, found.values, found.verdict) == (3.0, (3.0, 100.0, 1.0), "")


def test_a_ratio_is_of_the_same_round() -> None:
    """
    A machine at half its speed is in both of them.
    """
    figure = Figure("a", "one thing", "ns", beside="b", ratio_max=0.5)

    found = result(figure, {"a": 1.0, "b": 4.0}, {"a": 10.0, "b": 20.0}, {"a": 2.0, "b": 8.0})

    assert (found.ratio, found.verdict) == (0.25, MET)


@pytest.mark.parametrize(
    ("target", "ratio_max", "verdict"),
    [
        (5.0, None, MET),
        (4.9, None, MISSED),
        (None, 0.5, MET),
        (None, 0.4, MISSED),
        (5.0, 0.4, MISSED),
        (4.9, 0.5, MISSED),
    ],
)
def test_every_target_must_be_met(target: float | None, ratio_max: float | None, verdict: str) -> None:
    """
    The number and the ratio, where there are both.
    """
    figure = Figure("a", "one thing", "ns", target=target, beside="b", ratio_max=ratio_max)

    assert result(figure, {"a": 5.0, "b": 10.0}).verdict == verdict


def test_an_error_is_judged_by_its_worst_round() -> None:
    """
    A median would hide the data for which it is large.
    """
    rounds = ({"a": 1.0}, {"a": 1.0}, {"a": 2.0})

    assert result(Figure("a", "error", "%", target=1.5), *rounds).verdict == MET
    assert result(Figure("a", "error", "%", target=1.5, is_worst_judged=True), *rounds).verdict == MISSED


def test_what_cannot_be_measured_is_said() -> None:
    """
    Neither met nor missed, and no ratio of anything to it.
    """
    absent = Figure("a", "one thing", "ns", target=1.0)
    beside = Figure("b", "another", "ns", beside="a", ratio_max=1.0)

    assert result(absent, {}, {"a": None}).verdict == ABSENT
    assert result(beside, {"b": 1.0}).ratio is None
    assert result(beside, {"b": 1.0}).verdict == MISSED
    assert table(gather([absent], [{}])).endswith("| one thing |  | 1.00 ns |  | not there yet |")


def test_the_table_has_all_of_it() -> None:
    """
    As it is published.
    """
    figures = [
        Figure("a", "one thing", "ns", target=10, beside="b", ratio_max=0.5),
        Figure("b", "another", "ns"),
    ]

    lines = table(gather(figures, [{"a": 4.0, "b": 16.0}, {"a": 6.0, "b": 12.0}])).splitlines()

    assert lines[2:] == [
        "| one thing | 5.00 ns (4.00-6.00) | 10.0 ns, 0.5 x | 0.38 x another | met |",
        "| another | 14.0 ns (12.0-16.0) |  |  |  |",
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0.00"), (0.071, "0.07"), (1.0, "1.00"), (9.994, "9.99"), (48.94, "48.9"), (1028.4, "1028")],
)
def test_numbers_have_the_digits_that_mean_something(value: float, written: str) -> None:
    """
    The fourth is noise.
    """
    assert number(value) == written
