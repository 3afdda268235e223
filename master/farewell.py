"""
When a server that is to stop begins to: at once, or after those who send it clients have noticed.

Load balancers look at `/readyz` every few seconds. Until they have, the server
goes on accepting, so that nobody they send is refused.
"""


class Farewell:
    """The time between the order to stop and the stop."""

    def __init__(self) -> None:
        # When the drain begins, by the monotonic clock; None while nobody wants it.
        self.deadline_s: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the server is to stop."""
        return self.deadline_s is not None

    def begin(self, now_s: float, delay_s: float) -> None:
        """Stop after a while. Ordered again, it is at once: somebody is impatient."""
        self.deadline_s = now_s if self.has_begun else now_s + delay_s

    def is_over(self, now_s: float) -> bool:
        """Whether it is time to stop."""
        return self.deadline_s is not None and now_s >= self.deadline_s
