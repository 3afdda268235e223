"""
One connection to an upstream server: idle in its pool, or lent to one request.

It reads what comes, and tells whoever it is lent to. When it is lent to nobody,
a byte or an end from the server takes it out of the pool.
"""

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock.worker.gateway.native import compose, finish
from penstock.worker.gateway.numbers import CLOSED, PROTOCOL
from penstock.worker.gateway.response_reader import ResponseReader, UpstreamError
from penstock.worker.http.wheel import NOT_WATCHED
from penstock.worker.limits import (
    UPSTREAM_LAST_WORDS_BYTES_MAX,
    WRITE_HIGH_WATER_BYTES,
    WRITE_LOW_WATER_BYTES,
)

if TYPE_CHECKING:
    from penstock.worker.gateway.pool import Pool


END_OF_HEAD = b"\r\n\r\n"
# Statuses from here on are failures of the server; so they are in `native/relay.c`.
FAILURE = 500


class KnownHead(NamedTuple):
    """What was made of the head of a response, which comes again and again."""

    status: int
    content_length: int
    output: bytes


class Borrower(Protocol):
    """The request that a link is lent to."""

    def came_whole(self, link: "Link", known: KnownHead, data: bytes, size: int) -> bool:
        """
        A response whose head was seen before is there. Return False to have it read as any other.
        """

    def came(self, link: "Link") -> None:
        """Something of the response is there."""

    def link_failed(self, link: "Link", reason: str) -> None:
        """The link is gone, or what came is no response."""

    def link_writable(self, link: "Link") -> None:
        """The server takes bytes again."""

    def link_late(self, link: "Link", now_s: float) -> None:
        """Its deadline has come."""


class Link(asyncio.Protocol):
    """
    A connection to a server. Made by its pool.

    `request_count` is how many requests it was lent to, `failure` why it failed,
    once it has. Making it took `connect_us`, and was done at `made_ns`.
    """

    __slots__ = (
        "_is_reading_paused",
        "borrower",
        "connect_us",
        "deadline_s",
        "expected",
        "failure",
        "first_head",
        "idle_since_s",
        "is_closed",
        "is_write_blocked",
        "made_ns",
        "pool",
        "reader",
        "request_count",
        "transport",
        "unsent_bytes",
        "wheel_tick",
    )

    transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.reader = ResponseReader()
        self.borrower: Borrower | None = None
        self.first_head = b""
        # The method of a request whose response is not looked at yet: the reader has not been told.
        self.expected: str | None = None
        self.request_count = 0
        self.connect_us = self.made_ns = 0
        self.failure = CLOSED
        self.idle_since_s = 0.0
        self.is_closed = False
        self.is_write_blocked = False
        self._is_reading_paused = False
        self.unsent_bytes = 0  # at the last look
        self.deadline_s = 0.0
        self.wheel_tick = NOT_WATCHED

    # For the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER_BYTES, WRITE_LOW_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a response."""
        if finish(self, data):
            return
        borrower = self.borrower
        if borrower is None:
            self._retire()  # Nobody asked. What else it would say nobody can believe.
            return
        self.tell_reader()
        reader = self.reader
        if not reader.has_begun:
            # Empty when no head is whole yet: what is remembered of a response goes by all of its head.
            size = data.find(END_OF_HEAD) + 4
            self.first_head = data[:size] if size > 3 else b""
            known = self.pool.known.get(self.first_head)
            if known is None and self.first_head and not self.pool.is_wary:
                composed = compose(self.first_head, self.pool.via_line)
                # What is a failure is judged, as all is that comes from a server that has failed.
                if composed is not None and composed[0] < FAILURE:
                    known = KnownHead(*composed)
            if known is not None and borrower.came_whole(self, known, data, size):
                return
        try:
            reader.feed(data)
        except UpstreamError as error:
            self.fail(str(error), PROTOCOL)
            return
        borrower.came(self)

    def eof_received(self) -> bool:
        """Close as well: a server that sends no more is of no use, whatever is still on its way to it."""
        self._end(None)
        self._retire()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell whom it is lent to."""
        self._end(exc)
        self.is_closed = True
        self.pool.ended(self)

    def pause_writing(self) -> None:
        """The server takes less than the client sends."""
        self.is_write_blocked = True

    def resume_writing(self) -> None:
        """Go on."""
        self.is_write_blocked = False
        if self.borrower is not None:
            self.borrower.link_writable(self)

    # For the borrower.

    def pause_reading(self) -> None:
        """Read no more for now: the client takes less than the server sends."""
        if not self._is_reading_paused and not self.is_closed:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_reading_paused and not self.is_closed:
            self._is_reading_paused = False
            self.transport.resume_reading()

    def tell_reader(self) -> None:
        """Make the reader ready, if that was put off."""
        if self.expected is not None:
            self.reader.expect(self.expected)
            self.expected = None

    def watch(self, deadline_s: float) -> None:
        """Have the borrower told at a time, unless it is put off."""
        if self.wheel_tick != NOT_WATCHED and deadline_s >= self.deadline_s:
            self.deadline_s = deadline_s  # Later than before: the wheel need not be told.
        else:
            self.pool.watch(self, deadline_s)

    def fail(self, reason: str, failure: int = CLOSED) -> None:
        """End what cannot go on, and tell the borrower why."""
        self.failure = failure
        self.tell_reader()
        borrower, self.borrower = self.borrower, None
        self.abort()
        if borrower is not None:
            borrower.link_failed(self, reason)

    def abort(self) -> None:
        """Close at once."""
        self.is_closed = True
        self.transport.abort()

    # Within.

    def _end(self, exc: Exception | None) -> None:
        """Make of what has come what can be made of it, now that nothing more does."""
        self.tell_reader()
        if exc is not None:
            self._read_out()
        borrower = self.borrower
        if borrower is None or self.is_closed:
            return
        self.is_closed = True
        if exc is None and self.reader.end():
            borrower.came(self)
        else:
            self.fail("it closed the connection" if exc is None else f"the connection broke: {exc}")

    def _retire(self) -> None:
        """Close, and be lent to nobody from now on: the loop tells of the end a little later."""
        self.abort()
        self.pool.ended(self)

    def _read_out(self) -> None:
        """
        Read what lies in the kernel: a server that answers without reading the request resets the
        connection, which we may learn from a failed write, with its answer unread.
        """
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return
        left = UPSTREAM_LAST_WORDS_BYTES_MAX
        self.reader.is_spoilt = True  # Whatever comes, nobody else is to have this connection.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as rest:
            while left > 0 and self.borrower is not None and not self.is_closed:
                data = rest.recv(left, socket.MSG_DONTWAIT)
                if not data:
                    return
                left -= len(data)
                self.data_received(data)

    # For the wheel.

    def expire(self, now_s: float) -> None:
        """Act on the deadline."""
        if self.borrower is not None:
            self.borrower.link_late(self, now_s)
