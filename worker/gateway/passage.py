"""
One request on its way through: to a server of an upstream, and the answer back.

Direct calls, no task: the client's connection and the link to the server call
it as things come, and it writes to the one what came from the other. Neither is
read any faster than the other takes.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.gateway import request_head, response_head
from penstock.worker.gateway.link import KnownHead, Link
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.request_head import Origin
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.fields import is_event_stream
from penstock.worker.http.head import METHODS
from penstock.worker.http.inbox import Inbox
from penstock.worker.http.phases import DONE, IDLE, STREAMING, WAITING
from penstock.worker.http.responses import NO_BODY, TEXT_HEADERS, error_text, interim
from penstock.worker.limits import UPSTREAM_MEMO_COUNT_MAX

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection

METHOD_STARTS: Final = {name: token + b" " for token, name in METHODS.items()}

# Those that may be asked twice without being meant twice (RFC 9110, 9.2.2).
IDEMPOTENT: Final = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}
)

# Interim responses that are the client's business.
INTERIM: Final = frozenset({102, 103})


class Outflow(Inbox):
    """A request's body on its way to the server; kept while there is none to send it to."""

    __slots__ = ("passage",)

    passage: "Passage"

    def put(self, piece: bytes, *, is_last: bool) -> int:
        """Take a piece from the client; return how much waits for the server."""
        passage = self.passage
        if passage.link is None:
            return super().put(piece, is_last=is_last)
        if is_last:
            self.is_complete = True
            self.expects_continue = False
        return passage.send_piece(piece, is_last=is_last)


