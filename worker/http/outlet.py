"""
The outgoing half of a connection: writing no faster than the client reads, and
ending so that it gets to read the last response.
"""

import asyncio
import fcntl
import os
import socket
import struct
import sys
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.worker.http.phases import CLOSING, IDLE, LINGER
from penstock.worker.http.wheel import NOT_WATCHED
from penstock.worker.limits import LINGER_BYTES_MAX, LINGER_S, WRITE_HIGH_WATER_BYTES, WRITE_LOW_WATER_BYTES

if TYPE_CHECKING:
    from penstock.worker.gateway.sluice import Sluice
    from penstock.worker.http.exchange import Exchange
    from penstock.worker.http.pour import Pour
    from penstock.worker.http.site import Site

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class Outlet(asyncio.Protocol, ABC):
    """
    What `Connection` builds upon: it adds the intake.
    """

    __slots__ = (
        "_discarded_bytes",
        "_is_eof",
        "_is_reading_paused",
        "_unsent_bytes",
        "_writers",
        "deadline_s",
        "exchange",
        "intake",
        "is_write_blocked",
        "keep_alive",
        "leaves_s",
        "pour",
        "site",
        "transport",
        "wheel_tick",
    )

    transport: asyncio.Transport

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.intake = IDLE
        # As long as its app runs, also after the response, until a later one begins.
        self.exchange: Exchange | None = None
        self.deadline_s = 0.0
        # In a drain: it is not made to close before this.
        self.leaves_s = 0.0
        self.wheel_tick = NOT_WATCHED
        # Once the client or we have said that the connection ends, it does.
        self.keep_alive = True
        self.is_write_blocked = False
        self._writers: list[asyncio.Future[None]] | None = None
        # The file, or the body from a server, that is being sent past the transport.
        self.pour: Pour | Sluice | None = None
        # Output that waited at the last look; -1 when some was taken since.
        self._unsent_bytes = -1
        # Input thrown away, of an unread body or while lingering.
        self._discarded_bytes = 0
        self._is_reading_paused = False
        self._is_eof = False

    def succeed(self, other: "Outlet") -> None:
        """Take over the transport of another, as it is, and its place with the site."""
        self.transport = transport = other.transport
        self.is_write_blocked = other.is_write_blocked
        self._writers, other._writers = other._writers, None
        self._unsent_bytes = other._unsent_bytes
        self._is_reading_paused = other._is_reading_paused
        self._is_eof = other._is_eof
        transport.set_protocol(self)
        self.site.replace(other, self)

    # For the site, which has them by the thousand.

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Tell whether a request is being read or answered."""

    @abstractmethod
    def is_idle_since(self, answered_s: float, opened_s: float) -> bool:
        """Tell whether nothing has happened since its last answer, or since it was opened, at these times."""

    @abstractmethod
    def begin_drain(self, closes_after_s: float) -> None:
        """Come to an end, and not before this if nothing is under way."""

    @abstractmethod
    def expire(self, now_s: float) -> None:
        """Act on the deadline that has come."""

    # Writing.

    def pause_writing(self) -> None:
        """The client takes less than we send: `send` waits, and the wheel watches."""
        self.is_write_blocked = True
        # uvloop's own low mark is 16 bytes, which lets the pipe run dry.
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER_BYTES, WRITE_LOW_WATER_BYTES)
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self.site.watch(self, self.site.limits.send_timeout_s)

    def resume_writing(self) -> None:
        """Go on sending."""
        self.is_write_blocked = False
        self._unsent_bytes = -1
        self._wake_writers()

    def writable(self) -> asyncio.Future[None]:
        """Give what is done when the client has taken enough, or is gone."""
        waiter = self.site.loop.create_future()
        if self._writers is None:
            self._writers = [waiter]
        else:
            self._writers.append(waiter)
        return waiter

    def watch_pour(self) -> None:
        """Have the wheel watch a file that is sent as the client takes it."""
        assert self.pour is not None
        self._unsent_bytes = self.pour.left
        self.site.watch(self, self.site.limits.send_timeout_s)

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back when the client has taken enough, or is gone."""
        waiter = self.site.loop.create_future()
        waiter.add_done_callback(lambda _: callback())
        self._writers = [*(self._writers or ()), waiter]

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, None
        if writers is not None:
            for writer in writers:
                if not writer.done():
                    writer.set_result(None)

    def _watch_output(self) -> bool:
        """
        Look at output that waits, when a deadline comes. Return False if there is
        none; cut the connection if nothing was taken since the last look.
        """
        unsent_bytes = self.transport.get_write_buffer_size()
        if self.pour is not None:
            unsent_bytes += self.pour.left
        elif self.intake == CLOSING and self.site.is_tls:
            unsent_bytes += self._kernel_bytes()
        if not unsent_bytes:
            return False
        if unsent_bytes == self._unsent_bytes:
            self.abort()
        else:
            self._unsent_bytes = unsent_bytes
            self.site.watch(self, self.site.limits.send_timeout_s)
        return True

    def _kernel_bytes(self) -> int:
        """
        Count the output that the kernel has and the client's has not.

        Under TLS there is a buffer of encrypted output between us and the kernel
        that nobody tells the size of. When the kernel has none left, it has none.
        """
        sock = self.transport.get_extra_info("socket")
        try:
            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    # Reading, as far as others have a say in it.

    def _pause_reading(self) -> None:
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_reading_paused:
            self._is_reading_paused = False
            if not self._is_eof:
                self.transport.resume_reading()

    # Ending.

    def leave(self, park: Callable[..., bool]) -> bool:
        """
        End here what goes on elsewhere: a duplicate of the descriptor is parked,
        and the client notices nothing. False if that cannot be just now.

        Bytes that are not read yet go along; what waits to be sent would be lost.
        """
        transport = self.transport
        if (
            self.intake != IDLE
            or self._is_eof
            or transport.is_closing()
            or transport.get_write_buffer_size()
            or not self.keep_alive
        ):
            return False
        try:
            fd = os.dup(transport.get_extra_info("socket").fileno())
        except OSError:
            return False
        if not park(fd, self.deadline_s):
            os.close(fd)
            return False
        self.intake = CLOSING
        transport.abort()  # Stops reading at once.
        return True

    def close(self) -> None:
        """
        Close after the output that waits; the wheel cuts it if nobody takes it.

        TLS waits for the client to confirm the close. One that has put its
        connection aside does not do so before it looks again, so not for long.
        """
        if self.intake != CLOSING:
            self.intake = CLOSING
            if self.site.is_tls:
                self._unsent_bytes = -1
                self.site.watch(self, LINGER_S)
            else:
                self._unsent_bytes = self.transport.get_write_buffer_size()
                self.site.watch(self, self.site.limits.send_timeout_s)
            self.transport.close()

    def abort(self, *, with_reset: bool = False) -> None:
        """Close at once; output that waits is lost. With a reset, the client notices."""
        self.intake = CLOSING
        sock = self.transport.get_extra_info("socket") if with_reset else None
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def linger(self) -> None:
        """
        Close so that the client gets to read the last response.

        The kernel answers bytes that nobody read with a reset, and the client's
        kernel then throws our response away. So: half-close, read out, close.
        TLS cannot half-close; there the client, told by Connection: close, ends it.
        """
        if self.intake >= LINGER:
            return
        if self._is_eof or self.transport.is_closing():
            self.close()
            return
        self.intake = LINGER
        self._discarded_bytes = 0
        self.site.watch(self, LINGER_S)
        self._resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _throw_away(self, data: bytes) -> None:
        """Read out a connection that lingers, within bounds."""
        self._discarded_bytes += len(data)
        if self.intake == LINGER and self._discarded_bytes > LINGER_BYTES_MAX:
            self.close()
