"""
A bridge behind a gate: so many requests at a time go over to the threads, the others wait or are turned away.
"""

import asyncio
from contextvars import Context
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

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


if TYPE_CHECKING:
    Base = WsgiExchange
else:
    Base = object


class GatedExchange(Base):
    """What is put before an exchange that has to pass a gate, and whose client may leave while it waits."""

    __slots__ = ()

    gate_before: ClassVar[Gate]
    is_inside: bool

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.is_inside = False  # type: ignore[misc]  # a slot of the class that is made

    def end(self, _: None) -> None:
        """Be done with it, and call the next one in."""
        was_inside, self.is_inside = self.is_inside, False  # type: ignore[misc]
        super().end(None)
        if was_inside:
            self.gate_before.leave()

    def half_closed(self) -> None:
        """Nearly always the client has given up."""
        super().half_closed()
        self.gate_before.forget(self)

    def _lose_client(self) -> None:
        super()._lose_client()
        self.gate_before.forget(self)


class GatedBridge:
    """Lets the requests of an app over a bridge that the gate lets in."""

    def __init__(self, bridge: "Bridge", gate: Gate, base: type[Exchange]) -> None:
        """Put a gate before a bridge; `base` is what the exchanges of its route are else."""
        self._bridge = bridge
        self._gate = gate
        self._waiting: set[asyncio.Task[None]] = set()
        self.exchange: type[Exchange] = type(
            "GatedExchange", (GatedExchange, base), {"__slots__": ("is_inside",), "gate_before": gate}
        )

    def gated(self, gate: Gate, base: type[Exchange]) -> "GatedBridge":
        """Put another gate in its place."""
        return GatedBridge(self._bridge, gate, base)

    def take(self, exchange: Exchange, context: Context) -> None:
        """Answer a request, when the gate and then its turn at the threads have come."""
        assert isinstance(exchange, GatedExchange)
        if self._gate.enter():
            exchange.is_inside = True  # type: ignore[misc]
            self._bridge.take(exchange, context)
            return
        task = exchange.connection.site.loop.create_task(self._wait(exchange, context))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _wait(self, exchange: GatedExchange, context: Context) -> None:
        verdict = await self._gate.wait(exchange)
        if verdict is Verdict.ENTERED:
            exchange.is_inside = True  # type: ignore[misc]
            if exchange.phase < DONE:
                self._bridge.take(exchange, context)
                return
        elif exchange.phase < DONE and verdict is Verdict.GONE:
            exchange.give_up()
        elif exchange.phase < DONE:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            text = error_text(status, "too many requests at a time")
            exchange.respond(status, self._gate.refusal_headers, text)
        exchange.end(None)
