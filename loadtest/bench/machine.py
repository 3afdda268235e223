"""
What machine this is: the facts without which a figure means nothing.
"""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

LIBRARIES = ("uvloop", "httptools", "penstock")


def usable_cores() -> list[int]:
    """Return the cores this process may run on."""
    return sorted(os.sched_getaffinity(0))


def cpu_model() -> str:
    """Return the processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Hardware")):
            return line.partition(":")[2].strip()
    return platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of what our own figures rest on."""
    found = {"CPython": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def facts() -> Mapping[str, str]:
    """Describe the machine for a report: kernel, processor, cores, versions."""
    cores = usable_cores()
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": f"{cpu_model()} ({platform.machine()})",
        "cores": f"{len(cores)} usable of {os.cpu_count()}",
        "compiler of Python": platform.python_compiler(),
        **versions(),
    }


def program(name: str) -> str | None:
    """Find a program beside this Python, else on PATH; /usr/sbin too, where Debian keeps nginx."""
    folders = [str(Path(sys.executable).parent), *os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]
    for folder in folders:
        candidate = Path(folder) / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return None
