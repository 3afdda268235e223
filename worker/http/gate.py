"""
The gate of a listener: so many requests at a time are with its apps; the others wait for their turn,
in the order in which they came, or are turned away with 503.

A site without a limit has no gate, and its requests know nothing of one.
"""

import asyncio
import math
from collections import OrderedDict
from enum import Enum, auto
from http import HTTPStatus

from penstock.worker.asgi.types import ASGIApp, Receive, Scope, Send
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.phases import DONE
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.limits import QUEUE_LOG_PERIOD_S, QUEUED_REQUESTS_MAX
from penstock.worker.logs import LOG
from penstock.worker.spec import GateCells


class Verdict(Enum):
    """What became of a request at the gate."""

    ENTERED = auto()
    FULL = auto()  # Too many were at work, and nobody may wait, or too many did.
    LATE = auto()  # It waited, and was not called.
    GONE = auto()  # Its client has left, or at least sends no more.


class Gate:
    """
    Lets so many in at a time. Whoever goes out calls the next one in, so nobody overtakes.
    """

    def __init__(
        self,
        name: str,
        concurrency: int,
        queue_timeout_s: float,
        loop: asyncio.AbstractEventLoop,
        *,
        cells: memoryview,
        where: GateCells | None,
    ) -> None:
        self._name = name
        self._concurrency = concurrency
        self._queue_timeout_s = queue_timeout_s
        self._loop = loop
        self._cells = cells
        self._where = where
        self._inside_count = 0
        # Who waits, the first one first, with when it is too late. All wait equally long, so one timer
        # will do: that of the first.
        self._queue: OrderedDict[Exchange, tuple[asyncio.Future[Verdict], float]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._unlogged_count = 0
        self._logged_s = -math.inf
        retry_after = str(max(1, math.ceil(queue_timeout_s))).encode()
        self.refusal_headers = (*TEXT_HEADERS, (b"retry-after", retry_after))

    @property
    def inside_count(self) -> int:
        """Count the requests that are with apps."""
        return self._inside_count

    @property
    def queued_count(self) -> int:
        """Count those that wait."""
        return len(self._queue)

    def enter(self) -> bool:
        """Go in, if there is room; whoever did has to `leave`."""
        if self._inside_count >= self._concurrency:
            return False
        self._inside_count += 1
        return True

    def leave(self) -> None:
        """Go out, and call the next one in."""
        while self._queue:
            _, (turn, _) = self._queue.popitem(last=False)
            self._show()
            if not turn.done():
                turn.set_result(Verdict.ENTERED)
                return
        self._inside_count -= 1

    async def wait(self, exchange: Exchange) -> Verdict:
        """Wait for a turn."""
        if not self._queue_timeout_s or len(self._queue) >= QUEUED_REQUESTS_MAX:
            self._count(Verdict.FULL)
            return Verdict.FULL
        turn: asyncio.Future[Verdict] = self._loop.create_future()
        self._queue[exchange] = turn, self._loop.time() + self._queue_timeout_s
        self._show()
        if self._timer is None:
            self._timer = self._loop.call_later(self._queue_timeout_s, self._judge_first)
        try:
            verdict = await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.done() and turn.result() is Verdict.ENTERED:
                self.leave()  # It was called and cancelled at the same time.
            self.forget(exchange)
            raise
        if verdict is Verdict.LATE:
            self._count(verdict)
        return verdict

    def forget(self, exchange: Exchange) -> None:
        """Take out one that does not wait any more, if it did."""
        if exchange in self._queue:
            turn, _ = self._queue.pop(exchange)
            self._show()
            if not turn.done():
                turn.set_result(Verdict.GONE)

    def _judge_first(self) -> None:
        """Send away those whose time is over, and come again for the next."""
        self._timer = None
        now_s = self._loop.time()
        while self._queue:
            exchange = next(iter(self._queue))
            turn, due_s = self._queue[exchange]
            if due_s > now_s:
                self._timer = self._loop.call_at(due_s, self._judge_first)
                return
            del self._queue[exchange]
            self._show()
            if not turn.done():
                turn.set_result(Verdict.LATE)

    # Telling.

    def _show(self) -> None:
        if self._where is not None:
            self._cells[self._where.queued] = len(self._queue)

    def _count(self, verdict: Verdict) -> None:
        if self._where is not None:
            self._cells[self._where.rejected + (verdict is Verdict.LATE)] += 1
        self._unlogged_count += 1
        now_s = self._loop.time()
        if now_s - self._logged_s >= QUEUE_LOG_PERIOD_S:
            LOG.warning(
                "listener %s turned away requests with 503 (%d): its limit in each worker is %d at a time",
                self._name,
                self._unlogged_count,
                self._concurrency,
            )
            self._logged_s = now_s
            self._unlogged_count = 0


def gated(base: type[Exchange], gate: Gate) -> type[Exchange]:
    """Make a kind of exchange like `base` whose app is called when the gate lets it in."""

    class GatedExchange(base):  # type: ignore[valid-type, misc]
        __slots__ = ()

        async def run(self, app: ASGIApp, scope: Scope) -> None:
            """Wait for a turn, then do as any."""
            if not gate.enter():
                verdict = await gate.wait(self)
                if verdict is not Verdict.ENTERED:
                    # By way of the plain one, whatever `base` makes of an app: it ends as all do.
                    await Exchange.run(self, _refusing(self, gate, verdict), scope)
                    return
            try:
                await super().run(app, scope)
            finally:
                gate.leave()

        def half_closed(self) -> None:
            # Nearly always it has given up.
            super().half_closed()
            gate.forget(self)

        def _lose_client(self) -> None:
            super()._lose_client()
            gate.forget(self)

    return GatedExchange


def _refusing(exchange: Exchange, gate: Gate, verdict: Verdict) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if exchange.phase >= DONE:
            return
        if verdict is Verdict.GONE:
            exchange.give_up()  # It was not turned away, so it is no 503 either.
        else:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            exchange.respond(status, gate.refusal_headers, error_text(status, "too many requests at a time"))

    return refuse
