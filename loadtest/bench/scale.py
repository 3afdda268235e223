"""
Where a value lies on an axis, which ticks it gets, and how a figure is written.

Pure arithmetic: nothing here knows SVG. A place is a share of the axis, 0 at its
start and 1 at its end.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# A range wider than this is drawn on a logarithmic axis: on a linear one the
# median would lie on the floor, and only the worst request would be seen.
LINEAR_RATIO_MAX = 12.0
LINEAR_TICK_COUNT = 5
# Up to so many decades there is room for 1, 2, 5; beyond, for the powers of ten.
DECADES_IN_FULL = 2.5

# Seven nines is one request in ten million: more than any run of ours asks.
NINES_MAX = 7.0
NINES_MIN = 2.0


@dataclass(frozen=True)
class Axis:
    """A range of values, linear or logarithmic, with the values that get a tick."""

    low: float
    high: float
    is_log: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where a value lies; one beyond the range lies at its end."""
        if self.is_log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))


def axis_for(values: Iterable[float]) -> Axis:
    """
    Choose an axis on which all values can be told apart.

    Zeros and negative values do not widen a logarithmic axis: they lie at its foot.
    """
    known = [value for value in values if math.isfinite(value) and value > 0]
    if not known:
        return linear_axis(1.0)
    low, high = min(known), max(known)
    return log_axis(low, high) if high > LINEAR_RATIO_MAX * low else linear_axis(high)


def linear_axis(high: float) -> Axis:
    """Make an axis from 0 that ends at the first round value at or above `high`."""
    if not math.isfinite(high) or high <= 0:
        high = 1.0
    step = _round_up(high / LINEAR_TICK_COUNT)
    count = math.ceil(high / step - 1e-9)
    return Axis(0.0, step * count, False, tuple(step * index for index in range(count + 1)))


def log_axis(low: float, high: float) -> Axis:
    """Make a logarithmic axis between the round values around `low` and `high`."""
    foot, head = _round_down(low), _round_up(high)
    factors = (1, 2, 5) if math.log10(head / foot) <= DECADES_IN_FULL else (1,)
    exponents = range(math.floor(math.log10(foot)), math.ceil(math.log10(head)) + 1)
    ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return Axis(foot, head, True, tuple(tick for tick in ticks if foot * 0.999 <= tick <= head * 1.001))


def nines(percentile: float) -> float:
    """
    Say how many nines a percentile has: 90 has one, 99.9 three, 50 a third of one.

    On this axis the tail, which users feel, gets as much room as the middle.
    """
    rest = 1.0 - min(max(percentile, 0.0), 100.0) / 100.0
    return min(NINES_MAX, -math.log10(rest)) if rest > 0 else NINES_MAX


def nines_ticks(end: float) -> list[float]:
    """Return the percentiles that get a tick on an axis of so many nines: 0, 50, 90, 99, 99.9 and on."""
    return [0.0, 50.0, *(100.0 - 10.0 ** (2 - count) for count in range(1, math.floor(end + 1e-9) + 1))]


def percentile_label(percentile: float) -> str:
    """Write a percentile with all its nines, and without the noise of binary fractions."""
    return f"{percentile:.6f}".rstrip("0").rstrip(".")


def figure(value: float) -> str:
    """Write a value with about three digits that mean something; thousands are set apart."""
    size = abs(value)
    if not math.isfinite(value):
        return "\N{EN DASH}"
    if value == int(value) or size >= 99.95:  # What is counted has no fractions.
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.095:
        return f"{value:.2f}"
    return f"{value:.2g}"


def tick_label(value: float) -> str:
    """Write the value of a tick, which is round: no zeros after the point."""
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def _round_up(value: float) -> float:
    """Return the first of 1, 2, 5, 10, 20 and so on at or above a value."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next((unit * step for step in (1, 2, 5) if value <= unit * step * 1.000001), unit * 10)


def _round_down(value: float) -> float:
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * step for step in (5, 2, 1) if value >= unit * step * 0.999999)
