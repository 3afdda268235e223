"""
Penstock: a pre-fork, multi-process network server in Python.

One uvloop process per core, no dropped request when anything restarts, and one
set of numbers over all of them. The code lives in three folders that import
downwards only: `penstock.master`, `penstock.worker`, `penstock.shm`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
