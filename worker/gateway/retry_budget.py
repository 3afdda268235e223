"""
How many requests may be sent another time: a share of all, so that servers which
fail because they have too much to do do not get more.

Pure: time and the number of requests are handed in.
"""

from penstock.worker.gateway.window import Window
from penstock.worker.limits import RETRY_BUDGET_COUNT_MIN, RETRY_BUDGET_S


class RetryBudget:
    """
    Lets a retry happen while those of the last seconds are less than a share of the requests.

    A few are always free: of ten requests in ten seconds a fifth is two, and the
    first server that goes away takes more.
    """

    __slots__ = ("_ratio", "_window", "retry_count")

    def __init__(self, ratio: float, now_s: float) -> None:
        self._ratio = ratio
        self._window = Window(RETRY_BUDGET_S, now_s, (0, 0))
        self.retry_count = 0

    def advance(self, now_s: float, request_count: int) -> None:
        """Let time pass; `request_count` is how many requests there were so far."""
        self._window.advance(now_s, (request_count, self.retry_count))

    def take(self, request_count: int) -> bool:
        """Take one retry, if there is one left."""
        requests, retries = self._window.growth((request_count, self.retry_count))
        if retries >= max(RETRY_BUDGET_COUNT_MIN, self._ratio * requests):
            return False
        self.retry_count += 1
        return True
