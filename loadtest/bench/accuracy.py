"""
How far an estimated 99th percentile is from the true one.

Three estimates of the same durations: from the fine buckets that a worker counts in; as
Prometheus works it out from the buckets of `/metrics`; and from the buckets that
prometheus_client has by default.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from prometheus_client import Histogram

from penstock.shm import histogram

Q: Final = 0.99
LONGEST_US: Final = (1 << histogram.OCTAVE_MAX) - 1


def lognormal(chance: random.Random) -> int:
    """Draw from a body of 5 ms with a tail."""
    return _bounded(chance.lognormvariate(math.log(5_000), 1.0))


def pareto(chance: random.Random) -> int:
    """Draw from a tail that is nearly all there is: at least 1 ms, and a mean of 3."""
    return _bounded(1_000 * chance.paretovariate(1.5))


def _bounded(us: float) -> int:
    return min(LONGEST_US, int(us))


SHAPES: Final = {"lognormal": lognormal, "pareto": pareto}


def errors_percent(count: int, seed: int) -> dict[str, float]:
    """Give the relative errors of all estimates, of data that the seed decides."""
    found = {}
    for name, draw in SHAPES.items():
        chance = random.Random(f"{seed} {name}")
        values = sorted(draw(chance) for _ in range(count))
        true_us = values[max(1, math.ceil(count * Q)) - 1]
        for estimator, estimate in ESTIMATES.items():
            found[f"p99.{estimator}.{name}"] = abs(estimate(values) - true_us) / true_us * 100
    return found


def from_fine_buckets(values: Sequence[int]) -> float:
    """Estimate as Penstock does."""
    estimate = histogram.quantile(_fine(values), Q)
    assert estimate is not None
    return estimate


def from_exposed_buckets(values: Sequence[int]) -> float:
    """Estimate as Prometheus does from what Penstock exports."""
    return _interpolated(
        [
            (math.inf if bound is None else bound, below)
            for bound, below in histogram.classic_buckets(_fine(values))
        ]
    )


def from_stock_buckets(values: Sequence[int]) -> float:
    """Estimate as Prometheus does from a Histogram of prometheus_client."""
    bounds = [bound * 1e6 for bound in Histogram.DEFAULT_BUCKETS]
    return _interpolated([(bound, bisect_left(values, bound)) for bound in bounds])


def _fine(values: Sequence[int]) -> list[int]:
    cells = memoryview(bytearray(histogram.WORD_COUNT * 8)).cast("Q")
    for value in values:
        histogram.observe(cells, 0, value)
    return cells[1:].tolist()


def _interpolated(buckets: Sequence[tuple[float, int]]) -> float:
    """Find the bucket that holds the quantile, and the place in it, as if its values were spread evenly."""
    rank = Q * buckets[-1][1]
    low_us, passed = 0.0, 0
    for bound_us, below in buckets:
        if below >= rank:
            if math.isinf(bound_us):
                return low_us
            return low_us + (bound_us - low_us) * (rank - passed) / (below - passed)
        low_us, passed = bound_us, below
    raise AssertionError("the last bucket holds everything")


ESTIMATES: Final = {"fine": from_fine_buckets, "exposed": from_exposed_buckets, "stock": from_stock_buckets}
