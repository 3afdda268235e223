"""Threads that somebody else's import left running, and a process that is to end all the same."""

import os
import sys
import threading


def leave_if_held(status: int) -> None:
    """Leave at once when a thread would hold the interpreter for ever."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
