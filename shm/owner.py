"""
Who owns a row, as the kernel has it.

A pid may be used again; with the time at which the process started it is
unique. As long as the master lives it knows by itself who has ended, and frees
the row. This is for readers when nobody does: while the boot shim stands in.
"""

import os
from typing import Final

import msgspec

from penstock.shm.row import Row, RowReading

# 52 numbers and a name.
_STAT_BYTES_MAX: Final = 4096


def process_started(pid: int) -> int:
    """Tell when a process started, in clock ticks after boot; 0 if it is gone. With it a pid is unique."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, _STAT_BYTES_MAX)
        finally:
            os.close(fd)
    except OSError:
        return 0
    # The name of the process comes before, and may hold blanks and brackets.
    return int(text.rpartition(b")")[2].split()[19])


def read_believed(row: Row) -> RowReading | None:
    """
    Read a row as `Row.read` does, and believe that an owner is there only if that very process is.

    It costs some microseconds for each owner.
    """
    reading = row.read()
    if reading is None or not reading.is_current or _is_there(reading):
        return reading
    return msgspec.structs.replace(reading, is_current=False)


def _is_there(reading: RowReading) -> bool:
    started = process_started(reading.pid)
    if started != 0:
        # Who wrote the row could not look either: believe it.
        return reading.pid_started in (0, started)
    # Where /proc hides the processes of others, one that is there by its pid is believed.
    try:
        os.kill(reading.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
