"""
The names that /etc/hosts knows.

A name that stands there is not asked of DNS, as everywhere else on the machine.
"""

import os
from pathlib import Path
from typing import Final

from penstock.worker.limits import HOSTS_BYTES_MAX

HOSTS: Final = Path("/etc/hosts")


class HostsFile:
    """The file, read again when it has changed."""

    def __init__(self, path: Path = HOSTS) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._names: frozenset[str] = frozenset()

    def knows(self, name: str) -> bool:
        """Tell whether a name stands there. Names of this very machine need not (RFC 6761)."""
        folded = name.lower().removesuffix(".")
        if folded == "localhost" or folded.endswith(".localhost"):
            return True
        self._refresh()
        return folded in self._names

    def _refresh(self) -> None:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                version = status.st_ino, status.st_mtime_ns, status.st_size
                if version != self._version:
                    self._names = names_in(file.read(HOSTS_BYTES_MAX))
                    self._version = version
        except OSError:
            self._version, self._names = None, frozenset()


def names_in(text: bytes) -> frozenset[str]:
    """List the names in a file of that kind: an address, then names, and comments after "#"."""
    names: set[str] = set()
    for line in text.decode("latin-1").splitlines():
        names.update(word.lower().removesuffix(".") for word in line.partition("#")[0].split()[1:])
    return frozenset(names)
