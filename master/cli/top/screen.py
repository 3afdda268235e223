"""
The terminal: lines are put on it, keys are taken from it, and it is left as it was.

curses draws, and draws only what has changed since the last frame. Keys are
read here, since curses takes an Escape alone for the beginning of something,
and the end of the terminal for no key.
"""

import curses
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Final

from penstock.master.cli.top.line import Line, Style

ESCAPE_S: Final = 0.1  # A slow line brings the rest of an escape sequence within this.

_COLOURS: Final = {
    Style.GOOD: curses.COLOR_GREEN,
    Style.WARNING: curses.COLOR_YELLOW,
    Style.BAD: curses.COLOR_RED,
}
_ATTRIBUTES: Final = {
    Style.STRONG: curses.A_BOLD,
    Style.HEADING: curses.A_REVERSE,
    Style.FAINT: curses.A_DIM,
    Style.WARNING: curses.A_BOLD,
    Style.BAD: curses.A_BOLD,
}


class NoScreen(Exception):
    """This terminal cannot be drawn on. The text is for a person."""


def check_terminal(environ: Mapping[str, str]) -> None:
    """Find out whether there is a terminal that can be drawn on. Raises NoScreen."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise NoScreen("standard input and output are no terminal")
    name = environ.get("TERM", "")
    try:
        curses.setupterm(name, sys.stdout.fileno())
    except curses.error:
        raise NoScreen(f"the terminal TERM={name!r} is not known here") from None
    if not curses.tigetstr("cup") or not curses.tigetstr("clear"):
        raise NoScreen(f"the terminal TERM={name!r} cannot be drawn on")


class Screen:
    """The terminal while we have it. A signal that would end us, or the terminal's own end, closes it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._has_colours = not environ.get("NO_COLOR")
        self._styles: dict[Style, int] = dict.fromkeys(Style, curses.A_NORMAL) | _ATTRIBUTES
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.is_closed = False

    def __enter__(self) -> "Screen":
        # Before curses begins: it handles a change of size itself only if nobody else does.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._window = curses.initscr()
        curses.noecho()
        curses.cbreak()
        self._set_colours()
        try:
            curses.curs_set(0)
        except curses.error:
            pass  # A terminal that cannot hide it.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        try:
            curses.curs_set(1)
        except curses.error:
            pass
        try:
            curses.endwin()
        except curses.error:
            pass  # The terminal has gone.

    def wake(self) -> None:
        """End a wait, from any thread."""
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass  # It is full of reasons already.

    def size(self) -> tuple[int, int]:
        """Give the width and height that there are for a frame now."""
        width, height = self._terminal_size()
        # Where the cursor goes to the next line as soon as the last cell is written, none is written there.
        return (width if curses.tigetflag("xenl") == 1 else width - 1), height

    def draw(self, lines: Sequence[Line], *, anew: bool = False) -> None:
        """Make the terminal show these lines; all of it `anew` if somebody else wrote on it."""
        width, height = self._terminal_size()
        if (width, height) != (curses.COLS, curses.LINES):
            curses.resizeterm(height, width)
        self._window.erase()
        for y, line in enumerate(lines):
            x = 0
            for text, style in line:
                try:
                    self._window.addstr(y, x, text, self._styles[style])
                except curses.error:
                    pass  # The last cell of all is written, but the cursor has nowhere to go.
                x += len(text)
        if anew:
            self._window.redrawwin()
        self._window.refresh()

    def wait(self, is_cut_short: Callable[[bytes], bool], timeout_s: float) -> bytes:
        """Wait for keys, a signal or a wake-up; give the keys."""
        stdin = sys.stdin.fileno()
        ready, _, _ = select.select([stdin, self._wake_read], [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if stdin not in ready:
            return b""
        data = self._read(stdin)
        while is_cut_short(data) and select.select([stdin], [], [], ESCAPE_S)[0] and not self.is_closed:
            data += self._read(stdin)
        return data

    def _terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return curses.COLS, curses.LINES
        # Some terminals do not know, and say 0.
        return width or 80, height or 24

    def _read(self, stdin: int) -> bytes:
        try:
            data = os.read(stdin, 1024)
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
        return data

    def _set_colours(self) -> None:
        if not self._has_colours or not curses.has_colors():
            return
        try:
            curses.start_color()
            curses.use_default_colors()
            for number, (style, colour) in enumerate(_COLOURS.items(), start=1):
                curses.init_pair(number, colour, -1)
                self._styles[style] = curses.color_pair(number) | _ATTRIBUTES.get(style, curses.A_NORMAL)
        except curses.error:
            pass  # Then without.

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.is_closed = True
