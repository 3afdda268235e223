"""
Where log lines go, in the master and in its children alike.

Only the `penstock` logger is set up: the hosted app's loggers belong to the
app. The handler's descriptor can be swapped, because a child that has dropped
its privileges cannot open a rotated file; the master opens it and passes it on.
"""

import logging
import os
import sys
from typing import TextIO

from penstock.worker.colors import ColorFormatter, wants_colors
from penstock.worker.log_config import apply_log_config
from penstock.worker.spec import LogSpec

LOG = logging.getLogger("penstock")

_FORMAT = "%(asctime)s.%(msecs)03d [%(process)d] %(levelname)s %(message)s"
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


class SwappableHandler(logging.StreamHandler[TextIO]):
    """Writes to a descriptor that can be exchanged for another."""

    def swap(self, fd: int) -> None:
        """Write to this descriptor from now on, which the handler takes over."""
        self.acquire()
        try:
            old = self.stream
            self.stream = os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")
            if old is not sys.stderr:
                old.close()
        except OSError:
            pass  # The old file's disk is full, which may well be why it is rotated.
        finally:
            self.release()


_handler = SwappableHandler(sys.stderr)


def open_log_file(path: str) -> int:
    """Open a log file for appending and return its descriptor. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def set_up_logging(spec: LogSpec, file_fd: int | None = None) -> None:
    """Send the log where the spec says; `file_fd` is the opened `spec.path`, which is taken over."""
    LOG.setLevel(spec.level.upper())
    LOG.propagate = False
    is_colored = file_fd is None and wants_colors(
        spec.colors, is_terminal=os.isatty(sys.stderr.fileno()), environ=os.environ
    )
    _handler.setFormatter((ColorFormatter if is_colored else logging.Formatter)(_FORMAT, _TIME_FORMAT))
    if file_fd is not None:
        _handler.swap(file_fd)
    elif _handler.stream is not sys.stderr:
        _handler.swap(os.dup(sys.stderr.fileno()))
    LOG.handlers = [_handler]
    if spec.dict_config is not None:
        apply_log_config(spec.dict_config)


def write_raw(text: str) -> None:
    """Write what an app prints to where the log goes, as it is."""
    _handler.acquire()
    try:
        _handler.stream.write(text)
        _handler.stream.flush()
    except (OSError, ValueError):
        pass  # As with a line of the log: the app has done nothing wrong.
    finally:
        _handler.release()


def swap_log_file(fd: int) -> None:
    """Go on writing to another descriptor, which is taken over."""
    _handler.swap(fd)
