"""
What the rows have counted whose owners are gone: the base, in two copies.

The master alone writes it, into the copy that nobody reads, and then makes that
copy the one that holds by a single word of the header (see folding.py).
"""

from penstock.shm import layout
from penstock.shm.sections import Sections


class Base:
    """One copy: totals, and whose are in them."""

    def __init__(self, sections: Sections) -> None:
        self._sections = sections
        self.line = sections.u64("line")
        self.folded = sections.u64("folded")  # by row of this segment: the claim that was folded last
        self.cells = sections.u64("cells")
        self.values = sections.f64("values")
        self.keys = sections.u64("keys")
        self.exemplars = sections.u64("exemplars")

    @property
    def folded_serial(self) -> int:
        """Segments whose serial is less were folded."""
        return int(self.line[layout.BASE_FOLDED_SERIAL])

    def close(self) -> None:
        """Let go of the memory."""
        self._sections.release()
