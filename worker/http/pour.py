"""
Writes a stretch of a file to a client, past the app and, if it can be, past Python.

Plaintext goes by sendfile: from the page cache into the socket. uvloop has no such
thing, so it is done on a duplicate of the transport's descriptor, while the
transport has nothing to write; the loop does not watch a descriptor that a
transport owns, but it does its duplicate. Under TLS, and behind output that waits,
the file is read in pieces, which are written as an app's would be.

A pour sends turn by turn, so that others get theirs, and no turn waits for a disk.
"""

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import ClientDisconnected
from penstock.worker.disk import fetch, is_cached, read_cached
from penstock.worker.limits import POUR_BYTES_PER_TURN, POUR_PIECE_BYTES

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

# What became of a turn: all is sent, the client takes no more, there is more to send, a disk must be read,
# or something went wrong, which the next turn raises.
DONE, FULL, MORE, COLD, FAILED = range(5)


class FileShrunk(Exception):
    """A file ended before what was promised of it."""


async def pour(exchange: "Exchange", lead: bytes, fd: int, offset: int, count: int) -> None:
    """
    Write `lead`, then so many bytes of a file. Returns when the kernel, or the
    transport, has all of them.

    Raises ClientDisconnected, FileShrunk, or the OSError of a disk.
    """
    connection = exchange.connection
    transport = connection.transport
    if count and not connection.site.is_tls:
        if transport.get_write_buffer_size():
            await asyncio.sleep(0)  # What was written in this turn of the loop goes out at its end.
        exchange.assure_client()
        if not transport.get_write_buffer_size():
            poured = Pour(exchange, lead, fd, offset, count)
            await poured.run(poured.turn())
            return
    await _copy(exchange, lead, fd, offset, count)


async def _copy(exchange: "Exchange", lead: bytes, fd: int, offset: int, count: int) -> None:
    connection = exchange.connection
    piece: bytes | bytearray | None = lead
    while piece is not None:
        exchange.assure_client()
        exchange.sent(len(piece))
        connection.transport.write(piece)
        piece = None
        if connection.is_write_blocked:
            await connection.writable()
        elif count:
            await asyncio.sleep(0)
        if count:
            piece = await _read(fd, offset, min(count, POUR_PIECE_BYTES))
            offset += len(piece)
            count -= len(piece)


async def _read(fd: int, offset: int, count: int) -> bytes | bytearray:
    piece: bytes | bytearray | None = read_cached(fd, offset, count)
    if piece is None:
        await fetch(fd, offset, count)
        # What is not there again was thrown out at once: memory is short. So be it.
        piece = read_cached(fd, offset, count) or os.pread(fd, count, offset)
    if not piece:
        raise FileShrunk
    return piece


class Pour:
    """
    One stretch of a file on its way into a socket.

    The connection has it while it is under way: its wheel watches it, and tells
    it when the connection is gone.
    """

    __slots__ = (
        "_count",
        "_exchange",
        "_fd",
        "_is_fetched",
        "_lead",
        "_news",
        "_offset",
        "_socket_fd",
    )

    def __init__(self, exchange: "Exchange", lead: bytes, fd: int, offset: int, count: int) -> None:
        self._exchange = exchange
        self._lead = lead
        self._fd = fd
        self._offset = offset
        self._count = count
        # A thread has just read what comes next.
        self._is_fetched = False
        # While the client is waited for.
        self._news: asyncio.Future[int] | None = None
        # The transport's own. It closes with it, so nothing is sent without asking for that.
        self._socket_fd: int = exchange.connection.transport.get_extra_info("socket").fileno()

    @property
    def left(self) -> int:
        """How many bytes the client is waited for to take; 0 while it is not the client."""
        return 0 if self._news is None else len(self._lead) + self._count

    async def run(self, become: int) -> None:
        """Send the rest, after a turn that came to this."""
        connection = self._exchange.connection
        self._exchange.assure_client()  # It may have left since.
        assert connection.pour is None
        connection.pour = self
        try:
            while become != DONE:
                if become == COLD:
                    await fetch(self._fd, self._offset, min(self._count, POUR_BYTES_PER_TURN))
                    self._is_fetched = True
                    become = self.turn()
                elif become == FAILED:
                    become = self.turn()
                else:
                    become = await self._go_on()
        finally:
            connection.pour = None

    def lost(self) -> None:
        """Hear that the connection is gone."""
        news = self._news
        if news is not None and not news.done():
            news.set_exception(ClientDisconnected("the client is gone"))

    async def _go_on(self) -> int:
        """Send on as the client takes it, until there is something else to wait for."""
        connection = self._exchange.connection
        loop = connection.site.loop
        self._news = loop.create_future()
        # Reads of the transport go on meanwhile: to epoll the duplicate is another descriptor.
        watched_fd = os.dup(self._socket_fd)
        try:
            loop.add_writer(watched_fd, self._take_turn)
            connection.watch_pour()
            return await self._news
        finally:
            self._news = None
            # Before it is closed, or epoll would keep it as long as the connection is open.
            loop.remove_writer(watched_fd)
            os.close(watched_fd)

    def _take_turn(self) -> None:
        news = self._news
        if news is None or news.done():
            return
        try:
            become = self.turn()
        except Exception:
            # It fails again for whoever waits. Handed over, the exception and this future would hold
            # each other, and so the file open, until garbage is collected.
            become = FAILED
        if become in {DONE, COLD, FAILED}:
            news.set_result(become)

    def turn(self) -> int:
        """Send what is due at once, and tell what it came to. Raises what `pour` does."""
        self._exchange.assure_client()
        try:
            if self._lead:
                taken = _send_some(self._socket_fd, self._lead)
                self._exchange.sent(taken)
                self._lead = self._lead[taken:]
                if self._lead:
                    return FULL
            size = min(self._count, POUR_BYTES_PER_TURN)
            if not self._is_fetched and not is_cached(self._fd, self._offset, size):
                return COLD
            self._is_fetched = False
            taken = os.sendfile(self._socket_fd, self._fd, self._offset, size)
        except BlockingIOError:
            return FULL
        except (ConnectionError, TimeoutError) as error:
            raise ClientDisconnected("the client is gone") from error
        if not taken:
            raise FileShrunk
        self._exchange.sent(taken)
        self._offset += taken
        self._count -= taken
        if not self._count:
            return DONE
        return MORE if taken == size else FULL


def _send_some(fd: int, data: bytes) -> int:
    """Send on a socket whose descriptor is another's, and say that more follows."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.send(data, socket.MSG_MORE)
    finally:
        sock.detach()
