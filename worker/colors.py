"""
Colours for people: levels in the log, statuses in the access log.

Only on a terminal, unless somebody insists; never in a file, where they would be noise.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Final

from penstock.worker.access import entry as at
from penstock.worker.access.entry import Entry

RESET: Final = "\x1b[0m"
RED: Final = "\x1b[31m"
BOLD_RED: Final = "\x1b[1;31m"
GREEN: Final = "\x1b[32m"
YELLOW: Final = "\x1b[33m"
CYAN: Final = "\x1b[36m"

_BY_LEVEL: Final = (
    (logging.CRITICAL, BOLD_RED),
    (logging.ERROR, RED),
    (logging.WARNING, YELLOW),
    (logging.INFO, GREEN),
)
_BY_CLASS: Final = {2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}


def wants_colors(wish: bool | None, *, is_terminal: bool, environ: Mapping[str, str]) -> bool:
    """
    Decide for one output. `wish` is what the operator said of it.

    NO_COLOR wins over FORCE_COLOR, and both win over what the output is.
    """
    if wish is not None:
        return wish
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR", "")
    if forced:
        return forced not in ("0", "false")
    return is_terminal and environ.get("TERM") != "dumb"


class ColorFormatter(logging.Formatter):
    """Writes the name of the level in its colour."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        """Write the line, with the level's name painted on a copy: other handlers have the record too."""
        painted = copy.copy(record)
        painted.levelname = paint(record.levelname, level_color(record.levelno))
        return super().formatMessage(painted)


def level_color(level: int) -> str:
    """Choose the colour of a level."""
    return next((color for least, color in _BY_LEVEL if level >= least), CYAN)


def status_color(status: int) -> str:
    """Choose the colour of a response's status; none for what is none."""
    return _BY_CLASS.get(status // 100, "")


def paint(text: str, color: str) -> str:
    """Write text in a colour."""
    return f"{color}{text}{RESET}" if color else text


def colored_line(line: Callable[[Entry], str]) -> Callable[[Entry], str]:
    """Have the status in lines of the access log painted, where the combined format has it."""

    def colored(entry: Entry) -> str:
        status = str(entry[at.STATUS])
        # A quote in a request is escaped, so the first that a status follows is where it ends.
        return line(entry).replace(f'" {status} ', f'" {paint(status, status_color(entry[at.STATUS]))} ', 1)

    return colored
