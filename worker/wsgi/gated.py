"""
A bridge behind a gate: so many requests at a time go over to the threads, the others wait or are turned away.
"""

import asyncio
from contextvars import Context
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.gate import Gate, Verdict
from penstock.worker.http.phases import DONE
from penstock.worker.http.responses import error_text
from penstock.worker.wsgi.exchange import WsgiExchange

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection
    from penstock.worker.wsgi.bridge import Bridge


class GatedExchange(WsgiExchange):
    """The exchange of a request that has to pass a gate."""

    __slots__ = ("inside",)

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.inside: Gate | None = None

    def end(self, _: None) -> None:
        """Be done with it, and call the next one in."""
        gate, self.inside = self.inside, None
        super().end(None)
        if gate is not None:
            gate.leave()


class GatedBridge:
    """Lets the requests of an app over a bridge that the gate lets in."""

    def __init__(self, bridge: "Bridge", gate: Gate) -> None:
        self._bridge = bridge
        self._gate = gate
        self._waiting: set[asyncio.Task[None]] = set()
        self.exchange: type[Exchange] = type(
            "GatedExchange", (_LeavingExchange,), {"__slots__": (), "gate_before": gate}
        )

    def gated(self, gate: Gate) -> "GatedBridge":
        """Put another gate in its place."""
        return GatedBridge(self._bridge, gate)

    def take(self, exchange: Exchange, context: Context) -> None:
        """Answer a request, when the gate and then its turn at the threads have come."""
        assert isinstance(exchange, GatedExchange)
        if self._gate.enter():
            exchange.inside = self._gate
            self._bridge.take(exchange, context)
            return
        task = exchange.connection.site.loop.create_task(self._wait(exchange, context))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _wait(self, exchange: GatedExchange, context: Context) -> None:
        verdict = await self._gate.wait(exchange)
        if verdict is Verdict.ENTERED:
            exchange.inside = self._gate
            if exchange.phase < DONE:
                self._bridge.take(exchange, context)
                return
        elif exchange.phase < DONE:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            text = error_text(status, "too many requests at a time")
            exchange.respond(status, self._gate.refusal_headers, text)
        exchange.end(None)


class _LeavingExchange(GatedExchange):
    """One whose client may leave, or seem to, while it waits."""

    __slots__ = ()

    gate_before: Gate

    def half_closed(self) -> None:
        super().half_closed()
        self.gate_before.forget(self)

    def _lose_client(self) -> None:
        super()._lose_client()
        self.gate_before.forget(self)
