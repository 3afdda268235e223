"""
Which media types are worth compressing: `text/*`, `application/json`, `*/*+xml`.
"""

import re
from collections.abc import Iterable

from penstock.worker.limits import NEGOTIATIONS_MAX

# Each event is to reach its client by itself, and so is the end of the stream.
NEVER = b"text/event-stream"


class MediaTypes:
    """A set of media types, some with wildcards."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take patterns in which a star stands for anything but a slash."""
        alternatives = [re.escape(pattern.lower()).replace(r"\*", "[^/]*") for pattern in patterns]
        self._pattern = re.compile("|".join(alternatives).encode() or b"(?!)")
        # By Content-Type as apps write it.
        self._known: dict[bytes, bool] = {}

    def include(self, content_type: bytes) -> bool:
        """Tell whether the type that a Content-Type names is in the set; parameters do not matter."""
        known = self._known.get(content_type)
        if known is None:
            essence = content_type.partition(b";")[0].strip(b" \t").lower()
            known = essence != NEVER and self._pattern.fullmatch(essence) is not None
            if len(self._known) < NEGOTIATIONS_MAX:
                self._known[bytes(content_type)] = known
        return known
