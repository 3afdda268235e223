"""
A request that a thread answers, as the loop sees it.

The thread reads a few fields here and changes none; what it wants of the
connection comes as letters, in order.
"""

import logging
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import ClientDisconnected, Scope
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.fields import is_event_stream
from penstock.worker.http.inbox import Inbox
from penstock.worker.http.phases import DONE, LOST, STREAMING, WAITING
from penstock.worker.limits import WRITE_HIGH_WATER_BYTES, WSGI_PIECE_COST_BYTES
from penstock.worker.wsgi.body import ThreadInbox
from penstock.worker.wsgi.call import Call
from penstock.worker.wsgi.doorbell import Doorbell

if TYPE_CHECKING:
    from asyncio import Future

    from penstock.worker.http.connection import Connection
    from penstock.worker.wsgi.bridge import Bridge

log = logging.getLogger(__name__)

# Status, headers, and the first or only piece.
Start = tuple[int, list[tuple[bytes, bytes]], bytes]


class WsgiExchange(Exchange):
    """Answers one request of a connection from a thread."""

    __slots__ = (
        "_awaits_client",
        "_handled_bytes",
        "_is_over",
        "_posted_bytes",
        "_written_bytes",
        "bridge",
        "context",
        "doorbell",
        "is_called_off",
        "place",
    )

    bridge: "Bridge"
    context: Context

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.place = "waits for a thread"  # or in which it is
        self.doorbell: Doorbell | None = None  # once a thread may have to wait for the client
        # A drain has asked for its end.
        self.is_called_off = False
        self._is_over = False
        # What the thread has handed over, what of it the loop has taken, and what of that has gone on.
        self._posted_bytes = self._handled_bytes = self._written_bytes = 0
        self._awaits_client = False

    # For the connection.

    def expect_body(self, *, is_complete: bool, expects_continue: bool) -> Inbox:
        """Make ready to receive."""
        if is_complete:
            return super().expect_body(is_complete=is_complete, expects_continue=expects_continue)
        self.doorbell = Doorbell()
        loop = self.connection.site.loop
        self.inbox = inbox = ThreadInbox(loop, self.doorbell, expects_continue=expects_continue)
        return inbox

    def hold_body(self) -> None:
        """Read no more of the body until a thread does."""
        if isinstance(self.inbox, ThreadInbox) and not self.inbox.is_complete:
            self.inbox.needs_word = True
            self.connection.hold_body()

    def call_off(self) -> None:
        """
        Have the app end its response, if it is a stream of events: there is no
        word for that in WSGI, so it is closed when it gives the next one.
        """
        self.is_called_off = is_event_stream(self._headers)

    def half_closed(self) -> None:
        """Say that the client sends no more, though it may still read: nothing that an app could be told."""
        self.is_plain = False

    def cancel(self) -> None:
        """Let go of it; a thread cannot be ended from outside."""
        self._lose_client()
        self.end(None)

    def _lose_client(self) -> None:
        super()._lose_client()
        if self.doorbell is not None:
            self.doorbell.ring()
        # A request may be refused before it is given to anybody.
        if hasattr(self, "bridge") and self.bridge.threads.forget(self):
            # By way of the loop: who tells us has more to do with it.
            self.connection.site.loop.call_soon(self.end, None)

    # Letters from the thread.

    def deliver(self, start: Start) -> None:
        """Write a whole response."""
        if self.phase == WAITING:
            try:
                self.respond(*start)
            except Exception as error:
                self._app_failed(error)

    def deliver_and_end(self, start: Start) -> None:
        """Write a whole response; the app is done."""
        self.deliver(start)
        self.end(None)

    def begin(self, start: Start) -> None:
        """Write the head of a response, and the first piece of its body."""
        if self.phase != WAITING:
            return
        self.status, headers, piece = start
        self._headers = headers if self.notes is None else self.notes.complete(headers)
        try:
            self._begin(piece, True)
        except Exception as error:
            self._app_failed(error)
        else:
            self._handled(piece)

    def go_on(self, piece: bytes) -> None:
        """Write another piece."""
        if self.phase == STREAMING:
            self.write(b"", self.framing.frame(piece), True)
            self._handled(piece)

    def finish(self, _: None) -> None:
        """End the response."""
        if self.phase == STREAMING:
            self.write(b"", self.framing.frame(b"", is_last=True), False)

    def body_wanted(self, _: None) -> None:
        """The thread reads: have the client send."""
        inbox = self.inbox
        if self.phase < DONE and inbox is not None:
            if inbox.expects_continue and self.phase < STREAMING:
                inbox.expects_continue = False
                self.connection.send_continue()
            self.connection.body_taken()

    def fail(self, error: BaseException) -> None:
        """End a response that the app will not end."""
        if self.phase < DONE:
            self._blame(error)
            self._fail()

    def end(self, _: None) -> None:
        """Be done with it: the app has returned."""
        if self._is_over:
            return
        self._is_over = True
        connection = self.connection
        if self.entry is not None:
            connection.site.board.end(self.entry)
            self.entry = None
        if connection.exchange is self:
            connection.exchange = None
        else:
            connection.site.detached_ended(self)
        if self.notes is not None and self.notes.on_end is not None:
            self.notes.on_end(self)

    def _handled(self, piece: bytes) -> None:
        """Let the thread go on, now or when the client has taken enough."""
        self._handled_bytes += len(piece) + WSGI_PIECE_COST_BYTES
        connection = self.connection
        if not connection.is_write_blocked:
            self._written_bytes = self._handled_bytes
            if self.doorbell is not None:
                self.doorbell.ring()
        elif not self._awaits_client:
            self._awaits_client = True
            connection.writable().add_done_callback(self._flows)

    def _flows(self, _: "Future[None]") -> None:
        self._awaits_client = False
        self._written_bytes = self._handled_bytes
        if self.doorbell is not None:
            self.doorbell.ring()

    # For the thread.

    def work(self, thread: str) -> None:
        """Call the app."""
        self.place = f"in {thread}"
        if self.phase == LOST:
            self.post(self.end, None)
            return
        try:
            self.context.run(Call(self).run)
        except BaseException as error:
            log.exception("A WSGI thread failed at %s", self.describe())
            self.post(self.fail, error)
            self.post(self.end, None)

    def post(self, act: Callable[[Any], None], argument: Any) -> None:
        """Have the loop do something."""
        self.bridge.threads.post(act, argument)

    def send_piece(self, act: Callable[[Any], None], argument: Any, size: int) -> None:
        """Post a piece, and wait until not too much is on its way. Raises ClientDisconnected."""
        self._posted_bytes += size + WSGI_PIECE_COST_BYTES
        self.bridge.threads.post(act, argument)
        if self._posted_bytes - self._written_bytes >= WRITE_HIGH_WATER_BYTES:
            if self.doorbell is None:
                self.doorbell = Doorbell()
            self.doorbell.wait(self._has_room)
            if self.phase >= DONE:
                raise ClientDisconnected("the client is gone")

    def _has_room(self) -> bool:
        return self._posted_bytes - self._written_bytes < WRITE_HIGH_WATER_BYTES or self.phase >= DONE
