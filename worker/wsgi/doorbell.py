"""
Where a thread waits for the loop.

The loop never waits here: it holds the lock for as long as it takes to look
whether somebody sleeps.
"""

from _thread import LockType, allocate_lock
from collections.abc import Callable

from penstock.worker.limits import WSGI_LOOK_AGAIN_S


class Doorbell:
    """One thread waits; whoever changes what it waits for rings."""

    __slots__ = ("_sleeper", "lock")

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self._sleeper: LockType | None = None

    def wait(self, is_ready: Callable[[], object]) -> None:
        """
        Wait until something is the case. It is asked under the lock, and changes
        before the ring, so no ring is missed.

        Clients have deadlines, which end every wait; looking again is for the
        case that the loop itself has ended.
        """
        while True:
            with self.lock:
                if is_ready():
                    return
                sleeper = allocate_lock()
                sleeper.acquire()
                self._sleeper = sleeper
            sleeper.acquire(timeout=WSGI_LOOK_AGAIN_S)

    def ring(self) -> None:
        """Have the thread look again."""
        with self.lock:
            sleeper, self._sleeper = self._sleeper, None
            if sleeper is not None:
                sleeper.release()
