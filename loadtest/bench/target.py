"""
What `loadtest/run` loads: Penstock, started for it, or a server that already runs.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from bench import machine, server
from bench.server import Server, ServerFailed

LOADTEST = Path(__file__).resolve().parents[1]


class Target(Protocol):
    """A server under load, as far as the runner cares."""

    @property
    def name(self) -> str:
        """In the picture."""

    @property
    def url(self) -> str:
        """Where the load goes."""

    @property
    def command(self) -> str:
        """How it was started."""

    @property
    def core_count(self) -> int:
        """How many cores it can fill."""

    def story(self, load_core: int | None) -> str:
        """Say who runs where."""

    def cpu_s(self) -> float | None:
        """CPU seconds of its tree so far, where they can be known."""

    def problem(self) -> str | None:
        """Say how it ended, if it did."""


class Started:
    """Penstock, started by us."""

    name = "penstock"

    def __init__(
        self, running: Server, *, app: str, workers: int, cores: Sequence[int] | None, path: str
    ) -> None:
        self.url = f"http://127.0.0.1:{running.port}{path}"
        self.command = running.command
        self.core_count = min(workers, len(cores)) if cores else 1
        self._running = running
        self._app = app
        self._workers = workers
        self._cores = cores

    def story(self, load_core: int | None) -> str:
        """Say who runs where, and when somebody has too little room."""
        workers = "1 worker" if self._workers == 1 else f"{self._workers} workers"
        if self._cores is None:
            return f"penstock {self._app}, {workers}; there is one core, which server and load share"
        names = ", ".join(map(str, self._cores))
        told = f"penstock {self._app}, {workers} on core {names}; load on core {load_core}"
        if self._workers > len(self._cores):
            told += f"\n{workers} share {len(self._cores)} of the cores: the last one is the load's"
        return told

    def cpu_s(self) -> float | None:
        """CPU seconds of master, admin and workers; None once it is dead, for what died unseen is lost."""
        return None if self.problem() else self._running.cpu_s()

    def problem(self) -> str | None:
        """Say how it ended, with its last words."""
        try:
            self._running.check()
        except ServerFailed as failure:
            return str(failure)
        return None


class Elsewhere:
    """A server that somebody else started. Without its pid its CPU time is not known."""

    core_count = 1

    def __init__(self, url: str, pid: int | None) -> None:
        self.url = self.name = url
        self.command = f"(running already) pid {pid}" if pid else "(running already)"
        self._pid = pid

    def story(self, load_core: int | None) -> str:
        """Say where the load runs."""
        return f"{self.url}; load on core {load_core}" if load_core is not None else self.url

    def cpu_s(self) -> float | None:
        """CPU seconds of the pid's tree; None if it is not there, or not ours to look at."""
        if self._pid is None:
            return None
        total_s = 0.0
        try:
            for member in server.tree_of(psutil.Process(self._pid)):
                times = member.cpu_times()
                total_s += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            return None
        return total_s

    def problem(self) -> str | None:
        """Tell whether the pid is gone."""
        if self._pid is None or psutil.pid_exists(self._pid):
            return None
        return f"there is no process {self._pid}"


def cores_for(usable: Sequence[int]) -> tuple[list[int] | None, int | None]:
    """Give the last core to the load and the others to the server; with one core nobody is pinned."""
    if len(usable) < 2:
        return None, None
    return list(usable[:-1]), usable[-1]


@contextlib.contextmanager
def penstock(app: str, *, workers: int, cores: list[int] | None, path: str) -> Iterator[Target]:
    """Serve an app by the Penstock beside this Python. Raises ServerFailed."""
    program = machine.program("penstock")
    if program is None:
        raise ServerFailed("there is no penstock beside this Python: `make run` installs it")
    port = server.free_port()
    words = [program, app, "--port", str(port), "--workers", str(workers)]
    words += ["--admin-bind", "none", "--log-level", "warning"]
    with server.running(words, port, cores=cores, cwd=folder_of(app), ready_path=path) as running:
        yield Started(running, app=app, workers=workers, cores=cores, path=path)


def folder_of(app: str) -> Path:
    """Where an app is imported from: ours from `loadtest/`, a user's from where they stand."""
    module = app.partition(":")[0]
    is_ours = module.startswith("apps.") and (LOADTEST / (module.replace(".", "/") + ".py")).is_file()
    return LOADTEST if is_ours and not Path("apps").is_dir() else Path.cwd()
