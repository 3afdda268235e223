"""
How long a slot waits after its worker died.

A worker that lived long is replaced at once. One that died young waits longer
each time, so that a crash loop spins neither the core nor the log.
"""

from penstock.master.fleet import Backoff

YOUNG_S = 10.0
FIRST_DELAY_S = 0.5
DELAY_S_MAX = 30.0

# Half a minute is reached at the seventh failure; counting on would only overflow.
FAILURES_MAX = 16


def after_death(previous: Backoff | None, *, lived_s: float, now_s: float, jitter: float) -> Backoff | None:
    """
    Choose when the next worker of the slot may start; None for at once.

    `jitter` is from 0 to 1; up to a quarter of the delay is added by it, so
    that slots which die together do not come back together.
    """
    if lived_s >= YOUNG_S:
        return None
    failures = min((previous.failures if previous else 0) + 1, FAILURES_MAX)
    delay_s = min(FIRST_DELAY_S * 2 ** (failures - 1), DELAY_S_MAX)
    return Backoff(failures=failures, not_before_s=now_s + delay_s * (1 + jitter / 4))
