"""
One request and its response: the `receive` and `send` of an ASGI app.

Direct calls, few branches and one write for a simple response: this file and
`Connection.data_received` are the hot path.
"""

import asyncio
import logging
from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from penstock.shm.board import ANSWERED, ASKED
from penstock.shm.board import STREAMING as STREAMED
from penstock.shm.counting import BoardWriter, Meter
from penstock.worker.asgi.types import ASGIApp, ClientDisconnected, Message, Scope, is_disconnect
from penstock.worker.http.fields import (
    CONTENT_LENGTH,
    CR,
    LENGTHS,
    LENGTHS_COUNT,
    LF,
    NUL,
    is_event_stream,
    judge_value,
    judge_whole,
    meanings,
)
from penstock.worker.http.inbox import CALLED_OFF, HALF_CLOSED, Inbox
from penstock.worker.http.notes import CLIENT_CLOSED, Notes
from penstock.worker.http.phases import DONE, IDLE, LOST, STARTED, STREAMING, WAITING
from penstock.worker.http.reply import BodyFraming, Reply
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.limits import JOIN_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection

log = logging.getLogger(__name__)

_ORDER = {
    WAITING: "the response has not been started",
    STARTED: "the response has been started",
    STREAMING: "the response is under way",
    DONE: "the response is complete",
}


