"""
A tunnel: a client and a server that have agreed on another protocol, and talk through us.

What comes from the one is written to the other as it came, in one write for one
read. Neither is read any faster than the other takes: 64 KiB and one read of the
loop wait at most on each side. An end is passed on by itself where TCP has one,
so that either may say all it has; under TLS, which has none, it ends the whole.
"""

import asyncio
from typing import TYPE_CHECKING

from penstock.worker.http.outlet import Outlet
from penstock.worker.http.phases import BODY, CLOSING
from penstock.worker.limits import TUNNEL_HALF_CLOSED_S

if TYPE_CHECKING:
    from penstock.worker.gateway.link import Link
    from penstock.worker.gateway.upgrade import UpgradePassage
    from penstock.worker.http.connection import Connection


class Tunnel(Outlet):
    """
    The client's end, from the server's 101 to the end of the connection.

    It takes the place of the HTTP connection on the same transport. `intake` is
    BODY until both have said all.
    """

    __slots__ = ("_far_unsent_bytes", "_heard_s", "_idle_s", "_passage", "far")

    def __init__(
        self, connection: "Connection", passage: "UpgradePassage", link: "Link", *, idle_s: float
    ) -> None:
        super().__init__(connection.site)
        self.intake = BODY
        self.keep_alive = False
        self.exchange = self._passage = passage
        self._idle_s = idle_s
        self._heard_s = connection.site.now_s
        self._far_unsent_bytes = 0
        self.far = FarEnd(self, link)
        self.succeed(connection)

    def begin(self, head: bytes, surplus: bytes, early: bytes) -> None:
        """Tell the client that the server has agreed; `surplus` came with that, `early` before it."""
        far = self.far
        far.begin()
        self._passage.sent(len(head) + len(surplus))
        self.transport.write(head + surplus)
        if early:
            far.transport.write(early)
        if self._is_eof:
            self._pass_end()
        elif not far.is_write_blocked:
            self._resume_reading()
        if self.is_write_blocked:
            far.pause_reading()
        if self.intake == BODY:
            self.site.watch(self, self._idle_s)

    # For the loop.

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the server."""
        site = self.site
        site.received_bytes += len(data)
        if self.intake == BODY:
            self._heard_s = site.now_s  # The wheel comes by now and then, and looks at it.
            self.far.transport.write(data)

    def eof_received(self) -> bool:
        """The client has said all; the server may go on."""
        self._is_eof = True
        if self.intake != BODY or self.site.is_tls:
            return False
        self._pass_end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the server gets what is on its way to it, unless the client broke off."""
        is_broken = exc is not None or self.intake == CLOSING
        self.intake = CLOSING
        self._wake_writers()
        if is_broken:
            self.far.abort()
        else:
            self.far.close()
        self.exchange = None
        self._passage.ended()
        self.site.closed(self)

    def pause_writing(self) -> None:
        """The client takes less than the server sends."""
        super().pause_writing()
        self.far.pause_reading()

    def resume_writing(self) -> None:
        """Read on from the server."""
        super().resume_writing()
        self.far.resume_reading()

    # For the other end.

    def heard(self, data: bytes) -> None:
        """Pass bytes on to the client."""
        if self.intake == BODY:
            self._heard_s = self.site.now_s
            self._passage.sent(len(data))
            self.transport.write(data)

    def hold(self) -> None:
        """Read no more: the server takes less than the client sends."""
        self._pause_reading()
        self._far_unsent_bytes = self.far.transport.get_write_buffer_size()
        self.site.watch(self, self.site.limits.send_timeout_s)

    def go_on(self) -> None:
        """Read on."""
        if self.intake == BODY:
            self._resume_reading()

    def far_ended(self) -> None:
        """The server has said all; the client may go on."""
        if self.intake != BODY:
            return
        if self._is_eof or not self.transport.can_write_eof():
            self.finish()
        else:
            self.transport.write_eof()
            self._is_half_over()

    def far_lost(self, *, is_broken: bool) -> None:
        """The connection to the server is gone."""
        if self.intake == BODY:
            if is_broken:
                self.abort(with_reset=True)  # An end would say that this was all.
            else:
                self.close()

    # For the site.

    @property
    def is_active(self) -> bool:
        """Tell whether a request is being answered: this one, to its end."""
        return True

    def is_idle_since(self, answered_s: float, opened_s: float) -> bool:
        """Tell whether it could be put away. It cannot: there is another end."""
        return False

    def begin_drain(self, closes_after_s: float) -> None:
        """Go on: it can only be cut, so as late as may be; see `streams`."""

    def expire(self, now_s: float) -> None:
        """Look whether anything has moved."""
        is_busy = self._watch_output()
        if self.intake == CLOSING:
            if not is_busy:
                self.abort()
            return
        far = self.far
        if far.is_write_blocked:
            unsent_bytes = far.transport.get_write_buffer_size()
            if unsent_bytes == self._far_unsent_bytes:
                self.abort(with_reset=True)  # Nothing was taken since the last look.
                return
            self._far_unsent_bytes = unsent_bytes
            self.site.watch(self, self.site.limits.send_timeout_s)
        elif not is_busy:
            left_s = self._heard_s + self._idle_s - now_s
            if left_s > 0:
                self.site.watch(self, left_s)
            else:
                self.finish()

    # Ending.

    def finish(self) -> None:
        """Close both ends, after what is on its way."""
        self.far.close()
        self.close()

    def abort(self, *, with_reset: bool = False) -> None:
        """Cut both ends at once."""
        super().abort(with_reset=with_reset)
        self.far.abort()

    def _pass_end(self) -> None:
        far = self.far
        if far.is_eof or not far.transport.can_write_eof():
            self.finish()
        else:
            far.transport.write_eof()
            self._is_half_over()

    def _is_half_over(self) -> None:
        self._idle_s = min(self._idle_s, TUNNEL_HALF_CLOSED_S)
        self.site.watch(self, self._idle_s)


