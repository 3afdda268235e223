"""
Keeps one reloader alive while there is something to watch.

Its death costs nobody a request: it is started again, later and later if it keeps
dying, and finds what has changed meanwhile.
"""

import os
import random
import signal
from collections.abc import Callable

from penstock.master.backoff import after_death
from penstock.master.crew import Crew, Exit, kill
from penstock.master.fleet import Backoff
from penstock.master.reloader.plan import WatchPlan
from penstock.master.reloader.process import ReloaderAssignment, run_reloader
from penstock.worker.channel import Channel
from penstock.worker.logs import LOG


class ReloaderKeeper:
    """The master's view of the reloader."""

    def __init__(
        self, crew: Crew, *, name: str, account: tuple[int | None, int | None], since_ns: int
    ) -> None:
        """Changes before `since_ns`, in wall-clock time, are in the code that is served."""
        self._crew = crew
        self._name = name
        self._account = account
        self._since_ns = since_ns
        self._plan: WatchPlan | None = None
        self._running: WatchPlan | None = None  # of the process that runs
        self._started_s = 0.0
        self._not_before_s = 0.0
        self._backoff: Backoff | None = None
        self.pid: int | None = None
        self._let_go: Callable[[], None] = lambda: None

    @property
    def deadline_s(self) -> float | None:
        """When `tick` has something to do."""
        return self._not_before_s if self._plan is not None and self.pid is None else None

    def start(self, plan: WatchPlan | None, let_go: Callable[[], None]) -> None:
        """Watch this. `let_go` closes in the child what is the master's."""
        self._let_go = let_go
        self.watch(plan, self._since_ns)

    def watch(self, plan: WatchPlan | None, since_ns: int) -> None:
        """Watch this from now on; None: nothing. What has changed since then is told of."""
        self._plan = plan
        self._since_ns = since_ns
        if self.pid is not None and self._running != plan:
            kill(self.pid, signal.SIGKILL)  # The next one is started when it is reaped.

    def tick(self, now_s: float) -> None:
        """Start the process if it is to run and does not."""
        if self._plan is None or self.pid is not None or now_s < self._not_before_s:
            return
        plan, since_ns, name, master_pid = self._plan, self._since_ns, self._name, os.getpid()
        uid, gid = self._account

        def live(channel: Channel) -> int:
            return run_reloader(
                ReloaderAssignment(
                    name=name,
                    master_pid=master_pid,
                    channel=channel,
                    plan=plan,
                    since_ns=since_ns,
                    uid=uid,
                    gid=gid,
                )
            )

        self._started_s = now_s
        try:
            self.pid = self._crew.fork(self._let_go, live)
        except OSError as error:
            LOG.error("reload: cannot watch for changes now: %s", error)
            self._start_later(now_s)
            return
        self._running = plan

    def on_exit(self, exit: Exit, now_s: float) -> None:
        """Start another, unless it was told to go."""
        self.pid = None
        if self._plan == self._running and self._plan is not None:
            LOG.warning("reload: the process that watches for changes %s; starting another", exit)
            self._start_later(now_s)

    def interrupt(self) -> None:
        """End the process, which is started again as soon as that is noticed."""
        if self.pid is not None:
            self._crew.forget(self.pid)
            kill(self.pid, signal.SIGKILL)
            self._running = None

    def stop(self) -> None:
        """Watch nothing any more."""
        self.watch(None, self._since_ns)

    def _start_later(self, now_s: float) -> None:
        lived_s = now_s - self._started_s
        self._backoff = after_death(self._backoff, lived_s=lived_s, now_s=now_s, jitter=random.random())
        self._not_before_s = self._backoff.not_before_s if self._backoff else now_s
