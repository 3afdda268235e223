"""
Changes that come together are one change.

An editor writes a file and renames it, a checkout touches hundreds: a reload is due
when nothing more has changed for a while. Pure: time is an argument.
"""

from collections.abc import Iterable

# Something that writes all the time, such as a generator of code, is not waited for any longer.
BURST_S_MAX = 2.0

# Of so many paths a person may want to read the names.
PATHS_MAX = 1000


class Burst:
    """The changes since the last reload was ordered."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._paths: dict[str, None] = {}
        self._first_s = 0.0
        self._last_s = 0.0
        self._count = 0

    @property
    def due_s(self) -> float | None:
        """When they can be told of, if nothing more comes; None: there is nothing."""
        if not self._count:
            return None
        return min(self._last_s + self._delay_s, self._first_s + max(BURST_S_MAX, self._delay_s))

    def note(self, paths: Iterable[str], now_s: float) -> None:
        """Note that these have changed."""
        for path in paths:
            if not self._count:
                self._first_s = now_s
            self._last_s = now_s
            self._count += path not in self._paths
            if len(self._paths) < PATHS_MAX:
                self._paths[path] = None

    def take(self, now_s: float) -> tuple[list[str], int]:
        """Take what is due, and how many there were; nothing if it is too early."""
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return [], 0
        taken = list(self._paths), self._count
        self._paths.clear()
        self._count = 0
        return taken
