"""
The files that count as they are now, and what is different from the last look.

Looking is all there is to polling; with the kernel's events it is done when one comes.
"""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from penstock.master.reloader.plan import WatchPlan
from penstock.master.reloader.sieve import Sieve

# A look at so many takes half a second; a project has a hundredth of them.
FILES_MAX = 50_000
# Nor has it so many directories; a folder of data may.
DIRECTORIES_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Mark:
    """What is different after a file was written or exchanged. Not when it was only touched by chmod."""

    mtime_ns: int
    size: int
    inode: int


class Survey:
    """What was there at the last look."""

    def __init__(self, plan: WatchPlan, sieve: Sieve) -> None:
        self._plan = plan
        self._sieve = sieve
        self.is_cut = False  # There was more than is looked at.
        self._marks = self._look()

    def newer(self, since_ns: int, until_ns: int) -> list[str]:
        """List what was written in this time, which nobody saw."""
        return [path for path, mark in self._marks.items() if since_ns < mark.mtime_ns <= until_ns]

    def changes(self) -> list[str]:
        """Look everywhere, and list what is new, different or gone."""
        before, self._marks = self._marks, self._look()
        return [
            path for path in before.keys() | self._marks.keys() if before.get(path) != self._marks.get(path)
        ]

    def changed_files(self) -> list[str]:
        """Look at the single files alone."""
        changed = []
        for path in self._plan.files:
            mark = _mark(path)
            if mark != self._marks.get(path):
                changed.append(path)
                if mark is None:
                    del self._marks[path]
                else:
                    self._marks[path] = mark
        return changed

    def holds(self, directory: str) -> bool:
        """Tell whether there was anything below a directory."""
        return any(path.startswith(f"{directory}/") for path in self._marks)

    def _look(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        for path in self._plan.files:
            if (mark := _mark(path)) is not None:
                found[path] = mark
        self._sieve.forget()
        waiting = deque(self._plan.roots)
        for _ in range(DIRECTORIES_MAX):
            if not waiting or len(found) >= FILES_MAX:
                break
            # What lies near the top first: if not all can be looked at, that is what one edits.
            self._look_into(waiting.popleft(), waiting, found)
        self.is_cut = bool(waiting) or len(found) >= FILES_MAX
        return found

    def _look_into(self, directory: str, waiting: deque[str], found: dict[str, Mark]) -> None:
        try:
            entries = list(os.scandir(directory))
        except OSError:
            return  # It has just gone, or is not ours to read.
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    # A root in a root has its own turn.
                    if entry.path not in self._plan.roots and self._sieve.enters(entry.path, entry.name):
                        waiting.append(entry.path)
                elif self._sieve.wants_name(entry.path, entry.name) and len(found) < FILES_MAX:
                    status = entry.stat()
                    found[entry.path] = Mark(status.st_mtime_ns, status.st_size, status.st_ino)
            except OSError:
                continue


def _mark(path: str) -> Mark | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return Mark(status.st_mtime_ns, status.st_size, status.st_ino)
