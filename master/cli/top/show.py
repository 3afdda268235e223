"""`penstock top`, put together: one frame printed, or frames on the terminal until somebody quits."""

import locale
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from penstock.master.cli.control import ControlError
from penstock.master.cli.status import EXIT_NO_ANSWER, EXIT_OK, EXIT_USAGE, find_control
from penstock.master.cli.top.frame import ENDLESS, View, frame
from penstock.master.cli.top.line import plain
from penstock.master.cli.top.options import (
    INTERVAL_S_MAX,
    INTERVAL_S_MIN,
    Key,
    Options,
    is_cut_short,
    keys_in,
    press,
)
from penstock.master.cli.top.watcher import Watcher, read
from penstock.master.config.problems import Mismatch
from penstock.master.config.units import parse_duration


def show_top(control: str | None, *, is_once: bool, interval: str) -> int:
    """Show a running server; answers the exit status. Raises UsageError for an interval that is none."""
    interval_s = read_interval(interval)
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        pass  # One that came over ssh, and is not installed here.
    is_unicode = speaks_utf8(os.environ, locale.nl_langinfo(locale.CODESET))
    options = Options(is_unicode=is_unicode, interval_s=interval_s)
    try:
        path = find_control(control, os.getuid(), os.environ)
        return _show_once(path, options) if is_once else _show_live(path, options)
    except ControlError as error:
        click.echo(f"penstock: {error}", err=True)
        return EXIT_NO_ANSWER


def read_interval(text: str) -> float:
    """Read how often the server is to be asked. Raises UsageError."""
    try:
        interval_s = parse_duration(text)
        if not INTERVAL_S_MIN <= interval_s <= INTERVAL_S_MAX:
            raise Mismatch("a duration from 100ms to 1h")
    except Mismatch as error:
        raise click.UsageError(f"--interval: {error.message(text)}") from None
    return interval_s


def speaks_utf8(environ: Mapping[str, str], codeset: str) -> bool:
    """
    Whether the terminal understands UTF-8, as far as its user says.

    The interpreter takes a locale of C for one of UTF-8, and puts that into
    LC_CTYPE; a terminal that is not asked to speak it may well not.
    """
    if codeset.upper().replace("-", "") != "UTF8":
        return False
    is_coerced = environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8") and not environ.get("LC_ALL")
    return not (is_coerced and environ.get("LANG", "") in ("", "C", "POSIX"))


def _show_once(path: Path, options: Options) -> int:
    before = read(path)
    time.sleep(options.interval_s)
    view = View(current=read(path), before=before)
    width = shutil.get_terminal_size((80, 24)).columns
    options = msgspec.structs.replace(options, is_live=False)
    click.echo("\n".join(map(plain, frame(view, width, ENDLESS, options))))
    return EXIT_OK


def _show_live(path: Path, options: Options) -> int:
    try:
        # Some builds of Python are without it.
        from penstock.master.cli.top.screen import NoScreen, Screen, check_terminal  # noqa: PLC0415
    except ImportError:
        return _no_screen("this Python has no curses module")
    try:
        check_terminal(os.environ)
    except NoScreen as error:
        return _no_screen(str(error))
    first = read(path)
    with Screen(os.environ) as screen:
        watcher = Watcher(path, options.interval_s, screen.wake)
        watcher.start(first)
        view, anew = watcher.view(), False
        while not screen.is_closed:
            if not options.is_paused:
                view = watcher.view()
            screen.draw(frame(view, *screen.size(), options), anew=anew)
            keys = keys_in(screen.wait(is_cut_short, options.interval_s))
            if Key.QUIT in keys:
                break
            anew = Key.REDRAW in keys
            for key in keys:
                options = press(options, key, len(view.current.workers) if view.current else 0)
    return EXIT_OK


def _no_screen(why: str) -> int:
    click.echo(f"penstock: top: {why}; `penstock top --once` prints one frame", err=True)
    return EXIT_USAGE
