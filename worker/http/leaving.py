"""
How connections leave a site: parked while they are idle, given away, drained.

The site keeps them; here is what becomes of them when nobody asks, and when the
worker is to end.
"""

import asyncio
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from penstock.worker.http.phases import IDLE
from penstock.worker.http.wheel import Wheel
from penstock.worker.limits import HANDSHAKE_GRACE_S, PARK_AFTER_S, PARKS_PER_TURN_MAX, WHEEL_TICK_S
from penstock.worker.parking import Lane
from penstock.worker.spec import LimitsSpec

if TYPE_CHECKING:
    from penstock.worker.http.connection import TlsConnection
    from penstock.worker.http.exchange import Exchange
    from penstock.worker.http.keeping import Keeping
    from penstock.worker.http.outlet import Outlet
    from penstock.worker.proxy_protocol.prelude import Preludes


def turns(count: int, grace_s: float, spread_s: float) -> Iterator[tuple[float, float]]:
    """
    Spread the ends of so many connections over a time.

    Gives for each, in seconds from now, from when on a response ends it, and when
    it is closed if it stays idle: none before the grace is over, and then one
    after the other until the spread is.
    """
    for index in range(count):
        share = index / count
        yield spread_s * share, grace_s + max(0.0, spread_s - grace_s) * share


