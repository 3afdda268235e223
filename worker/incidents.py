"""
Keeps the requests that were slow or failed where anybody can look, and nobody has to.
"""

import time
from typing import Final

from penstock.shm.events import EventWriter
from penstock.shm.row import Row
from penstock.worker.http.exchange import Exchange

# A WebSocket is open for as long as it is, which is not slow.
SWITCHED: Final = 101


class Incidents:
    """An observer of requests that writes into the events of this process's row."""

    def __init__(self, row: Row, *, slow_s: float) -> None:
        self._events = EventWriter(row)
        self.from_us = int(slow_s * 1e6)

    def note(self, exchange: Exchange, elapsed_us: int, sent_bytes: int) -> None:
        """Keep a response that took long or failed, which others may want to see all of."""
        status = exchange.status
        if (elapsed_us < self.from_us and status < 500) or status == SWITCHED:
            return
        scope, notes, trail = exchange.scope, exchange.notes, exchange.trail()
        self._events.push(
            time_ns=time.time_ns(),
            elapsed_us=elapsed_us,
            sent_bytes=sent_bytes,
            status=status,
            route=exchange.meter.first_class,
            method=scope["method"],
            path=exchange.asked[0].decode("latin-1"),
            request_id=(notes.request_id or "") if notes is not None else "",
            server=trail.word if trail is not None else 0,
            failure=(trail.failure or "") if trail is not None else "",
        )
