"""
A request body on its way from the loop to a thread: `wsgi.input`.

One that came whole with its head is a BytesIO. Of any other at most as much
waits here as for an ASGI app; the client waits when nobody reads.
"""

import io
from asyncio import AbstractEventLoop
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import ClientDisconnected
from penstock.worker.http.inbox import Inbox
from penstock.worker.http.phases import DONE, LOST
from penstock.worker.limits import BODY_HIGH_WATER_BYTES
from penstock.worker.wsgi.doorbell import Doorbell

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]

    from penstock.worker.wsgi.exchange import WsgiExchange


class ThreadInbox(Inbox):
    """Holds what has come of a body, for a thread. Both sides change it under the doorbell's lock."""

    __slots__ = ("doorbell", "needs_word")

    def __init__(self, loop: AbstractEventLoop, doorbell: Doorbell, *, expects_continue: bool) -> None:
        super().__init__(loop, is_complete=False, expects_continue=expects_continue)
        self.doorbell = doorbell
        # The loop is to be told when the thread reads: the client waits for it.
        self.needs_word = expects_continue

    def put(self, piece: bytes, *, is_last: bool) -> int:
        """Take a piece of the body from the client; return how much waits for the app."""
        with self.doorbell.lock:
            waiting = self.body
            if not waiting:
                self.body = piece
            else:
                if isinstance(waiting, bytes):
                    self.body = waiting = bytearray(waiting)
                waiting += piece
            if is_last:
                self.is_complete = True
                self.expects_continue = False
            size = len(self.body)
            if size >= BODY_HIGH_WATER_BYTES:
                self.needs_word = True
        self.doorbell.ring()
        return size

    def wake(self) -> None:
        """Let the thread look again."""
        self.doorbell.ring()


class Body(io.RawIOBase):
    """Reads a body that has not come whole; whoever reads waits for the client."""

    def __init__(self, exchange: "WsgiExchange", inbox: ThreadInbox) -> None:
        self._exchange = exchange
        self._inbox = inbox
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """Give what there is, at least a byte. 0: the end. Raises ClientDisconnected."""
        rest = self._rest if self._rest else memoryview(self._next_piece())
        into = memoryview(buffer).cast("B")
        size = min(len(rest), len(into))
        into[:size] = rest[:size]
        self._rest = rest[size:]
        return size

    def _next_piece(self) -> bytes:
        inbox, exchange = self._inbox, self._exchange
        if inbox.is_taken:
            return b""
        if inbox.needs_word and not inbox.has_news:
            self._send_word()
        inbox.doorbell.wait(self._has_news)
        with inbox.doorbell.lock:
            if exchange.phase >= DONE:
                is_lost = exchange.phase == LOST
                raise ClientDisconnected(
                    "the client is gone"
                    if is_lost
                    else "the response is complete, and the rest of the body thrown away"
                )
            piece = inbox.take()
        if inbox.needs_word:
            self._send_word()
        return piece

    def _has_news(self) -> bool:
        return self._inbox.has_news or self._exchange.phase >= DONE

    def _send_word(self) -> None:
        self._inbox.needs_word = False
        self._exchange.post(self._exchange.body_wanted, None)


def reader(exchange: "WsgiExchange") -> io.BufferedIOBase:
    """Give the app what to read the body of its request from."""
    inbox = exchange.inbox
    if inbox is None:
        return io.BytesIO()
    if not isinstance(inbox, ThreadInbox):
        return io.BytesIO(inbox.take())
    return io.BufferedReader(Body(exchange, inbox), BODY_HIGH_WATER_BYTES)
