"""
How much totals have grown in the last seconds, told by a few marks of what they were.

Pure: totals and times are handed in. Whoever counts only adds to its totals, and
nobody counts in here.
"""

from collections import deque
from collections.abc import Sequence

# A mark a second is enough for windows of some seconds, and bounds how many there are.
MARK_S = 1.0


class Window:
    """
    Looks back over a span: at least so far, and a second and a tick more at the most.
    """

    __slots__ = ("_marks", "_span_s")

    def __init__(self, span_s: float, now_s: float, totals: Sequence[int]) -> None:
        self._span_s = span_s
        self._marks: deque[tuple[float, tuple[int, ...]]] = deque([(now_s, tuple(totals))])

    def advance(self, now_s: float, totals: Sequence[int]) -> None:
        """Note what the totals are."""
        marks = self._marks
        if now_s - marks[-1][0] >= MARK_S:
            marks.append((now_s, tuple(totals)))
        # The first one stays until the next is old enough to stand in for it.
        while len(marks) > 1 and marks[1][0] <= now_s - self._span_s:
            marks.popleft()

    def growth(self, totals: Sequence[int]) -> tuple[int, ...]:
        """Tell by how much each total is above what it was."""
        return tuple(now - then for now, then in zip(totals, self._marks[0][1], strict=True))

    def restart(self, now_s: float, totals: Sequence[int]) -> None:
        """Forget what was."""
        self._marks.clear()
        self._marks.append((now_s, tuple(totals)))
