"""The time in the two ways in which a line shows it, worked out once a second."""

import time

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Clock:
    """Remembers the last second that it was asked about."""

    __slots__ = ("_common", "_common_s", "_iso", "_iso_s")

    def __init__(self) -> None:
        self._common = self._iso = ""
        self._common_s = self._iso_s = -1

    def common(self, time_s: float) -> str:
        """Write local time as in the Common Log Format: [21/Nov/2026:08:50:02 +0000]."""
        second = int(time_s)
        if second != self._common_s:
            at = time.localtime(second)
            # Not by %b, which a hosted app's locale would translate.
            zone = time.strftime("%z", at)
            self._common = (
                f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year:04}"
                f":{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} {zone}]"
            )
            self._common_s = second
        return self._common

    def iso(self, time_s: float) -> str:
        """Write UTC with milliseconds: 2026-11-21T08:50:02.123Z."""
        second = int(time_s)
        if second != self._iso_s:
            self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._iso_s = second
        return f"{self._iso}.{int((time_s - second) * 1000):03}Z"