class Passage(Exchange):
    """Answers a request with what a server of an upstream says."""

    __slots__ = (
        "_attempts",
        "_is_chunked",
        "_is_sent",
        "_is_waiting",
        "_memo",
        "_pool",
        "_target",
        "_tried",
        "_upstream",
        "is_gone",
        "link",
    )

    is_running = False  # its connection's end is its own

    _memo: Memo | None
    _target: bytes
    _upstream: Upstream
    _pool: Pool

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.link: Link | None = None
        self.is_gone = False
        self._is_sent = False
        self._is_chunked = False
        self._is_waiting = False  # for a link
        self._attempts = 0
        self._tried: list[int] = []

    def expect_body(self, *, is_complete: bool, expects_continue: bool) -> Inbox:
        """Make ready to pass a body on."""
        self.inbox = outflow = Outflow(
            self.connection.site.loop, is_complete=is_complete, expects_continue=expects_continue
        )
        outflow.passage = self
        return outflow

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """
        Begin. The head of the request is there, and maybe some of its body.

        In `memo` is kept what becomes of a block of headers that comes again.
        """
        self._upstream = upstream
        self._target = target
        self._memo = memo
        if self.inbox is not None:
            self._is_chunked = any(name == b"transfer-encoding" for name, _ in self.scope["headers"])
        self._try()

    # What a pool says.

    def have(self, link: Link) -> None:
        """Send the request: as much of it as there is."""
        self._is_waiting = False
        self.link = link
        method = self.scope["method"]
        link.reader.expect(method)
        head = METHOD_STARTS[method] + self._target + (self._remembered() or self._composed(link))
        inbox = self.inbox
        if inbox is None:
            self._is_sent = True
            link.transport.write(head)
        else:
            if inbox.expects_continue:
                inbox.expects_continue = False
                self.connection.send_continue()
            self._is_sent = inbox.is_complete
            body = bytes(inbox.body)
            if not inbox.is_complete:
                inbox.body = b""  # What has gone out in part cannot be sent again.
            link.transport.write(head + self._frame(body, is_last=inbox.is_complete))
            self.connection.body_taken()
        link.watch(self._upstream.first_byte_deadline_s)

    def have_not(self, pool: Pool, reason: str, *, is_overload: bool) -> None:
        """Try elsewhere, or say that there is no server."""
        self._is_waiting = False
        if self.is_gone:
            return
        pool.complain(reason)
        if self._attempts <= self._upstream.spec.retry_attempts and len(self._tried) < len(
            self._upstream.pools
        ):
            self._try()
        elif is_overload:
            self._refuse(503, "the upstream server has too much to do")
        else:
            self._refuse(504 if "within" in reason else 502, "the upstream server cannot be reached")

    # What the link says.

    def came_whole(self, link: Link, known: KnownHead, data: bytes, size: int) -> bool:
        """Pass a response on whose head was seen before, if that is all there is to it."""
        if not self.is_plain or self.notes is not None or len(data) - size != known.content_length:
            return False
        self.link = None
        link.reader.keep_alive = True
        link.pool.give_back(link)
        connection = self.connection
        site = connection.site
        output = known.output + data[size:]
        self.status = status = known.status
        self.phase = DONE
        elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
        self.meter.count(status, elapsed_us)
        site.sent_bytes += len(output)
        if elapsed_us >= site.noted_from_us or status >= 500:
            site.note(self, elapsed_us, len(output))
        if self.entry is not None:
            site.board.end(self.entry)
            self.entry = None
        connection.exchange = None
        connection.transport.write(output)
        if self.is_plain:
            connection.intake = IDLE
            connection.deadline_s = site.idle_deadline_s
        else:
            connection.responded()
        return True

    def came(self, link: Link) -> None:
        """Pass on what has come of the response."""
        reader = link.reader
        if reader.interims:
            self._pass_interims(link)
        if not reader.is_head_complete:
            return
        is_last = reader.is_complete
        piece = reader.take()
        head = self._head_for(link, piece) if self.phase == WAITING else b""
        framed = self.framing.frame(piece, is_last=is_last)
        if is_last:
            if head and self._is_usual(link):
                link.pool.saw(link.first_head, KnownHead(self.status, len(piece), head))
            self._release(link)
            self.write(head, framed, False)
            return
        if head or framed:
            self.write(head, framed, True)
        link.watch(self._upstream.now_s + self._upstream.spec.idle_response_timeout_s)
        if self.connection.is_write_blocked:
            link.pause_reading()
            self.connection.when_writable(self._client_takes)

    def link_failed(self, link: Link, reason: str) -> None:
        """Ask again, where that is safe; else say that the server failed, or cut what had begun."""
        self.link = None
        if self.is_gone:
            return
        if self.phase == STREAMING:
            link.pool.complain(f"{reason}, in the middle of a response")
            self.cut()
            return
        inbox = self.inbox
        is_replayable = inbox is None or (inbox.is_complete and self._is_sent and bool(inbox.body))
        if is_replayable and self.scope["method"] in IDEMPOTENT:
            if link.request_count > 1 and not link.reader.has_begun:
                # It was idle, and the server closed it just then: no failure, so no attempt.
                self._is_waiting = True
                link.pool.want(self, fresh=True)
                return
            if self._attempts <= self._upstream.spec.retry_attempts:
                link.pool.complain(f"{reason}; asked another time")
                self._try()
                return
        link.pool.complain(reason)
        self._refuse(504 if "in time" in reason else 502, "the upstream server failed")

    def link_writable(self, link: Link) -> None:
        """Read on from the client."""
        self.connection.body_taken()

    def link_late(self, link: Link, now_s: float) -> None:
        """Judge whose fault it is that nothing happens."""
        if self.phase == STREAMING:
            if self.connection.is_write_blocked:
                # The client's, whose own deadline is set.
                link.watch(now_s + self._upstream.spec.idle_response_timeout_s)
            else:
                link.fail("it went silent")
        elif self._is_sent or link.is_write_blocked:
            link.fail("it did not answer in time")
        else:
            link.watch(now_s + self._upstream.spec.first_byte_timeout_s)  # the client's, again

    # What the connection says.

    def send_piece(self, piece: bytes, *, is_last: bool) -> int:
        """Send a piece of the body on; return how much waits."""
        link = self.link
        assert link is not None
        link.transport.write(self._frame(piece, is_last=is_last))
        if is_last:
            self._is_sent = True
            if self.phase == WAITING:
                link.watch(self._upstream.first_byte_deadline_s)
        return link.transport.get_write_buffer_size() if link.is_write_blocked else 0

    def disconnected(self) -> None:
        """Let go of the server: nobody waits for its answer."""
        self._drop()
        super().disconnected()
        self._leave_board()

    def cancel(self) -> None:
        """Let go of the server."""
        self._drop()

    def half_closed(self) -> None:
        """Go on: the client may still read."""

    def call_off(self) -> None:
        """End a stream of events, which may end anywhere; its client comes back for more."""
        if self.phase == STREAMING and is_event_stream(self._headers):
            self._drop()
            self.write(b"", self.framing.frame(b"", is_last=True), False)

    # Within.

    def _try(self) -> None:
        upstream = self._upstream
        index = upstream.choose(self._tried)
        self._tried.append(index)
        self._attempts += 1
        self._pool = upstream.pools[index]
        self._is_waiting = True
        self._pool.want(self)

    def _is_usual(self, link: Link) -> bool:
        """Tell whether the next response with the same head can be passed on without a look at it."""
        reader = link.reader
        return (
            self.is_plain
            and self.notes is None
            and reader.content_length is not None
            and reader.keep_alive
            and not reader.is_spoilt
            and self.status not in NO_BODY
        )

    def _remembered(self) -> bytes | None:
        memo, client = self._memo, self.scope["client"]
        if memo is None or client is None:
            return None
        return memo.get((self._upstream, client[0]))

    def _composed(self, link: Link) -> bytes:
        scope = self.scope
        client = scope["client"]
        composed = b" " + request_head.compose(
            scope["headers"],
            Origin(None if client is None else client[0], scope["scheme"]),
            authority=link.pool.server.address.encode(),
            is_chunked=self._is_chunked,
        )
        memo = self._memo
        if memo is not None and client is not None:
            if len(memo) >= UPSTREAM_MEMO_COUNT_MAX:
                memo.clear()
            memo[self._upstream, client[0]] = composed
        return composed

    def _frame(self, piece: bytes, *, is_last: bool) -> bytes:
        if not self._is_chunked:
            return piece
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        return chunk + b"0\r\n\r\n" if is_last else chunk

    def _head_for(self, link: Link, piece: bytes) -> bytes:
        """Judge the head of the response, and return the client's."""
        reader = link.reader
        connection = self.connection
        site = connection.site
        scope = self.scope
        headers = response_head.passed_headers(reader.headers)
        if self.notes is not None:
            headers = self.notes.complete(headers)
        self.status = reader.status
        self._headers = headers
        head, self.framing, must_close = response_head.compose(
            reader.status,
            headers,
            method=scope["method"],
            is_http10=scope["http_version"] == "1.0",
            content_length=len(piece) if reader.is_complete else reader.content_length,
            must_close=not connection.keep_alive or connection.must_close(is_last=reader.is_complete),
            date=site.starts.date_field,
        )
        if must_close:
            connection.keep_alive = False
        self._sent_bytes = 0
        self.phase = STREAMING
        return head

    def _pass_interims(self, link: Link) -> None:
        interims, link.reader.interims = link.reader.interims, []
        if self.phase != WAITING or self.scope["http_version"] != "1.1":
            return
        for status, headers in interims:
            if status in INTERIM:
                output = interim(status, response_head.passed_headers(headers))
                self.connection.site.sent_bytes += len(output)
                self.connection.transport.write(output)

    def _client_takes(self) -> None:
        if self.link is not None:
            self.link.resume_reading()

    def _release(self, link: Link) -> None:
        """Give the link back, if the server has had the whole request; else it cannot be used again."""
        self.link = None
        if self._is_sent:
            link.pool.give_back(link)
        else:
            link.borrower = None
            link.abort()

    def _drop(self) -> None:
        self.is_gone = True
        link, self.link = self.link, None
        if link is not None:
            link.borrower = None
            link.abort()
        elif self._is_waiting:
            self._pool.forget(self)

    def _refuse(self, status: int, reason: str) -> None:
        headers = [*TEXT_HEADERS]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        self.is_plain = False
        self.respond(status, headers, error_text(status, reason))

    def _finish(self) -> None:
        self._leave_board()
        connection = self.connection
        connection.exchange = None
        if self.notes is not None and self.notes.on_end is not None:
            self.notes.on_end(self)
        connection.responded()

    def _leave_board(self) -> None:
        if self.entry is not None:
            self.connection.site.board.end(self.entry)
            self.entry = None
