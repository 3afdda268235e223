"""
The threads that WSGI apps run in: one pool for all of them in a worker.

Handing a request over and back is most of what hosting WSGI costs, so both are
batched. At most one thread at a time is *seeking*: it has been woken and has not
looked yet. Whoever takes a request and leaves others waiting wakes the next, so
apps that block do not hold up the queue, and a burst for an app that does not
block wakes two threads and not one for each request. Back to the loop go
letters; it is woken for the first and reads all that have come.
"""

import asyncio
import contextvars
import sys
import threading
import time
from _thread import LockType, allocate_lock
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from penstock.worker.limits import WSGI_BUSY_LOG_S, WSGI_END_POLL_S, WSGI_SWITCH_S
from penstock.worker.logs import LOG

PYTHON_SWITCH_S = 0.005


class Job(Protocol):
    """What a thread is given to do."""

    def work(self, thread: str) -> None:
        """Do it; must not raise. Gets the name of the thread."""

    def describe(self) -> str:
        """Say what it is, for a log."""


def share_fairly() -> None:
    """Have threads take turns more often, unless the app has said how often."""
    if sys.getswitchinterval() == PYTHON_SWITCH_S:
        sys.setswitchinterval(WSGI_SWITCH_S)


class Threads:
    """At most `count` threads, started when there is something to do for them."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.count = count
        self._loop = loop
        self._lock = allocate_lock()
        # In the order in which they came; of each connection one at the most.
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._at_work: dict[Job, None] = {}
        # The bells of those that sleep. The last to fall asleep is woken first: the fewest
        # threads that suffice then do the work, with whatever each of them keeps open.
        self._idle: list[LockType] = []
        self._threads: list[threading.Thread] = []
        self._is_seeking = False
        self._is_ending = False
        self._letters: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._is_called = False
        self._context = contextvars.Context()  # The loop's own; not that of the request at hand.
        self._has_moved = False  # since the last tick: somebody has begun a job
        self._moved_s = time.monotonic()
        self._logged_s = 0.0

    # For the loop.

    def take(self, job: Job) -> None:
        """Have a job done, when its turn comes."""
        with self._lock:
            self._waiting[job] = None
            wake = None if self._is_seeking else self._call_another()
        if wake is not None:
            wake()

    def forget(self, job: Job) -> bool:
        """Take a job out that nobody has begun; tell whether that was so."""
        with self._lock:
            if job in self._waiting:
                del self._waiting[job]
                return True
            return False

    @property
    def is_behind(self) -> bool:
        """Tell whether a job that comes now would have to wait."""
        return len(self._waiting) + len(self._at_work) >= self.count

    @property
    def waiting_count(self) -> int:
        """Count the jobs that nobody has begun."""
        return len(self._waiting)

    def tick(self, now_s: float) -> None:
        """Say so when all threads are stuck; wake one that should not sleep."""
        with self._lock:
            waiting, at_work = len(self._waiting), list(self._at_work)
            wake = self._call_another() if waiting and not self._is_seeking else None
            has_moved, self._has_moved = self._has_moved, False
        if wake is not None:
            wake()
        stuck_s = now_s - self._moved_s
        if has_moved or not waiting:
            self._moved_s = now_s
        elif len(at_work) >= self.count and min(stuck_s, now_s - self._logged_s) >= WSGI_BUSY_LOG_S:
            self._logged_s = now_s
            LOG.warning(
                "all %d WSGI threads have been at work for %.0f s, and %d requests wait; the oldest: %s",
                self.count,
                stuck_s,
                waiting,
                at_work[0].describe(),
            )

    async def stop(self, timeout_s: float) -> None:
        """End the threads. One that is stuck in an app is left behind: it ends with the process."""
        with self._lock:
            self._is_ending = True
            self._waiting.clear()
            bells, self._idle = self._idle, []
        for bell in bells:
            bell.release()
        until_s = time.monotonic() + timeout_s
        while any(each.is_alive() for each in self._threads) and time.monotonic() < until_s:
            await asyncio.sleep(WSGI_END_POLL_S)
        for job in list(self._at_work):
            LOG.warning("left a WSGI thread behind that is still at work on %s", job.describe())

    def _collect(self) -> None:
        # First the note, then the letters: whoever writes one later sees that we are to be called again.
        self._is_called = False
        letters = self._letters
        for _ in range(len(letters)):
            act, argument = letters.popleft()
            try:
                act(argument)
            except Exception:
                LOG.exception("a WSGI response could not be written")

    # For the threads.

    def post(self, act: Callable[[Any], None], argument: Any) -> None:
        """Have the loop do something, in the order in which it was posted."""
        self._letters.append((act, argument))
        if not self._is_called:
            self._is_called = True
            try:
                self._loop.call_soon_threadsafe(self._collect, context=self._context)
            except RuntimeError:
                pass  # The loop has ended, and so does the process.

    def _serve(self, bell: LockType, name: str) -> None:
        job: Job | None = None
        is_seeker = True
        while True:
            wake_another: Callable[[], None] | None = None
            with self._lock:
                if job is not None:
                    del self._at_work[job]
                if self._waiting:
                    job, _ = self._waiting.popitem(last=False)
                    self._at_work[job] = None
                    self._has_moved = True
                    if is_seeker or not self._is_seeking:
                        self._is_seeking = False
                        if self._waiting:
                            wake_another = self._call_another()
                else:
                    job = None
                    if is_seeker:
                        self._is_seeking = False
                    if self._is_ending:
                        return
                    self._idle.append(bell)
            if job is None:
                bell.acquire()
                is_seeker = True
                continue
            is_seeker = False
            if wake_another is not None:
                wake_another()
            try:
                job.work(name)
            except BaseException:
                LOG.exception("a WSGI thread failed at %s", job.describe())

    def _call_another(self) -> Callable[[], None] | None:
        """Choose, under the lock, who looks next. Give what wakes it, to be called without the lock."""
        if self._idle:
            self._is_seeking = True
            return self._idle.pop().release
        if len(self._threads) >= self.count or self._is_ending:
            return None
        bell = allocate_lock()
        bell.acquire()
        name = f"wsgi-{len(self._threads) + 1}"
        # No daemon: it is ended by `stop`.
        thread = threading.Thread(target=self._serve, args=(bell, name), name=name)
        self._threads.append(thread)
        self._is_seeking = True
        return partial(self._start, thread)

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:
            LOG.error("cannot start another WSGI thread: %s", error)
            with self._lock:
                self._threads.remove(thread)
                self._is_seeking = False
