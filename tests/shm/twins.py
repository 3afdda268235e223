"""The two implementations of what counts, for tests that both must pass."""

import importlib
import sysconfig
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any, Final

from penstock.shm import board, cell, meter, ring
from penstock.shm.counting import EXTENSION

PYTHON: Final = SimpleNamespace(
    BoardWriter=board.BoardWriter,
    Meter=meter.Meter,
    Cell=cell.Cell,
    GaugeCell=cell.GaugeCell,
    RingWriter=ring.RingWriter,
)


def can_build() -> bool:
    """Say whether this machine has what the extension is built with."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    return which(compiler) is not None and (Path(sysconfig.get_path("include")) / "Python.h").exists()


def implementations() -> list[Any]:
    """Give both, or where nothing could be built the one there is."""
    try:
        return [PYTHON, importlib.import_module(EXTENSION)]
    except ImportError:
        return [PYTHON]


def name_of(implementation: Any) -> str:
    """Give what a test with it is called."""
    return "python" if implementation is PYTHON else "native"
