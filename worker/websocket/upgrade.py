"""
What a route makes of a request that asks for a WebSocket.

The library behind it is imported with the first one, not before: that takes 15 ms
and 2 MB, which a worker that only speaks HTTP is to be spared.
"""

from typing import TYPE_CHECKING, Any

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.gate import Gate, gated
from penstock.worker.logs import LOG
from penstock.worker.spec import WebSocketSpec

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection


class Upgrade:
    """Makes the exchanges of handshakes."""

    __slots__ = ("_gate", "_instead", "_kind", "_spec")

    def __init__(self, spec: WebSocketSpec, gate: Gate | None = None) -> None:
        """Prepare. Those behind a gate are inside for as long as they are open."""
        self._spec = spec
        self._gate = gate
        self._instead: type[Exchange] = Exchange if gate is None else gated(Exchange, gate)
        self._kind: Any = None

    def gated(self, gate: Gate) -> "Upgrade":
        """Make one behind a gate."""
        return Upgrade(self._spec, gate)

    def __call__(self, connection: "Connection", meter: Meter, scope: Scope) -> Exchange:
        """Make one."""
        if self._kind is None:
            try:
                from penstock.worker.websocket.exchange import WebSocketExchange  # noqa: PLC0415
            except ImportError as error:
                # Another version of the library was put there. The app is asked as for any other request.
                LOG.error("WebSockets cannot be served: %s", error)
                return self._instead(connection, meter, scope)
            self._kind = WebSocketExchange if self._gate is None else gated(WebSocketExchange, self._gate)
        exchange: Exchange = self._kind(connection, meter, scope, self._spec)
        return exchange
