"""
What an app sees of one request: `receive` and `send`, from its call to its end.

How the response is written is in `answer`.
"""

import asyncio
import logging
from time import perf_counter_ns
from typing import ClassVar

from penstock.worker.asgi.types import ASGIApp, ClientDisconnected, Message, Scope, is_disconnect
from penstock.worker.http.answer import Answer
from penstock.worker.http.extensions import EXTENSIONS
from penstock.worker.http.fields import as_bytes, is_event_stream
from penstock.worker.http.inbox import CALLED_OFF, HALF_CLOSED, Inbox
from penstock.worker.http.notes import CLIENT_CLOSED
from penstock.worker.http.phases import DONE, LOST, STARTED, STREAMING, WAITING
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.http.trailers import end_with_trailers, promise_trailers
from penstock.worker.tracebacks import exc_info

log = logging.getLogger(__name__)

_KINDS = ("http.response.start", "http.response.body")

_ORDER = {
    WAITING: "the response has not been started",
    STARTED: "the response has been started",
    STREAMING: "the response is under way",
    DONE: "the response is complete",
}


class Exchange(Answer):
    """
    Answers one request of a connection.

    It lives as long as its app runs, which may be longer than its response
    (background tasks), and longer than its connection: then it is detached.
    """

    __slots__ = ()

    # What a client is told when whoever is to answer cannot.
    failure_text: ClassVar[str] = "the application failed"
    # Whether it may go on when its connection has ended.
    is_running = True

    # For the app.

    async def receive(self) -> Message:
        """Return the next piece of the body, then, when it happens, the disconnect."""
        inbox = self.inbox
        if inbox is None:
            inbox = self.expect_body(is_complete=True, expects_continue=False)
        while True:
            if self.phase >= DONE:
                return {"type": "http.disconnect"}
            if inbox.has_news:
                body = inbox.take()
                self.connection.body_taken()
                return {"type": "http.request", "body": body, "more_body": not inbox.is_complete}
            if inbox.end:
                return {"type": "http.disconnect"}
            if inbox.expects_continue and self.phase < STREAMING:
                inbox.expects_continue = False
                self.connection.send_continue()
            self.is_plain = False  # Whoever waits is to be woken by the end of the response.
            await inbox.news()

    async def send(self, message: Message) -> None:
        """Take a message of the response; wait while the client is slower than the app."""
        phase = self.phase
        kind = message["type"]
        if phase == WAITING and kind == "http.response.start":
            self.status = message["status"]
            # `in` and a subscript take half as long as get().
            headers = message["headers"] if "headers" in message else ()  # noqa: SIM401
            self._headers = headers if type(headers) is list else list(headers)
            if self.notes is not None:
                self._headers = self.notes.complete(self._headers)
            if "trailers" in message and message["trailers"]:  # noqa: RUF019
                promise_trailers(self)
            self.phase = STARTED
            return
        if phase == STARTED and kind == "http.response.body":
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if type(body) is not bytes:
                body = as_bytes(body)
            if self.is_plain and not ("more_body" in message and message["more_body"]):  # noqa: RUF019
                self._answer(body)
                if self.is_plain:
                    return
            else:
                self._begin(body, message.get("more_body", False))
        elif phase == STREAMING and kind == "http.response.body":
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if type(body) is not bytes:
                body = as_bytes(body)
            if "more_body" in message and message["more_body"]:  # noqa: RUF019
                connection = self.connection
                piece = self.framing.frame(body)
                connection.site.sent_bytes += len(piece)
                self._sent_bytes += len(piece)
                connection.transport.write(piece)
            else:
                framing = self.framing
                self.write(b"", framing.frame(body, is_last=True), framing.awaits_trailers)
        elif phase == LOST:
            raise ClientDisconnected("the client is gone")
        elif kind in EXTENSIONS:
            await EXTENSIONS[kind](self, message)
        elif kind in _KINDS:
            raise RuntimeError(f"{kind!r} out of order: {_ORDER[phase]}")
        else:
            raise RuntimeError(f"there is no message {kind!r} that an HTTP response is made of")
        connection = self.connection
        if connection.is_write_blocked:
            await connection.writable()
            if self.phase == LOST:
                raise ClientDisconnected("the client is gone")

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Call the app and clean up after it: every response ends, one way or another."""
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            self._app_failed(error)
        except BaseException as error:
            # A cancellation is ours to pass on only if we asked for it; the app's own is its failure.
            # So is a `sys.exit()`: a request does not end the others'.
            task = asyncio.current_task()  # an eager one is not ours by name yet
            assert task is not None
            is_own_cancellation = isinstance(error, asyncio.CancelledError) and not task.cancelling()
            if is_own_cancellation or isinstance(error, (SystemExit, KeyboardInterrupt)):
                self._app_failed(error)
            else:
                log.error("The app ended %s with %s", self.describe(), type(error).__name__)
                self._blame(error)
                self.cut()
                raise
        else:
            if self.phase < DONE:
                self._app_fell_short()
        finally:
            connection = self.connection
            entry = self.entry
            if entry is not None:
                self.entry = None
                connection.site.board.end(entry)
            if connection.exchange is self:
                connection.exchange = None
            else:
                connection.site.detached_ended(self)
            if self.notes is not None and self.notes.on_end is not None:
                self.notes.on_end(self)

    # For what sends files.

    def assure_client(self) -> None:
        """Raise ClientDisconnected if the client is gone, or about to be."""
        if self.phase == LOST or self.connection.transport.is_closing():
            raise ClientDisconnected("the client is gone")

    def sent(self, size: int) -> None:
        """Count bytes of the response that were written past `write`."""
        self._sent_bytes += size
        self.connection.site.sent_bytes += size

    # For the connection.

    def expect_body(self, *, is_complete: bool, expects_continue: bool) -> Inbox:
        """Make ready to receive."""
        loop = self.connection.site.loop
        self.inbox = Inbox(loop, is_complete=is_complete, expects_continue=expects_continue)
        return self.inbox

    def refused(self, status: int, sent_bytes: int) -> None:
        """Say that the connection answered instead, and ends with that answer."""
        self.status = status
        self._count(sent_bytes)
        self._lose_client()

    def half_closed(self) -> None:
        """Say that the client sends no more, though it may still read."""
        self._tell_end(HALF_CLOSED)

    @property
    def is_endless(self) -> bool:
        """Tell whether the request has come whole, and its response is under way with no end in sight."""
        inbox = self.inbox
        return (
            self.phase == STREAMING
            and self.framing.left is None
            and (inbox is None or (inbox.is_complete and inbox.end != CALLED_OFF))
        )

    def call_off(self) -> None:
        """Have the app end its response: `receive` tells of a disconnect, and `send` goes on working."""
        self._tell_end(CALLED_OFF)

    def _tell_end(self, end: int) -> None:
        inbox = self.inbox or self.expect_body(is_complete=True, expects_continue=False)
        inbox.end = end
        self.is_plain = False
        inbox.wake()

    def disconnected(self) -> None:
        """Say that the client is gone."""
        self._end_early(CLIENT_CLOSED)

    def give_up(self) -> None:
        """End a request whose client is taken for gone: nothing is answered."""
        self._end_early(CLIENT_CLOSED)
        self.connection.abort()

    def _end_early(self, status: int) -> None:
        """End without the rest of the response. One that had not begun is not counted, but it is shown."""
        if self.notes is not None and self.phase < DONE:
            self.notes.is_cut = True
        if self.phase == STREAMING:
            self._count(self._sent_bytes)
        elif self.phase < STREAMING:
            self.status = status
            elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
            site = self.connection.site
            if elapsed_us >= site.noted_from_us or status >= 500 or self.notes is not None:
                site.note(self, elapsed_us, 0)
        self._lose_client()

    def cut(self) -> None:
        """Make a response that ended too early look like one: cut the connection."""
        if self.phase < DONE:
            # A body that only ends with the connection ends as well with a FIN.
            needs_reset = self.phase == STREAMING and self.framing.ends_with_connection
            self._end_early(500)
            self.connection.abort(with_reset=needs_reset)

    def cancel(self) -> None:
        """Cancel the app."""
        self.task.cancel()
        # One that is cancelled before its first step never gets to `run`.
        self.task.add_done_callback(self._cancelled)

    def _cancelled(self, _: asyncio.Task[None]) -> None:
        if self.entry is not None:
            self.connection.site.board.end(self.entry)
            self.entry = None
        if self.connection.exchange is self:
            self.connection.exchange = None
        self.connection.site.detached_ended(self)
        if self.notes is not None and self.notes.on_end is not None:
            self.notes.on_end(self)

    # When something is wrong.

    def _app_failed(self, error: BaseException) -> None:
        self._tell_failure(error)
        if not is_disconnect(error, set()):
            self._blame(error)
        if self.phase < DONE:
            self._fail()

    def _tell_failure(self, error: BaseException) -> None:
        if is_disconnect(error, set()):
            log.debug("The app gave up %s: the client is gone", self.describe())
        else:
            log.error("The app raised in %s", self.describe(), exc_info=exc_info(error))

    def _app_fell_short(self) -> None:
        if self.phase == STREAMING and self.framing.awaits_trailers:
            log.error("The app returned without the trailers that it had promised in %s", self.describe())
            end_with_trailers(self)
            return
        if self.phase < STREAMING and self.inbox is not None and self.inbox.end == HALF_CLOSED:
            # It was told of a disconnect, and took the client for gone, as it nearly always is.
            self.give_up()
            return
        if self._is_called_off() and is_event_stream(self._headers):
            # Told of a disconnect, most libraries just return. Such a stream has no length, and may end
            # anywhere: its client throws half an event away. Of anything else the client must see the cut.
            self.write(b"", self.framing.frame(b"", is_last=True), False)
            return
        said = "without a response" if self.phase != STREAMING else "before the response was complete"
        log.error("The app returned %s in %s", said, self.describe())
        self._blame(RuntimeError(f"the app returned {said}"))
        self._fail()

    def _is_called_off(self) -> bool:
        return self.phase == STREAMING and self.inbox is not None and self.inbox.end == CALLED_OFF

    def _blame(self, error: BaseException) -> None:
        if self.notes is not None:
            self.notes.failure = error

    def _fail(self) -> None:
        """End a response that the app will not end."""
        if self.phase == STREAMING:
            self.cut()
            return
        # The client must hear that this connection ends, or it loses its next request.
        self.is_plain = self.connection.keep_alive = False
        self.respond(500, TEXT_HEADERS, error_text(500, self.failure_text))

    def _lose_client(self) -> None:
        self.phase = LOST
        self.is_plain = False
        if self.inbox is not None:
            self.inbox.body = b""
            self.inbox.wake()
