"""
What happens again and again and is to be told once: handshakes that fail, peers that speak something else.

Anybody can cause these, as often as they like. So the first of a kind is logged,
and those that follow are counted until a minute is over.
"""

from dataclasses import dataclass, field

from penstock.worker.limits import COMPLAINT_KINDS_MAX, COMPLAINT_PERIOD_S


@dataclass(slots=True)
class _Kind:
    until_s: float
    untold: int = 0


@dataclass(slots=True)
class Complaints:
    """Decides when to tell of something that was told of before."""

    _kinds: dict[str, _Kind] = field(default_factory=dict)

    def judge(self, reason: str, now_s: float) -> str | None:
        """Return what to log about something that has happened; None: nothing now."""
        known = self._kinds.get(reason)
        if known is not None and now_s < known.until_s:
            known.untold += 1
            return None
        if known is None and len(self._kinds) >= COMPLAINT_KINDS_MAX:
            self._kinds.clear()
        self._kinds[reason] = _Kind(now_s + COMPLAINT_PERIOD_S)
        untold = 0 if known is None else known.untold
        return f"{reason} ({untold} more like this since it was last said)" if untold else reason
