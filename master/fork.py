"""
Starting a child by fork, with nothing of the master's left in it.

The child never returns from here: whatever happens in it ends in `os._exit`, so
no `finally` of the master's ever runs in it.
"""

import atexit
import os
import sys
import traceback
from collections.abc import Callable

from penstock.master.signals import block_signals, unblock_signals
from penstock.worker.child import reset_signals


def fork_child(let_go: Callable[[], None], live: Callable[[], int]) -> int:
    """
    Fork, and return the child's pid.

    In the child: `let_go` closes what is the master's, then `live` runs and its
    answer is the exit status. Signals are blocked around the fork, because one
    that reached the child first would run the master's handler there.
    """
    _flush_outputs()
    block_signals()
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(let_go, live)
    finally:
        unblock_signals()  # Also when there was no process to be had: a master must hear its TERM.
    return pid


def _flush_outputs() -> None:
    """Write what is buffered, lest both processes do. An output may be closed, or a broken pipe."""
    for output in (sys.stdout, sys.stderr):
        try:
            if output is not None:
                output.flush()
        except OSError:
            pass


def _be_child(let_go: Callable[[], None], live: Callable[[], int]) -> None:
    status = 1
    try:
        reset_signals()
        let_go()
        status = live()
        # The hosted app may have registered something; `os._exit` would skip it.
        atexit._run_exitfuncs()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            _flush_outputs()
        finally:
            os._exit(status)
