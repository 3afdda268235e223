"""What the person at the keyboard has chosen, and what a key changes of it."""

import re
from enum import Enum
from typing import Final

import msgspec

# By what the workers may be sorted, in the order in which `s` goes through them.
SORTS: Final = ("slot", "cpu", "req/s", "p99", "rss", "conns", "lag")

INTERVAL_S_DEFAULT: Final = 1.0
# The server is asked three questions each time, and tells new samples once a second.
INTERVAL_S_MIN, INTERVAL_S_MAX = 0.1, 3600.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a frame is to look."""

    sort: str = SORTS[0]
    skip: int = 0  # so many workers are above the first one shown
    is_paused: bool = False
    is_help: bool = False
    is_live: bool = True  # with a last line that says which keys there are
    is_unicode: bool = True
    interval_s: float = INTERVAL_S_DEFAULT


class Key(Enum):
    """A key that means something here."""

    QUIT = "quit"
    SORT = "sort"
    SORT_BACK = "sort back"
    PAUSE = "pause"
    HELP = "help"
    UP = "up"
    DOWN = "down"
    REDRAW = "redraw"


_KEYS: Final = {
    b"q": Key.QUIT,
    b"Q": Key.QUIT,
    b"\x03": Key.QUIT,
    b"\x1b": Key.QUIT,
    b"s": Key.SORT,
    b"S": Key.SORT_BACK,
    b"p": Key.PAUSE,
    b" ": Key.PAUSE,
    b"?": Key.HELP,
    b"h": Key.HELP,
    b"k": Key.UP,
    b"\x1b[A": Key.UP,
    b"\x1bOA": Key.UP,
    b"j": Key.DOWN,
    b"\x1b[B": Key.DOWN,
    b"\x1bOB": Key.DOWN,
    b"\x0c": Key.REDRAW,
}

# One key: a whole escape sequence, Alt with a character, Escape alone, or a byte.
_ONE: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b[^\x1b\[O]|\x1b|[^\x1b]", re.DOTALL)


def keys_in(data: bytes) -> list[Key]:
    """Find the keys in what a terminal has sent; those that mean nothing are passed over."""
    return [_KEYS[each] for each in _ONE.findall(data) if each in _KEYS]


def is_cut_short(data: bytes) -> bool:
    """Whether an escape sequence may go on: a slow line brings it in two parts."""
    return re.search(rb"\x1b(\[[0-?]*[ -/]*|O)?\Z", data) is not None


def press(options: Options, key: Key, worker_count: int) -> Options:
    """Change what a key changes. Quitting and drawing anew are not for here."""
    change = msgspec.structs.replace
    if key in (Key.SORT, Key.SORT_BACK):
        step = 1 if key is Key.SORT else -1
        return change(options, sort=SORTS[(SORTS.index(options.sort) + step) % len(SORTS)], skip=0)
    if key is Key.PAUSE:
        return change(options, is_paused=not options.is_paused)
    if key is Key.HELP:
        return change(options, is_help=not options.is_help)
    if key is Key.UP:
        return change(options, skip=max(0, options.skip - 1))
    if key is Key.DOWN:
        return change(options, skip=max(0, min(options.skip + 1, worker_count - 1)))
    return options
