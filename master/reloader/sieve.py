"""
Which files count: a change of one of them is a change of the code.

As uvicorn has it, and below a few directories nobody looks: hidden ones, caches,
virtual environments. They change by the thousand, and hold nothing that one edits.
Whoever names such a directory is taken at their word.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from penstock.master.reloader.plan import WatchPlan

PRUNED = frozenset({"__pycache__", "node_modules"})


def is_environment(directory: str) -> bool:
    """Tell whether a directory is a virtual environment."""
    return Path(directory, "pyvenv.cfg").exists()


class Sieve:
    """Says which paths count, and remembers of directories what it has said."""

    def __init__(self, plan: WatchPlan, is_environment: Callable[[str], bool] = is_environment) -> None:
        self._plan = plan
        self._is_environment = is_environment
        self._files = frozenset(plan.files)
        self._roots = frozenset(plan.roots)
        self._excluded = frozenset(plan.excluded_paths)
        self._entered: dict[str, bool] = {}

    def wants(self, path: str) -> bool:
        """Tell whether a file counts, by its path: it need not be there any more."""
        if path in self._files:
            return True
        directory, _, name = path.rpartition("/")
        return self.wants_name(path, name) and self.reaches(directory)

    def wants_name(self, path: str, name: str) -> bool:
        """Tell whether a file counts that lies in a directory which does."""
        matching = [pattern for pattern in self._plan.includes if _matches(path, name, pattern)]
        if not matching or path in self._excluded:
            return False
        # A pattern that is a plain name is meant, whatever it looks like: `.env`.
        if any(pattern.rpartition("/")[2] == name for pattern in matching):
            return True
        return not any(_matches(path, name, pattern) for pattern in self._plan.excludes)

    def reaches(self, directory: str) -> bool:
        """Tell whether anything in a directory may count: it is a root, or below one and entered."""
        while directory not in self._roots:
            above, _, name = directory.rpartition("/")
            if not above or not self.enters(directory, name):
                return False
            directory = above
        return True

    def enters(self, directory: str, name: str) -> bool:
        """Tell whether a directory is looked into that lies in one that is."""
        known = self._entered.get(directory)
        if known is None:
            known = self._entered[directory] = directory in self._roots or not (
                name in PRUNED
                or directory in self._excluded
                or any(_matches(directory, name, pattern) for pattern in self._plan.excludes)
                or self._is_environment(directory)
            )
        return known

    def forget(self) -> None:
        """Look at directories anew: a virtual environment may have been made."""
        self._entered.clear()


def _matches(path: str, name: str, pattern: str) -> bool:
    if "/" in pattern:
        return PurePosixPath(path).match(pattern)
    return fnmatchcase(name, pattern)