class Exchange:
    """
    Answers one request of a connection.

    It lives as long as its app runs, which may be longer than its response
    (background tasks), and longer than its connection: then it is detached.

    `is_plain` says that nothing about it is out of the ordinary: HTTP/1.1, to
    be kept alive, not HEAD, no body still to come and nobody waiting in
    `receive`, nothing pipelined behind it, the client there and reading, no
    drain. Whatever changes that clears it, so the usual response asks one
    question instead of eight.
    """

    # Those without a value here are set when they begin to mean something.
    __slots__ = (
        "_framing",
        "_headers",
        "_sent_bytes",
        "connection",
        "entry",
        "inbox",
        "is_plain",
        "meter",
        "notes",
        "phase",
        "scope",
        "started_ns",
        "status",
        "task",
    )

    task: asyncio.Task[None]  # when an app was called
    status: int  # since the response was started
    _headers: list[tuple[bytes, bytes]]
    _framing: BodyFraming

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        self.connection = connection
        self.scope = scope
        self.phase = WAITING
        self.is_plain = True
        # Only with a body, or when the app waits for the client to go.
        self.inbox: Inbox | None = None
        # Only if somebody who watches the site's requests has something to keep with this one.
        self.notes: Notes | None = None
        self.entry: int | None = None  # on the board
        self.meter = meter
        self.started_ns = perf_counter_ns()  # on Linux the same clock as monotonic_ns

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
            self.phase = STARTED
            return
        if phase == STARTED and kind == "http.response.body":
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if self.is_plain and not ("more_body" in message and message["more_body"]):  # noqa: RUF019
                self._answer(body)
                if self.is_plain:
                    return
            else:
                self._begin(body, message.get("more_body", False))
        elif phase == STREAMING and kind == "http.response.body":
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if "more_body" in message and message["more_body"]:  # noqa: RUF019
                connection = self.connection
                piece = self._framing.frame(body)
                connection.site.sent_bytes += len(piece)
                self._sent_bytes += len(piece)
                connection.transport.write(piece)
            else:
                self._write(b"", self._framing.frame(body, is_last=True), False)
        elif phase == LOST:
            raise ClientDisconnected("the client is gone")
        else:
            raise RuntimeError(f"{kind!r} out of order: {_ORDER[phase]}")
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
            task = asyncio.current_task()  # an eager one is not ours by name yet
            assert task is not None
            if isinstance(error, asyncio.CancelledError) and not task.cancelling():
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

    # For the connection.

    def expect_body(self, *, is_complete: bool, expects_continue: bool) -> Inbox:
        """Make ready to receive."""
        loop = self.connection.site.loop
        self.inbox = Inbox(loop, is_complete=is_complete, expects_continue=expects_continue)
        return self.inbox

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer without an app."""
        self.status = status
        self._headers = list(headers)
        if self.notes is not None:
            self._headers = self.notes.complete(self._headers)
        if self.is_plain:
            self._answer(body)
        else:
            self._begin(body, False)

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
            and self._framing.left is None
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
            needs_reset = self.phase == STREAMING and self._framing.ends_with_connection
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

    def post_progress(self, board: BoardWriter) -> None:
        """Say on the board how far it is."""
        if self.entry is not None:
            phase = self.phase
            state = ASKED if phase < STREAMING else STREAMED if phase == STREAMING else ANSWERED
            board.go_on(self.entry, state, self._sent_bytes if phase == STREAMING else 0)

    def describe(self) -> str:
        """Return the request line and its age, for a log."""
        scope = self.scope
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        named = "" if self.notes is None or self.notes.request_id is None else f", id {self.notes.request_id}"
        return f"{scope['method']} {target.decode('latin-1')} ({self.age_s:.3f} s{named})"

    @property
    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the response, as far as the app and who opened the exchange gave them."""
        return getattr(self, "_headers", [])

    @property
    def age_s(self) -> float:
        """Tell how long ago its head was complete."""
        return (perf_counter_ns() - self.started_ns) / 1e9

    # The response.

    def _answer(self, body: bytes) -> None:
        """Write a whole response when nothing about the request is out of the ordinary."""
        connection = self.connection
        site = connection.site
        status = self.status
        size = len(body)
        declared: bytes | None = None
        try:
            parts = [site.plain_starts[status]]
            for name, value in self._headers:
                meaning = meanings[name]
                if not meaning:
                    parts += (name, b": ", value, b"\r\n")
                elif meaning == CONTENT_LENGTH and declared is None:
                    declared = value
                else:
                    raise KeyError(name)
        except KeyError:
            self._begin(body, False)
            return
        if size > JOIN_BYTES_MAX:
            self._begin(body, False)
            return
        count = len(parts)
        if count > 1:
            # One look at all values. (An int is found in bytes ten times as fast as bytes.)
            values = parts[3] if count == 5 else b"".join(parts[3::4])
            if CR in values or LF in values or NUL in values:
                judge_value(values)
        digits = LENGTHS[size] if size < LENGTHS_COUNT else b"%d" % size
        if declared is not None and declared != digits:
            judge_whole(declared, size)
        parts += (b"content-length: ", digits, b"\r\n\r\n", body)
        output = b"".join(parts)
        self.phase = DONE
        # Counted before it is written: whoever has got an answer and then looks at
        # the numbers finds it there.
        elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
        self.meter.count(status, elapsed_us)
        site.sent_bytes += len(output)
        if elapsed_us >= site.noted_from_us or status >= 500 or self.notes is not None:
            site.note(self, elapsed_us, len(output))
        connection.transport.write(output)
        # Asked again: the client may not have taken all of it.
        if self.is_plain:
            connection.intake = IDLE
            # Later than the one before, so the wheel need not be told.
            connection.deadline_s = site.idle_deadline_s
        else:
            self._finish()

    def _begin(self, body: bytes, more_body: bool) -> None:
        """Write the head of any response, with the first or only piece of the body."""
        connection = self.connection
        site = connection.site
        scope = self.scope
        reply = Reply(
            self.status,
            self._headers,
            method=scope["method"],
            http_version=scope["http_version"],
            whole_size=None if more_body else len(body),
        )
        if not connection.keep_alive or connection.must_close(is_last=not more_body):
            reply.must_close = True
        head = reply.head(site.starts)
        # The last thing that can be wrong; from here on the response is on its way.
        piece = reply.framing.frame(body, is_last=not more_body)
        if reply.must_close:
            connection.keep_alive = False
        self._framing = reply.framing
        self._sent_bytes = 0
        self.phase = STREAMING
        self._write(head, piece, more_body)

    def _write(self, head: bytes, piece: bytes, more_body: bool) -> None:
        self._sent_bytes += len(head) + len(piece)
        if not more_body:
            self._count(self._sent_bytes)
        connection = self.connection
        connection.site.sent_bytes += len(head) + len(piece)
        if len(piece) > JOIN_BYTES_MAX and head:
            connection.transport.writelines((head, piece))
        else:
            connection.transport.write(head + piece if head else piece)
        if not more_body:
            self._finish()

    def _count(self, sent_bytes: int) -> None:
        """Count the response, before its last bytes are written."""
        self.phase = DONE
        elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
        self.meter.count(self.status, elapsed_us)
        site = self.connection.site
        if elapsed_us >= site.noted_from_us or self.status >= 500 or self.notes is not None:
            site.note(self, elapsed_us, sent_bytes)

    def _finish(self) -> None:
        if self.inbox is not None:
            self.inbox.wake()
        self.connection.responded()

    # When something is wrong.

    def _app_failed(self, error: BaseException) -> None:
        if is_disconnect(error, set()):
            log.debug("The app gave up %s: the client is gone", self.describe())
        else:
            log.error("The app raised in %s", self.describe(), exc_info=error)
            self._blame(error)
        if self.phase < DONE:
            self._fail()

    def _app_fell_short(self) -> None:
        if self._is_called_off() and is_event_stream(self._headers):
            # Told of a disconnect, most libraries just return. Such a stream has no length, and may end
            # anywhere: its client throws half an event away. Of anything else the client must see the cut.
            self._write(b"", self._framing.frame(b"", is_last=True), False)
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
        self.respond(500, TEXT_HEADERS, error_text(500, "the application failed"))

    def _lose_client(self) -> None:
        self.phase = LOST
        self.is_plain = False
        if self.inbox is not None:
            self.inbox.body = b""
            self.inbox.wake()