class FarEnd(asyncio.Protocol):
    """
    The server's end. It takes the place of the link on its transport, and the pool hears when it is gone.
    """

    __slots__ = (
        "_is_over",
        "_is_reading_paused",
        "_link",
        "is_eof",
        "is_write_blocked",
        "transport",
        "tunnel",
    )

    def __init__(self, tunnel: Tunnel, link: "Link") -> None:
        self.tunnel = tunnel
        self._link = link
        self.transport = link.transport
        self.is_write_blocked = link.is_write_blocked
        self.is_eof = False
        self._is_reading_paused = False
        self._is_over = False

    def begin(self) -> None:
        """Take the link's place."""
        self.transport.set_protocol(self)

    # For the loop.

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the client."""
        self.tunnel.heard(data)

    def eof_received(self) -> bool:
        """The server has said all."""
        self.is_eof = True
        self.tunnel.far_ended()
        return not self._is_over

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._is_over = True
        link = self._link
        link.borrower = None
        link.connection_lost(exc)
        self.tunnel.far_lost(is_broken=exc is not None)

    def pause_writing(self) -> None:
        """The server takes less than the client sends."""
        self.is_write_blocked = True
        self.tunnel.hold()

    def resume_writing(self) -> None:
        """Read on from the client."""
        self.is_write_blocked = False
        self.tunnel.go_on()

    # For the client's end.

    def pause_reading(self) -> None:
        """Read no more."""
        if not self._is_reading_paused and not self.is_eof and not self._is_over:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_reading_paused and not self._is_over:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Close after what waits; `late` cuts it if the server takes none of it."""
        if not self._is_over:
            self._is_over = True
            site = self.tunnel.site
            self._link.watch(site.now_s + site.limits.send_timeout_s)
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._is_over = True
        self._link.abort()

    def late(self) -> None:
        """Cut what should have been closed by now."""
        if self._is_over:
            self._link.abort()
