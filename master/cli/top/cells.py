"""What several tables have in their cells."""

from typing import Final

from penstock.master.cli.top.line import Piece, Style

# Whatever a colour says, the word says too.
STYLES: Final = {
    "running": Style.GOOD,
    "ready": Style.GOOD,
    "healthy": Style.GOOD,
    "up": Style.GOOD,
    "partly up": Style.WARNING,
    "down": Style.BAD,
    "starting": Style.WARNING,
    "rolling": Style.WARNING,
    "upgrading": Style.WARNING,
    "draining": Style.WARNING,
    "suspect": Style.BAD,
    "unhealthy": Style.BAD,
}


def state(word: str) -> Piece:
    """Write a state, in the colour of whether it is a good one."""
    return Piece(word or "-", STYLES.get(word, Style.PLAIN))


def number(told: int | None) -> str:
    """Write a number that names something, and so is never rounded."""
    return "-" if told is None else str(told)
