"""
What counts with every request: in C where that was built, and else in Python.

The extension is optional. It is left out where it could not be built, where it
was built for another division of the memory, where threads really run at once
(it relies on the interpreter's lock), and when PENSTOCK_PURE is set. Whoever
counts imports from here and does not ask; what is stored is the same.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final, Literal

from penstock.shm.histogram import BUCKET_COUNT
from penstock.shm.schema import BOARD_ENTRY_COUNT, BOARD_ENTRY_WORDS

__all__ = ["IMPLEMENTATION", "BoardWriter", "Cell", "GaugeCell", "Meter", "RingWriter"]

EXTENSION: Final = "penstock.shm._native"
# Chooses Python.
PURE: Final = "PENSTOCK_PURE"

# What the extension has built in.
_SHAPE: Final = (BOARD_ENTRY_WORDS, BOARD_ENTRY_COUNT, BUCKET_COUNT)


def choose(environ: Mapping[str, str]) -> Literal["native", "python"]:
    """Tell which of the two this process can use, and is to."""
    is_locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    if environ.get(PURE, "0") not in {"", "0"} or sys.implementation.name != "cpython" or not is_locked:
        return "python"
    try:
        extension = importlib.import_module(EXTENSION)
    except ImportError:
        return "python"
    return "native" if extension.SHAPE == _SHAPE else "python"


IMPLEMENTATION: Final = choose(os.environ)

if IMPLEMENTATION == "native":
    from penstock.shm._native import BoardWriter, Cell, GaugeCell, Meter, RingWriter
else:
    from penstock.shm.board import BoardWriter
    from penstock.shm.cell import Cell, GaugeCell
    from penstock.shm.meter import Meter
    from penstock.shm.ring import RingWriter
