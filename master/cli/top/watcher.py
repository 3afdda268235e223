"""
Asks the server, again and again, in a thread of its own: the keyboard never waits for an answer.

A hot restart replaces the process that answers, and a stop takes the socket
away; both are only reasons to ask again. Each answer has a deadline.
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.master.cli.control import ControlError, ask
from penstock.master.cli.tables import duration
from penstock.master.cli.top.answers import make_reading
from penstock.master.cli.top.frame import View
from penstock.master.cli.top.reading import Reading

# Rates are over this long at least: over less they jump, since the server looks at some of its
# figures once a second.
WINDOW_S: Final = 2.0
# Workers tell a sample each second; the latest few make the rates of errors and bytes.
SAMPLES_S: Final = 15.0


def read(path: Path) -> Reading:
    """Ask for everything once. Raises ControlError when not even the status is told."""
    wall_s = time.time()
    status = _decoded(ask(path, "/status"))
    at_s = time.monotonic()
    samples = _optional(path, f"/samples?since={wall_s - SAMPLES_S:.3f}")
    return make_reading(at_s, wall_s, status, samples, _optional(path, "/requests"))


def _optional(path: Path, target: str) -> Any:
    """Ask for what an older server does not have, or has no time for just now."""
    try:
        return _decoded(ask(path, target))
    except ControlError:
        return None


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ControlError("the answer is no JSON") from None


class Recent:
    """The readings of the last seconds, to take one from before."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        """Keep a reading. Another master has counted nothing of what the one before has."""
        if self._readings and (self._readings[-1].pid, self._readings[-1].started_at) != (
            reading.pid,
            reading.started_at,
        ):
            self._readings.clear()
        self._readings.append(reading)
        # All but one of those that are old enough to reckon from are of no use any more.
        while len(self._readings) > 2 and self._readings[1].at_s <= reading.at_s - WINDOW_S:
            self._readings.popleft()

    def view(self, trouble: str = "") -> View:
        """Give the last one and the one to reckon from."""
        if not self._readings:
            return View(trouble=trouble)
        before = self._readings[0] if len(self._readings) > 1 else None
        return View(current=self._readings[-1], before=before, trouble=trouble)


class Watcher:
    """What is known of a server at any time. `tell` is called, in the thread, when there is news."""

    def __init__(self, path: Path, interval_s: float, tell: Callable[[], None]) -> None:
        self._path = path
        self._interval_s = interval_s
        self._tell = tell
        self._recent = Recent()
        self._heard_s = time.monotonic()
        self._view = View()
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self, first: Reading) -> None:
        """Begin to ask, with what was told already."""
        self._recent.add(first)
        self._view = self._recent.view()
        # The main thread alone has handlers for signals, and has to be woken by them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def view(self) -> View:
        """Give what is known now."""
        if self._bug is not None:
            raise self._bug  # Where it is not printed across a frame.
        return self._view

    def _run(self) -> None:
        try:
            while True:
                time.sleep(self._interval_s)
                self._look()
                self._tell()
        except BaseException as error:
            self._bug = error
            self._tell()

    def _look(self) -> None:
        try:
            self._recent.add(read(self._path))
        except ControlError as error:
            silent = duration(time.monotonic() - self._heard_s)
            why = str(error).removeprefix(f"{self._path}: ")
            self._view = self._recent.view(f"no answer for {silent}, asking again: {why}")
        else:
            self._heard_s = time.monotonic()
            self._view = self._recent.view()
