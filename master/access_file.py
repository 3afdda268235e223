"""
The file of a generation's access log, as the master holds it.

The master opens it, before the fork and with its own rights, and again when
logs are rotated: workers may have given up the right to.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.master.crew import Crew
from penstock.master.fleet import Worker
from penstock.worker.access.log import STANDARD_STREAMS
from penstock.worker.logs import LOG, open_log_file
from penstock.worker.messages import ReopenAccess
from penstock.worker.spec import AccessSpec


@dataclass
class AccessFile:
    """
    One file, open for appending.

    `fd` is -1 while it is not open, as after a hot restart: the workers have
    it, and nobody else needs it before it is opened again.
    """

    path: str
    fd: int = -1

    @classmethod
    def of(cls, spec: AccessSpec | None) -> "AccessFile | None":
        """Open the file that a spec names, if it names one. Raises OSError."""
        if spec is None or spec.path in STANDARD_STREAMS:
            return None
        # By its whole path: a reload may go to another directory, and the old workers' log stays theirs.
        file = cls(str(Path(spec.path).absolute()))
        file.reopen()
        return file

    def reopen(self) -> None:
        """Open what now has that name. Raises OSError, and then nothing has changed."""
        fd = _open(self.path)
        self.close()
        self.fd = fd

    def close(self) -> None:
        """Close it here."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def reopen_access_files(
    files: Iterable[tuple[int, AccessFile | None]], workers: Iterable[Worker], crew: Crew
) -> None:
    """Open the file of each generation again, and pass it to the workers of that generation."""
    workers = tuple(workers)
    for generation, file in files:
        if file is None:
            continue
        try:
            file.reopen()
        except OSError as error:
            LOG.error("access log %s: %s; going on with the old one", file.path, error.strerror)
            continue
        for worker in workers:
            if worker.generation == generation:
                crew.send(worker.pid, ReopenAccess(), [file.fd])
        LOG.info("access log reopened")


def _open(path: str) -> int:
    """
    Open a file for appending, or a named pipe.

    A pipe that nobody reads would block the one who opens it to write, so it is
    opened for both: lines wait in it for a reader, and when it is full are dropped.
    """
    try:
        is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116, what follows is of os as well
    except FileNotFoundError:
        is_pipe = False
    return os.open(path, os.O_RDWR | os.O_CLOEXEC) if is_pipe else open_log_file(path)