class Leaving(ABC):
    """
    What `Site` builds upon: it adds what connections come for.
    """

    __slots__ = (
        "_connections",
        "_detached",
        "_emptied",
        "_handshakes",
        "_handshakes_until_s",
        "_leaving",
        "_wheel",
        "first_grace_s",
        "gives",
        "idle_grace_s",
        "is_draining",
        "lane",
        "limits",
        "loop",
        "now_s",
        "on_leaving",
        "preludes",
    )

    def __init__(self, limits: LimitsSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.loop = loop
        self.now_s = time.monotonic()
        self._wheel = Wheel(self.now_s)
        self._connections: set[Outlet] = set()
        # Apps still running whose connection has gone on or away; this also
        # keeps their tasks alive, which the loop itself does not.
        self._detached: set[Exchange] = set()
        # Accepted, but not heard of yet. In a drain they are awaited for a while.
        self._handshakes: weakref.WeakSet[TlsConnection] = weakref.WeakSet()
        self._handshakes_until_s = 0.0
        # Accepted, and read by somebody else until it is known between whom they are.
        self.preludes: Preludes | None = None
        self.is_draining = False
        self.idle_grace_s = 0.0
        self.first_grace_s: float | None = None
        # Where idle connections are parked, if anywhere; whether they are given away from there, in a
        # drain; and those that are to be parked as soon as the client has taken their last response.
        self.lane: Lane | None = None
        self.gives = False
        self.on_leaving: Callable[[], None] | None = None
        self._leaving: list[Keeping] = []
        self._emptied = asyncio.Event()

    @abstractmethod
    def flush(self) -> None:
        """Write to the cells what is gathered here."""

    @property
    def parked_count(self) -> int:
        """Count the connections that are put away."""
        return 0 if self.lane is None else self.lane.count

    @property
    def connection_count(self) -> int:
        """Count the open connections."""
        expected_count = 0 if self.preludes is None else len(self.preludes)
        return len(self._connections) + self.parked_count + expected_count

    # Draining.

    def begin_drain(
        self,
        idle_grace_s: float,
        first_grace_s: float | None = None,
        *,
        spread_s: float = 0.0,
        on_leaving: Callable[[], None] | None = None,
    ) -> None:
        """
        Finish what is in flight and let go of every connection. Then `wait_empty`.

        Responses say Connection: close from now on; a connection that is idle
        may ask once more within its grace, one that never asked within a grace
        of its own, None for the header timeout. Over `spread_s` they come to it
        one after the other: clients that all connect anew at once are a burst.

        With `on_leaving`, connections are not closed but parked as soon as they
        are idle, for somebody to give away from the lane. It is called when
        there is something to be parked by `park_leaving`.
        """
        self.is_draining = True
        self.idle_grace_s = idle_grace_s
        self.first_grace_s = first_grace_s
        self.gives = on_leaving is not None
        self.on_leaving = on_leaving
        self._handshakes_until_s = self.now_s + (
            HANDSHAKE_GRACE_S if first_grace_s is None else first_grace_s
        )
        if self.preludes is not None and first_grace_s is not None:
            self.preludes.hurry(time.monotonic() + first_grace_s)
        lane = self.lane
        if lane is not None and not self.gives:
            if idle_grace_s:
                lane.hurry(time.monotonic() + idle_grace_s)
            else:
                lane.close_all()
        ends = turns(len(self._connections), idle_grace_s, spread_s)
        for connection, (leaves_after_s, closes_after_s) in zip(self._connections, ends, strict=True):
            connection.leaves_s = self.now_s + leaves_after_s
            connection.begin_drain(closes_after_s)
        self._judge_emptiness()

    async def wait_empty(self) -> None:
        """Wait, while draining, until no connection is open and no app at work."""
        await self._emptied.wait()

    def abort_all(self) -> None:
        """Cancel every app that runs and cut every connection."""
        for connection in list(self._connections):
            if connection.exchange is not None:
                connection.exchange.cancel()
            connection.abort()
        for exchange in list(self._detached):
            exchange.cancel()
        if self.preludes is not None:
            self.preludes.close_all()
        if self.lane is not None:
            self.lane.close_all()
        self.flush()

    # For connections and exchanges.

    def closed(self, connection: "Outlet") -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._wheel.forget(connection)
        self._judge_emptiness()

    def replace(self, old: "Outlet", new: "Outlet") -> None:
        """Have a connection go on as another, which is not counted anew."""
        self._connections.discard(old)
        self._wheel.forget(old)
        new.leaves_s = old.leaves_s
        self._connections.add(new)

    def detach(self, exchange: "Exchange") -> None:
        """Hold an exchange whose app runs on without its connection."""
        self._detached.add(exchange)

    def detached_ended(self, exchange: "Exchange") -> None:
        """Let go of it."""
        self._detached.discard(exchange)
        self._judge_emptiness()

    def _judge_handshakes(self) -> None:
        """Look again, in a drain: some may have failed, and none is awaited for ever."""
        if self.now_s >= self._handshakes_until_s:
            self._handshakes.clear()
        self._judge_emptiness()

    def _judge_emptiness(self) -> None:
        if (
            self.is_draining
            and not self.connection_count
            and not self._detached
            and not len(self._handshakes)
        ):
            self.flush()
            self._emptied.set()

    # Giving away.

    @property
    def is_anyone_leaving(self) -> bool:
        """Tell whether a connection waits to be parked in a drain."""
        return bool(self._leaving)

    def park_leaving(self) -> bool:
        """Park some that are to leave; return whether it is worth to go on at once."""
        leaving, self._leaving = self._leaving[:PARKS_PER_TURN_MAX], self._leaving[PARKS_PER_TURN_MAX:]
        more = bool(self._leaving)
        # Those whose client has not taken all of the last response stay for the next look.
        self._leaving += [each for each in leaving if each.intake == IDLE and not self._park(each)]
        return more

    def stop_giving(self, idle_grace_s: float) -> None:
        """Nobody takes connections over: let them come to their end here."""
        leaving, self._leaving = self._leaving, []
        self.begin_drain(idle_grace_s)
        for connection in leaving:
            connection.stay()

    def leaving(self, connection: "Keeping") -> None:
        """Have a connection parked, in a drain, as soon as its output is sent."""
        connection.stand_by()
        self._leaving.append(connection)
        if self.on_leaving is not None:
            self.on_leaving()

    # Parking.

    def _park_idle(self, now_s: float) -> None:
        """Put away those that have been idle for a while."""
        # A tick's time is at most a tick earlier than what happened after it.
        since_s = now_s - PARK_AFTER_S - 0.8 * WHEEL_TICK_S
        latest_s = since_s + max(self.limits.keep_alive_s, self.limits.header_timeout_s)
        idle = [
            connection
            for connection in self._connections
            if connection.deadline_s <= latest_s and connection.is_idle_since(since_s, since_s)
        ]
        if idle:
            self._park_some(idle)

    def _park_some(self, idle: "list[Outlet]") -> None:
        for connection in idle[:PARKS_PER_TURN_MAX]:
            # Others may have come in between, and it may not be idle any more.
            if connection.exchange is None and not self.is_draining:
                self._park(connection)
        if len(idle) > PARKS_PER_TURN_MAX:
            self.loop.call_soon(self._park_some, idle[PARKS_PER_TURN_MAX:])

    def _park(self, connection: "Outlet") -> bool:
        lane = self.lane
        assert lane is not None
        if not connection.leave(lane.park):
            return False
        exchange, connection.exchange = connection.exchange, None
        if exchange is not None:
            self.detach(exchange)  # Its app runs on after the response.
        self._connections.discard(connection)
        self._wheel.forget(connection)
        return True
