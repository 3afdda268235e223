"""
Signals as something to read.

A handler only notes that its signal came; the interpreter also writes a byte to
a pipe, which wakes the supervisor. A signal that arrives twice before it is
read is one signal, as the kernel has it too.
"""

import os
import signal
from types import FrameType

from penstock.worker.child import MASTER_SIGNALS

# What asks something of a running server; one that still starts has to be there for it later.
_ORDERS = MASTER_SIGNALS - {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD}


def keep_signals_for_later() -> None:
    """
    Let signals wait that come before their handlers stand.

    By default an order such as HUP would end the process. What stops it may do so,
    but the kernel drops even that on its way to an init that has no handler.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS if os.getpid() == 1 else _ORDERS)


def block_signals() -> None:
    """Let the signals wait in the kernel: around fork, and from before execve until handlers stand."""
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)


def unblock_signals() -> None:
    """Deliver what waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)


class SignalInbox:
    """Where signals wait until the supervisor takes them."""

    def __init__(self) -> None:
        self._arrived: dict[signal.Signals, None] = {}  # in order of arrival
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in MASTER_SIGNALS:
            signal.signal(number, self._note)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        unblock_signals()

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._read_fd

    def take(self) -> list[signal.Signals]:
        """Take the signals that have arrived, each once."""
        try:
            os.read(self._read_fd, 65536)
        except BlockingIOError:
            pass
        arrived, self._arrived = self._arrived, {}
        return list(arrived)

    def put_back(self) -> None:
        """Send the signals that nobody took to ourselves again. They are blocked, and so wait."""
        for number in self.take():
            os.kill(os.getpid(), number)

    def close(self) -> None:
        """Close the pipe; the handlers stay."""
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._arrived[signal.Signals(number)] = None
