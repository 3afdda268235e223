"""
Compiled modules that would hide a change.

Python takes a cached module for current if its source has the same size and was
written in the same *second*. Who edits twice in a second, or whose editor does,
would be served the first of the two.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path


def forget_compiled(paths: Iterable[str]) -> None:
    """Remove what was compiled from these sources."""
    for path in paths:
        if path.endswith(".py"):
            try:
                Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
            except (OSError, NotImplementedError):
                continue  # Not ours to remove, and then hardly ours to write.
