"""
One request and the writing of its response, whoever gives it: an app or a fixed answer.

Direct calls, few branches and one write for a simple response: this file and
`Connection.data_received` are the hot path.
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from penstock.shm.board import ANSWERED, ASKED
from penstock.shm.board import STREAMING as STREAMED
from penstock.shm.counting import BoardWriter, Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.http.fields import (
    CONTENT_LENGTH,
    CR,
    LENGTHS,
    LENGTHS_COUNT,
    LF,
    NUL,
    judge_value,
    judge_whole,
    meanings,
)
from penstock.worker.http.inbox import Inbox
from penstock.worker.http.notes import Notes
from penstock.worker.http.phases import DONE, IDLE, STREAMING, WAITING
from penstock.worker.http.reply import BodyFraming, Reply, TrailedFraming
from penstock.worker.limits import JOIN_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.gateway.trail import Trail
    from penstock.worker.http.connection import Connection
    from penstock.worker.http.route import Route


class Answer:
    """
    The response to one request of a connection. It is made as an `Exchange`.

    `is_plain` says that nothing about it is out of the ordinary: HTTP/1.1, to
    be kept alive, not HEAD, no body still to come and nobody waiting in
    `receive`, nothing pipelined behind it, the client there and reading, no
    drain. Whatever changes that clears it, so the usual response asks one
    question instead of eight.
    """

    # Those without a value here are set when they begin to mean something.
    __slots__ = (
        "_headers",
        "_sent_bytes",
        "connection",
        "entry",
        "framing",
        "inbox",
        "is_plain",
        "meter",
        "notes",
        "phase",
        "scope",
        "started_ns",
        "status",
        "task",
        "wants_trailers",
    )

    passes_on = False  # to an upstream server

    task: asyncio.Task[None]  # when an app was called
    status: int  # since the response was started
    wants_trailers: bool  # when the app has promised some: the client does
    _headers: list[tuple[bytes, bytes]]
    framing: BodyFraming  # since the head was written

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

    def answer(self, route: "Route") -> None:
        """Answer without an app: with what the route has for all."""
        self.respond(route.status, route.headers, route.body)

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer with a whole response."""
        self.status = status
        self._headers = list(headers)
        if self.notes is not None:
            self._headers = self.notes.complete(self._headers)
        if self.is_plain:
            self._answer(body)
        else:
            self._begin(body, False)

    def post_progress(self, board: BoardWriter) -> None:
        """Say on the board how far it is."""
        if self.entry is not None:
            phase = self.phase
            state = ASKED if phase < STREAMING else STREAMED if phase == STREAMING else ANSWERED
            board.go_on(self.entry, state, self._sent_bytes if phase == STREAMING else 0)

    def trail(self) -> "Trail | None":
        """Tell where the request went, if it is one that is passed on."""
        return None

    def describe(self) -> str:
        """Return the request line and its age, for a log."""
        raw_path, query, _ = self.asked
        target = raw_path + (b"?" + query if query else b"")
        named = "" if self.notes is None or self.notes.request_id is None else f", id {self.notes.request_id}"
        return f"{self.scope['method']} {target.decode('latin-1')} ({self.age_s:.3f} s{named})"

    @property
    def asked(self) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
        """Path, query and headers as the client sent them, whatever the route has made of them."""
        notes, scope = self.notes, self.scope
        if notes is not None and notes.asked is not None:
            return notes.asked
        return scope["raw_path"], scope["query_string"], scope["headers"]

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
            count = len(parts)
            if count > 1:
                # One look at all values. (An int is found in bytes ten times as fast as bytes.)
                values = parts[3] if count == 5 else b"".join(parts[3::4])
                if CR in values or LF in values or NUL in values:
                    judge_value(values)
        except (KeyError, TypeError):
            # Out of the ordinary, or wrong: it is told there what.
            self._begin(body, False)
            return
        if size > JOIN_BYTES_MAX:
            self._begin(body, False)
            return
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
            site.note(self, elapsed_us, len(output))  # type: ignore[arg-type]  # it is an Exchange
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
        has_trailers = getattr(self, "wants_trailers", False)
        whole_size = None if more_body or has_trailers else len(body)
        reply, head = self.compose(whole_size, is_last=not more_body)
        if has_trailers and reply.framing.is_chunked:
            reply.framing = TrailedFraming()
        # The last thing that can be wrong; from here on the response is on its way.
        piece = reply.framing.frame(body, is_last=not more_body)
        self.commit(reply)
        self.write(head, piece, more_body or reply.framing.awaits_trailers)

    def compose(self, whole_size: int | None, *, is_last: bool) -> tuple[Reply, bytes]:
        """
        Judge the response, and compose its head; nothing has happened yet.

        `whole_size` is the size of a body that is known, and `is_last` says that all of it is there.
        """
        scope = self.scope
        connection = self.connection
        reply = Reply(
            self.status,
            self._headers,
            method=scope["method"],
            http_version=scope["http_version"],
            whole_size=whole_size,
        )
        if not connection.keep_alive or connection.must_close(is_last=is_last):
            reply.must_close = True
        return reply, reply.head(connection.site.starts)

    def commit(self, reply: Reply) -> None:
        """Begin the response: its head is about to be written."""
        if reply.must_close:
            self.connection.keep_alive = False
        self.framing = reply.framing
        self._sent_bytes = 0
        self.phase = STREAMING

    def write(self, head: bytes, piece: bytes, more_body: bool) -> None:
        """Write a piece of the response, and finish it if nothing comes after."""
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
            site.note(self, elapsed_us, sent_bytes)  # type: ignore[arg-type]  # it is an Exchange

    def _finish(self) -> None:
        if self.inbox is not None:
            self.inbox.wake()
        self.connection.responded()
