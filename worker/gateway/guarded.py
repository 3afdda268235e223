"""
A request to an upstream with a breaker, or with a limit to the time that all of it may take.

What that costs is paid for by those who have configured it.
"""

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.gateway.link import KnownHead, Link
from penstock.worker.gateway.numbers import TIMEOUT
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.upgrade import UpgradePassage
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo
from penstock.worker.http.connection import Connection
from penstock.worker.http.phases import DONE, STREAMING
from penstock.worker.http.wheel import NOT_WATCHED


def passage_to(upstream: Upstream) -> type[Passage]:
    """Return what passes requests to this upstream."""
    spec = upstream.spec
    return Passage if spec.breaker is None and spec.total_timeout_s is None else GuardedPassage


def tunnel_to(upstream: Upstream) -> type[UpgradePassage]:
    """Return what passes requests for another protocol to this upstream."""
    return UpgradePassage if upstream.spec.breaker is None else GuardedUpgrade


class GuardedUpgrade(UpgradePassage):
    """One that asks whether it may begin. How long it takes is limited as for all tunnels."""

    __slots__ = ()

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """Begin, or say that there is too much to do."""
        if not _is_refused(self, upstream):
            super().forward(upstream, target, memo)


class GuardedPassage(Passage):
    """One that asks whether it may begin, and that may end early. The wheel of its upstream watches it."""

    __slots__ = ("deadline_s", "wheel_tick")

    def __init__(self, connection: Connection, meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.deadline_s = 0.0
        self.wheel_tick = NOT_WATCHED

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """Begin, or say that there is too much to do."""
        if _is_refused(self, upstream):
            return
        total_s = upstream.spec.total_timeout_s
        if total_s is not None:
            upstream.wheel.watch(self, upstream.now_s + total_s + upstream.tick_s)
        super().forward(upstream, target, memo)

    def expire(self, now_s: float) -> None:
        """End: it has taken too long."""
        if self.phase >= DONE or self.is_gone:
            return
        pool = self._pool
        self._failure = TIMEOUT
        if self.awaits_answer and self.link is not None:
            pool.numbers.failed(TIMEOUT)
            self._upstream.guard.failed(pool, self)
        pool.complain(f"the request took more than {self._upstream.spec.total_timeout_s:g} s")
        if self.phase == STREAMING:
            self.cut()
        else:
            self._drop()
            self._refuse(504, "the upstream server did not answer in time")

    def came_whole(self, link: Link, known: KnownHead, data: bytes, size: int) -> bool:
        """Pass a response on whose head was seen before."""
        if not super().came_whole(link, known, data, size):
            return False
        self._forget()
        return True

    def _finish(self) -> None:
        self._forget()
        super()._finish()

    def _drop(self) -> None:
        self._forget()
        super()._drop()

    def _forget(self) -> None:
        if self.wheel_tick != NOT_WATCHED:
            self._upstream.wheel.forget(self)


def _is_refused(passage: Passage, upstream: Upstream) -> bool:
    retry_after_s = upstream.guard.refuses(passage)
    if retry_after_s is None:
        return False
    passage.refuse_for(retry_after_s)
    return True
