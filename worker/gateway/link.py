"""
One connection to an upstream server: idle in its pool, or lent to one request.

It reads what comes, and tells whoever it is lent to. When it is lent to nobody,
a byte or an end from the server takes it out of the pool.
"""

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock.worker.gateway.native import compose, finish
from penstock.worker.gateway.response_reader import ResponseReader, UpstreamError
from penstock.worker.http.wheel import NOT_WATCHED
from penstock.worker.limits import WRITE_HIGH_WATER_BYTES, WRITE_LOW_WATER_BYTES

if TYPE_CHECKING:
    from penstock.worker.gateway.pool import Pool


END_OF_HEAD = b"\r\n\r\n"


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

    `request_count` is how many requests it was lent to.
    """

    __slots__ = (
        "_is_reading_paused",
        "borrower",
        "deadline_s",
        "expected",
        "first_head",
        "idle_since_s",
        "is_closed",
        "is_write_blocked",
        "pool",
        "reader",
        "request_count",
        "transport",
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
        self.idle_since_s = 0.0
        self.is_closed = False
        self.is_write_blocked = False
        self._is_reading_paused = False
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
            self.abort()  # Nobody asked. What else it would say nobody can believe.
            return
        self.tell_reader()
        reader = self.reader
        if not reader.has_begun:
            size = data.find(END_OF_HEAD) + 4
            self.first_head = data[:size]
            known = self.pool.known.get(self.first_head)
            if known is None and (composed := compose(self.first_head)) is not None:
                known = KnownHead(*composed)
            if known is not None and borrower.came_whole(self, known, data, size):
                return
        try:
            reader.feed(data)
        except UpstreamError as error:
            self.fail(str(error))
            return
        borrower.came(self)

    def eof_received(self) -> bool:
        """Close as well: a server that sends no more is of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell whom it is lent to."""
        self.tell_reader()
        was_closed, self.is_closed = self.is_closed, True
        borrower = self.borrower
        if borrower is not None and not was_closed:
            if exc is None and self.reader.end():
                borrower.came(self)
            else:
                self.fail("it closed the connection" if exc is None else f"the connection broke: {exc}")
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

    def fail(self, reason: str) -> None:
        """End what cannot go on, and tell the borrower why."""
        self.tell_reader()
        borrower, self.borrower = self.borrower, None
        self.abort()
        if borrower is not None:
            borrower.link_failed(self, reason)

    def abort(self) -> None:
        """Close at once."""
        self.is_closed = True
        self.transport.abort()

    # For the wheel.

    def expire(self, now_s: float) -> None:
        """Act on the deadline."""
        if self.borrower is not None:
            self.borrower.link_late(self, now_s)
