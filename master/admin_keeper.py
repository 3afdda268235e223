"""
Keeps one admin process alive, and tells it what the master knows.

Its death costs nobody a request, so it needs no roll: it is started again, later
and later if it keeps dying. Across a hot restart the old one answers until the new one is ready.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import msgspec

from penstock.master.admin.process import AdminAssignment, run_admin
from penstock.master.admin.status import FleetStatus
from penstock.master.backoff import after_death
from penstock.master.blueprint import groups_of
from penstock.master.crew import Crew, Exit, kill
from penstock.master.fleet import Backoff
from penstock.master.holdings import Holdings
from penstock.shm.owner import process_started
from penstock.shm.row import Kind
from penstock.shm.row import State as RowState
from penstock.shm.segment import RowsFull
from penstock.worker.channel import Channel
from penstock.worker.logs import LOG
from penstock.worker.messages import Adopt, Drain, Snapshot

DRAIN_TIMEOUT_S = 2.0


class AdminKeeper:
    """The master's view of the admin process."""

    def __init__(
        self, crew: Crew, holdings: Holdings, *, name: str, account: tuple[int | None, int | None]
    ) -> None:
        self._crew = crew
        self._holdings = holdings
        self._name = name
        self.account = account
        self._rows: dict[int, int] = {}  # by pid: the current process last, an old one before it
        self._restart_at_s: float | None = None
        self._started_s = 0.0
        self._backoff: Backoff | None = None
        self._current = 0  # the pid of the one that is to serve
        self._is_stopping = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The admin processes; more than one only during a hand-over."""
        return tuple(self._rows)

    @property
    def rows(self) -> dict[int, int]:
        """The rows of the admin processes by pid, for a hot restart."""
        return dict(self._rows)

    @property
    def deadline_s(self) -> float | None:
        """When `tick` has something to do."""
        return self._restart_at_s

    def start(self, let_go: Callable[[], None], status: FleetStatus) -> None:
        """Fork an admin process that knows this much already; if that fails, later."""
        self._status = status
        self._restart_at_s = None
        self._let_go = let_go
        self._started_s = time.monotonic()
        try:
            self._fork()
        except (RowsFull, OSError) as error:
            LOG.error("cannot start the admin process now: %s", error)
            self._start_later(self._started_s)

    def _fork(self) -> None:
        holdings, status, master_pid = self._holdings, self._status, os.getpid()
        uid, gid = self.account
        # As the workers: it asks the same servers how they are, some by UNIX sockets.
        groups = () if (uid, gid) == (None, None) else groups_of(uid, gid)
        row = holdings.segment.claim(kind=Kind.ADMIN, generation=0, now_ns=time.monotonic_ns())

        def live(channel: Channel) -> int:
            return run_admin(
                AdminAssignment(
                    name=self._name,
                    master_pid=master_pid,
                    status=status,
                    segment=holdings.segment,
                    row_index=row.index,
                    channel=channel,
                    lifeline_fd=holdings.lifeline[0],
                    uid=uid,
                    gid=gid,
                    groups=groups,
                )
            )

        try:
            pid = self._crew.fork(self._let_go, live)
        except OSError:
            holdings.retire(row.index)
            raise
        row.set_process(pid, process_started(pid))
        self._rows[pid] = row.index
        self._current = pid

    def _start_later(self, now_s: float) -> None:
        lived_s = now_s - self._started_s
        self._backoff = after_death(self._backoff, lived_s=lived_s, now_s=now_s, jitter=random.random())
        self._restart_at_s = self._backoff.not_before_s if self._backoff else now_s

    def adopt(self, pid: int, row_index: int) -> None:
        """Take over the admin process of the master's earlier self."""
        self._rows[pid] = row_index

    def on_ready(self, pid: int) -> None:
        """Lend the new process its sockets, and let older ones go."""
        self._holdings.segment.row(self._rows[pid]).set_state(RowState.READY)
        for listener in (self._holdings.control, self._holdings.admin):
            if listener is not None:
                self._crew.send(pid, Adopt(listener.name, (0,)), [listener.shards[0].fileno()])
        for other in self._rows:
            if other != pid:
                self._crew.send(other, Drain(DRAIN_TIMEOUT_S))

    def on_exit(self, exit: Exit, now_s: float) -> None:
        """Free the row, and plan another start if it was the current one."""
        self._holdings.retire(self._rows.pop(exit.pid))
        if exit.pid != self._current or self._is_stopping:
            return
        LOG.warning("the admin process %s; starting another", exit)
        self._start_later(now_s)

    def tick(self, now_s: float) -> None:
        """Start the process again when it is time."""
        if self._restart_at_s is not None and now_s >= self._restart_at_s:
            self.start(self._let_go, self._status)

    def publish(self, status: FleetStatus) -> None:
        """Tell what the master knows."""
        self._status = status
        encoded = msgspec.json.encode(status)
        for pid in self._rows:
            self._crew.send(pid, Snapshot(encoded))

    def stop(self) -> None:
        """Let the process end, at once: it serves nobody's requests."""
        self._is_stopping = True
        self._restart_at_s = None
        for pid in self._rows:
            kill(pid, signal.SIGKILL)
