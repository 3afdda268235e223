"""
The incoming half of a connection: cuts what arrives into requests, one at a time.

The next request is not looked at until the one before is answered: what came
with it waits as bytes, and reading stops. So answers are in order by
construction, a bad request cannot overtake a good one before it, and what a
client can queue is bounded in bytes.
"""

import re
from abc import abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.worker.http.blocks import Framing, Memo
from penstock.worker.http.body import IncomingBody
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.head import CR, Headers, RequestError
from penstock.worker.http.notes import HEAD_START_BYTES
from penstock.worker.http.outlet import Outlet
from penstock.worker.http.partial import END_OF_HEAD, PartialHead, judge_oversize
from penstock.worker.http.phases import BODY, DONE, HEAD, HELD, IDLE
from penstock.worker.limits import BODY_HIGH_WATER_BYTES, DISCARD_BYTES_MAX, DISCARD_S, PIPELINE_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.site import Site

EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Intake(Outlet):
    """
    What `Keeping` builds upon: it adds when a connection ends.
    """

    __slots__ = ("_body", "_buffer", "_is_last_request", "_partial")

    def __init__(self, site: "Site") -> None:
        super().__init__(site)
        # HEAD: what there is of it. BODY: what it is cut by. HELD: the bytes of later requests.
        self._partial: PartialHead | None = None
        self._body: IncomingBody | None = None
        self._buffer = b""
        # The client said that it closes after this one.
        self._is_last_request = False

    @abstractmethod
    def _begin(  # noqa: PLR0917, keywords would cost on every request
        self,
        method: str,
        target: bytes,
        headers: Headers,
        host: bytes | None,
        framing: Framing | None = None,
        rest: bytes = b"",
        memo: Memo | None = None,
    ) -> bytes:
        """Start a request whose head is complete; return what is left of what comes after it."""

    @abstractmethod
    def _leaves_after(self, rest: bytes) -> bool:
        """After a response in a drain, when `rest` has come since: go elsewhere, or wait a little."""

    @abstractmethod
    def _refuse(self, error: RequestError, *, is_head: bool = False, head: bytes = b"") -> None:
        """Answer what the client did wrong, and end the connection."""

    # Heads.

    def _take(self, data: bytes) -> None:
        """Take bytes by what the first of them is, until all are used or wait."""
        while data:
            intake = self.intake
            if intake == IDLE:
                data = self._skip_empty_lines(data) if data[0] <= CR else self._take_head(data)
            elif intake == BODY:
                data = self._take_body(data)
            elif intake == HEAD:
                data = self._take_more_head(data)
            elif intake == HELD:
                self._hold(data)
                return
            else:
                self._throw_away(data)
                return

    def _skip_empty_lines(self, data: bytes) -> bytes:
        """Take off the empty lines before a request, and refuse what only looks like one."""
        lines = EMPTY_LINES.match(data)
        assert lines is not None
        data = data[lines.end() :]
        if data == b"\r":
            # Half of one. The deadline stays what it was, or this would be a way to stay for ever.
            self.intake = HEAD
            self._partial = PartialHead(self.site.header_bytes_max)
            return self._take_more_head(data)
        if data and data[0] <= CR:
            self._refuse(RequestError(HTTPStatus.BAD_REQUEST, "bare newline"), head=data[:HEAD_START_BYTES])
            return b""
        return self._take_head(data) if data else b""

    def _take_head(self, data: bytes) -> bytes:
        """Begin the request that `data` starts with; return what is left."""
        site = self.site
        size = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        if size < len(END_OF_HEAD):
            self.intake = HEAD
            self._partial = PartialHead(site.header_bytes_max)
            site.watch(self, site.limits.header_timeout_s)
            return self._take_more_head(data)
        try:
            if size > site.header_bytes_max:
                judge_oversize(data, site.header_bytes_max)
            method, target, headers, host, framing = site.head_parser.parse(data[:size])
        except RequestError as error:
            self._refuse(error, is_head=data.startswith(b"HEAD "), head=data[:HEAD_START_BYTES])
            return data[size:]
        return self._begin(method, target, headers, host, framing, data[size:])

    def _take_more_head(self, data: bytes) -> bytes:
        """Add to an incomplete head; when it is complete, return it whole."""
        partial = self._partial
        assert partial is not None
        try:
            whole = partial.add(data)
        except RequestError as error:
            self._refuse(error, is_head=partial.is_head_request)
            return b""
        if whole is None:
            return b""
        self._partial = None
        self.intake = IDLE
        return whole

    # Bodies.

    def _expect_body(self, exchange: Exchange, framing: Framing, rest: bytes) -> bytes:
        """
        Set up what a head says beyond the usual; refuse a body that is too large.

        A body that came with its head is taken here; return what is left of `rest`.
        """
        site = self.site
        exchange.is_plain = False
        if not framing.keep_alive:
            self.keep_alive = False
            self._is_last_request = True
        length = framing.content_length
        if length == 0:
            self.intake = HELD
            return rest
        size_max = site.body_bytes_max
        if length is not None and length <= len(rest) and (size_max is None or length <= size_max):
            self.intake = HELD
            exchange.expect_body(is_complete=True, expects_continue=False).body = rest[:length]
            self._came_whole(exchange, rest[length:])
            return rest[length:]
        self.intake = BODY
        try:
            self._body = IncomingBody(
                length,
                size_max=size_max,
                trailer_bytes_max=site.header_bytes_max,
                trailer_count_max=site.limits.header_count,
                now_s=site.now_s,
            )
        except RequestError as error:
            self._refuse(error)
            return rest
        exchange.expect_body(is_complete=False, expects_continue=framing.expects_continue)
        site.watch(self, site.body_look_s)
        return rest

    def _came_whole(self, exchange: Exchange, rest: bytes) -> None:
        """Judge anew, now that all of a request is there, whether its response can be as most are."""
        scope = exchange.scope
        exchange.is_plain = not (
            rest
            or not self.keep_alive
            or self._is_eof
            or self.is_write_blocked
            or self.site.is_draining
            or scope["http_version"] != "1.1"
            or scope["method"] == "HEAD"
        )

    def _take_body(self, data: bytes) -> bytes:
        """Hand on the piece of the body that `data` starts with; return what is left."""
        site = self.site
        body = self._body
        assert body is not None
        try:
            piece, rest = body.take(data)
        except RequestError as error:
            self._refuse(error)
            return b""
        if body.is_complete:
            self.intake = HELD
            self._body = None
        exchange = self.exchange
        if exchange is None or exchange.phase >= DONE:
            self._discarded_bytes += len(data) - len(rest)
            if body.is_complete:
                self._next()
            elif self._discarded_bytes > DISCARD_BYTES_MAX:
                self.linger()
            return rest
        body.heard_s = site.now_s  # The wheel comes by now and then, and looks at it.
        assert exchange.inbox is not None
        untaken = exchange.inbox.put(piece, is_last=body.is_complete)
        if body.is_complete:
            self._came_whole(exchange, rest)
        if untaken >= BODY_HIGH_WATER_BYTES and not body.is_complete:
            self._pause_reading()
        return rest

    def _hold(self, data: bytes) -> None:
        """Keep the bytes of a request whose turn has not come; read no more of them."""
        if self.exchange is not None:
            self.exchange.is_plain = False
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > PIPELINE_BYTES_MAX:
            self.abort()
        else:
            self._pause_reading()

    def _next(self) -> None:
        """Turn to the next request: one that waits, or the first byte of one to come."""
        if self.intake != HELD or self.is_write_blocked or not self._is_answered():
            return  # Came too late: scheduled, and something else came first.
        data, self._buffer = self._buffer, b""
        self.intake = IDLE
        site = self.site
        if not site.is_draining:
            self.deadline_s = site.idle_deadline_s
        elif self._leaves_after(data):
            return
        self._resume_reading()
        self._take(data)
        if self.intake == IDLE and self._is_eof:
            self.close()

    def _discard_body(self) -> None:
        """The app answered without reading all: read a little more, to keep the connection."""
        if self._is_body_long():
            self.linger()
            return
        self._discarded_bytes = 0
        self._resume_reading()
        self.site.watch(self, DISCARD_S)

    # What there is.

    def _is_answered(self) -> bool:
        return self.exchange is None or self.exchange.phase >= DONE

    def _is_body_long(self) -> bool:
        return self._body is not None and (self._body.left or 0) > DISCARD_BYTES_MAX

    def _expects_continue(self) -> bool:
        exchange = self.exchange
        return exchange is not None and exchange.inbox is not None and exchange.inbox.expects_continue
