"""
What a worker thinks of one upstream server: whether requests may go there.

Plain facts that others put in: the health checks of the machine, and whoever
counts failures here. Nothing is asked per request: `is_up` is worked out when
a fact changes, and whoever chooses servers is told then.
"""

from collections.abc import Callable


class Standing:
    """
    The standing of one server. Call `judge` after a change.

    `is_healthy` is what the health checks say (True while they have said
    nothing), `is_ejected` what the answers to this worker's requests say.
    `up_since_s` is when it was last taken in again, 0 for one that has been up
    from the start.
    """

    __slots__ = ("_on_change", "_was_ejected", "is_ejected", "is_healthy", "is_up", "up_since_s")

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.is_healthy = True
        self.is_ejected = self._was_ejected = False
        self.is_up = True
        self.up_since_s = 0.0

    def judge(self, now_s: float) -> None:
        """Work out whether it is up, and tell who has to know."""
        is_up = self.is_healthy and not self.is_ejected
        if is_up == self.is_up and self.is_ejected == self._was_ejected:
            return
        self._was_ejected = self.is_ejected
        if is_up and not self.is_up:
            self.up_since_s = now_s
        self.is_up = is_up
        self._on_change()
