"""
What a route makes of a request that asks for a WebSocket.

The library behind it is imported with the first one, not before: that takes 15 ms
and 2 MB, which a worker that only speaks HTTP is to be spared.
"""

from typing import TYPE_CHECKING

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.http.exchange import Exchange
from penstock.worker.spec import WebSocketSpec

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection


class Upgrade:
    """Makes the exchanges of handshakes."""

    __slots__ = ("_spec",)

    def __init__(self, spec: WebSocketSpec) -> None:
        self._spec = spec

    def __call__(self, connection: "Connection", meter: Meter, scope: Scope) -> Exchange:
        """Make one."""
        from penstock.worker.websocket.exchange import WebSocketExchange  # noqa: PLC0415

        return WebSocketExchange(connection, meter, scope, self._spec)
