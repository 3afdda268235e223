"""
A request that asks a server to switch protocols (RFC 9110, 7.8): WebSocket, or another that is allowed.

Until the server says 101 it is a request like any other, and whatever else is
answered is a response like any other. What the client sends ahead is held
meanwhile. It goes out on a link of its own, which is never used again: so no
stale one can fail it, and it is asked once.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.gateway import response_head
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.request_head import offered
from penstock.worker.gateway.tunnel import Tunnel
from penstock.worker.http.phases import DONE, STREAMING

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection

SWITCHED: Final = 101
# Counted as what it is, a success: there is no class for 101.
COUNTED_AS: Final = 200


class UpgradePassage(Passage):
    """Passes a request on that may become a tunnel."""

    __slots__ = ("_tunnel",)

    needs_fresh = True

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self._tunnel: Tunnel | None = None

    # What a pool says.

    def have(self, link: Link) -> None:
        """Send the request, and remember what it asks for."""
        if link.request_count > 1:
            # It waited in the queue, and one came back: there is room for a new one now.
            link.borrower = None
            link.abort()
            self._is_waiting = True
            link.pool.want(self, fresh=True)
            return
        link.reader.protocols = frozenset(each.lower() for each in self._offers())
        super().have(link)

    # What the link says.

    def came(self, link: Link) -> None:
        """Switch, or pass on what has come of the response."""
        if link.reader.has_switched:
            self._switch(link)
        else:
            super().came(link)

    def link_failed(self, link: Link, reason: str) -> None:
        """Say that the server failed. It is not asked again: nobody knows what it has begun."""
        self._attempts = self._upstream.spec.retry_attempts + 1
        super().link_failed(link, reason)

    def link_late(self, link: Link, now_s: float) -> None:
        """Judge whose fault it is that nothing happens. A tunnel does that itself."""
        if self._tunnel is None:
            super().link_late(link, now_s)
        else:
            self._tunnel.far.late()

    # For a drain.

    @property
    def is_tunnel(self) -> bool:  # type: ignore[override]  # known when it is one
        """Tell whether it has become one."""
        return self._tunnel is not None and self.phase == STREAMING

    @property
    def is_endless(self) -> bool:
        """Tell whether its response is one that would not end. A tunnel is another matter."""
        return self._tunnel is None and super().is_endless

    def call_off(self) -> None:
        """Cut it, after what is on its way."""
        if self._tunnel is None:
            super().call_off()
        else:
            self._tunnel.finish()

    # For the tunnel.

    def ended(self) -> None:
        """Show it to those who observe, now that all its bytes are known."""
        self.link = None
        self.phase = DONE
        elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
        site = self.connection.site
        if elapsed_us >= site.noted_from_us or self.notes is not None:
            site.note(self, elapsed_us, self._sent_bytes)
        self._leave_board()
        if self.notes is not None and self.notes.on_end is not None:
            self.notes.on_end(self)

    # Within.

    def _offers(self) -> list[bytes]:
        return offered(self.scope["headers"], self._upstream.protocols)

    def _switch(self, link: Link) -> None:
        reader = link.reader
        if reader.interims:
            self._pass_interims(link)
        if not self._is_sent:
            link.fail("it switched protocols before it had all of the request")
            return
        connection = self.connection
        headers = response_head.passed_headers(reader.headers, link.pool.terms.via(reader.version))
        sticky = self._upstream.sticky
        if sticky is not None:
            sticky.mark(headers, self.scope, link.pool.server.address)
        if self.notes is not None:
            headers = self.notes.complete(headers)
        protocol = b", ".join(value for name, value in reader.headers if name.lower() == b"upgrade")
        head = response_head.compose_switch(headers, protocol, connection.site.starts.date_field)
        self.status = SWITCHED
        self._headers = headers
        self._sent_bytes = 0
        self.phase = STREAMING
        # Before it is written, as any response is: whoever has got it finds it in the numbers.
        self.meter.count(COUNTED_AS, (perf_counter_ns() - self.started_ns) // 1000)
        self._count_answer(link)
        if link.pool.is_wary:
            self._upstream.guard.worked(link.pool, self)
        early = connection.surrender()
        idle_s = self._upstream.spec.terms.tunnel_idle_timeout_s
        self._tunnel = tunnel = Tunnel(connection, self, link, idle_s=idle_s)
        self.connection = tunnel  # type: ignore[assignment]  # all that it is asked for from now on
        tunnel.begin(head, reader.surplus, early)

    def _count_answer(self, link: Link) -> None:
        """Count what the server has answered; of a tunnel that it has begun."""
        if self._tunnel is None:
            status = COUNTED_AS if self.status == SWITCHED else self.status
            link.pool.count(status, (perf_counter_ns() - self._sent_ns) // 1000)

    def _release(self, link: Link) -> None:
        link.reader.keep_alive = False
        super()._release(link)
