"""
What is wrong with a configuration, and where: told to a person, all of it at once.

Knows nothing of YAML or of options; a place is a line of a file, an option or
a variable.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A file of another kind given by mistake has a fault in every line, and nobody
# reads beyond the first screens.
PROBLEMS_SHOWN_MAX = 50
# A pasted key or a whole file in one scalar must not bury the message.
FOUND_CHARS_MAX = 60

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: `line` 0 means that the source has no lines."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Show it as editors and terminals make it clickable."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the operator can put right."""

    place: Place
    path: Path
    message: str

    def __str__(self) -> str:
        """Write one line: the place, the key path, what stood there and what was expected."""
        # An option's own name says which key it is; only a file needs the path.
        if not self.place.line or not self.path:
            return f"{self.place}: {self.message}"
        return f"{self.place}: {path_text(self.path)}: {self.message}"


class ConfigError(Exception):
    """The operator can fix this. Names the place, the key, and what was expected."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Sort the problems as the file has them."""
        assert problems
        self.problems = sorted(problems, key=lambda each: (each.place.line, each.place.column))
        super().__init__(_told(self.problems))


class Mismatch(ValueError):
    """A text is not what was expected; `found` replaces the text itself where that says more."""

    def __init__(self, expected: str, *, hint: str = "", found: str = "") -> None:
        """Keep the parts: only the caller knows what stood there."""
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.found = found

    def message(self, text: str) -> str:
        """Say what stood there and what was expected."""
        told = f"found {self.found or quoted(text)}, expected {self.expected}"
        return f"{told}; {self.hint}" if self.hint else told


def path_text(path: Path) -> str:
    """
    Write a key path as a person would.

    >>> path_text(("listeners", 0, "bind"))
    'listeners[0].bind'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def quoted(text: str) -> str:
    """Quote what was found, on one line and cut to a length that can be read."""
    if len(text) > FOUND_CHARS_MAX:
        text = text[: FOUND_CHARS_MAX - 3] + "..."
    return repr(text)


def listed(words: Iterable[str], last: str = "or") -> str:
    """
    Join words as a sentence does.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def nearest(word: str, known: Iterable[str]) -> str:
    """Offer the known word that `word` is most likely a slip for, as a hint; or nothing."""
    by_folded = {each.lower().replace("-", "_"): each for each in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return f"did you mean {by_folded[close[0]]!r}?" if close else ""


def _told(problems: Sequence[Problem]) -> str:
    lines = [str(each) for each in problems[:PROBLEMS_SHOWN_MAX]]
    unsaid = len(problems) - len(lines)
    if unsaid:
        lines.append(f"... and {unsaid} more")
    return "\n".join(lines)
