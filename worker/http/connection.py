"""
One client connection: cuts what arrives into requests, one at a time.

The next request is not looked at until the one before is answered: what came
with it waits as bytes, and reading stops. So answers are in order by
construction, a bad request cannot overtake a good one before it, and what a
client can queue is bounded in bytes.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.worker.http.body import IncomingBody
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.head import METHODS, Framing, Headers, RequestError
from penstock.worker.http.outlet import Outlet
from penstock.worker.http.partial import END_OF_HEAD, PartialHead, judge_oversize
from penstock.worker.http.phases import BODY, CLOSING, DONE, HEAD, HELD, IDLE, LINGER, STREAMING
from penstock.worker.http.responses import CONTINUE, refusal
from penstock.worker.http.routing import Miss
from penstock.worker.http.target import split_target
from penstock.worker.http.tasks import TASK_NAME, Task
from penstock.worker.limits import BODY_HIGH_WATER_BYTES, DISCARD_BYTES_MAX, DISCARD_S, PIPELINE_BYTES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.site import Site

LAST_FOUR = slice(-4, None)  # made once, not for every request
FIRST_TEN = slice(10)
LF = 10


class Connection(Outlet):
    """
    Reads requests for a site. Made by `Site.connect`.
    """

    __slots__ = ("_body", "_buffer", "_client", "_is_last_request", "_partial", "_server", "exchange")

    def __init__(self, site: "Site") -> None:
        super().__init__(site)
        # As long as its app runs, also after the response, until a later one begins.
        self.exchange: Exchange | None = None
        # HEAD: what there is of it. BODY: what it is cut by. HELD: the bytes of later requests.
        self._partial: PartialHead | None = None
        self._body: IncomingBody | None = None
        self._buffer = b""
        # The client said that it closes after this one.
        self._is_last_request = False
        # Looked up with the first request, so the latter tells whether there was one.
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int | None] | None = None

    # For the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]
        self.site.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell the app, if it still runs, and be forgotten."""
        self.intake = CLOSING
        self._buffer = b""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.disconnected()
            self.site.detach(exchange)
        self._wake_writers()
        self.site.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes. Nearly always they are one whole request without a body."""
        site = self.site
        size = len(data)
        site.received_bytes += size
        if self.intake == IDLE and data[LAST_FOUR] == END_OF_HEAD and size <= site.header_bytes_max:
            try:
                token, target, rest = data.split(b" ", 2)
                method = METHODS[token]
            except (ValueError, KeyError):
                self._take(data)
                return
            # llhttp would take "GET /a\r\nb: HTTP/1.1" for an HTTP/0.9 request. (An int
            # is found in bytes ten times as fast as bytes.)
            if rest[FIRST_TEN] == b"HTTP/1.1\r\n" and LF not in target:
                head_parser = site.head_parser
                headers = head_parser.scan(data)
                if headers is not None:
                    self._begin(method, target, headers, head_parser.host)
                    return
        self._take(data)

    def eof_received(self) -> bool:
        """
        The client will send no more. It may still read: a request that came
        whole is answered; its app sees the disconnect, but in `receive` only.
        """
        self._is_eof = True
        if self.intake == IDLE or self.intake >= LINGER or self.site.is_tls:
            return False
        if self.intake != HELD:
            self._refuse(RequestError(HTTPStatus.BAD_REQUEST, "incomplete request"))
        elif self.exchange is not None and self.exchange.phase < DONE:
            self.exchange.half_closed()
        return True

    def pause_writing(self) -> None:
        """The client takes less than we send."""
        if self.exchange is not None:
            self.exchange.is_plain = False
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on sending, and with what had to wait for it."""
        super().resume_writing()
        if self.intake == HELD and self._is_answered():
            self._next()

    # Reading heads.

    def _take(self, data: bytes) -> None:
        """Take bytes by what the first of them is, until all are used or wait."""
        while data:
            intake = self.intake
            if intake == IDLE:
                data = data.lstrip(b"\r\n")
                if data:
                    data = self._take_head(data)
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
            self._refuse(error, is_head=data.startswith(b"HEAD "))
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

    def _begin(  # noqa: PLR0917, keywords would cost on every request
        self,
        method: str,
        target: bytes,
        headers: Headers,
        host: bytes | None,
        framing: Framing | None = None,
        rest: bytes = b"",
    ) -> bytes:
        """Start a request whose head is complete; return what is left of what comes after it."""
        site = self.site
        if self.exchange is not None:
            site.detach(self.exchange)
        if self._server is None:
            self._client, self._server = site.names_of(self.transport)
        path = target.decode()  # llhttp lets ASCII through only
        if path[0] == "/" and not ("?" in path or "%" in path or "#" in path):
            raw_path, query = target, b""
        else:
            try:
                path, raw_path, query = split_target(target, method, host)
            except RequestError as error:
                self._refuse(error, is_head=method == "HEAD")
                return rest
        route = site.only_route
        if route is None:
            found = site.router.find(method, host, path)
            route = site.missed(found) if isinstance(found, Miss) else found
        if site.root_path:
            path, raw_path = site.under_root_path(path, raw_path)
        scope = {
            "type": "http",
            "asgi": site.asgi,
            "http_version": "1.1",
            "server": self._server,
            "client": self._client,
            "scheme": site.scheme,
            "method": method,
            "root_path": site.root_path,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }
        self.exchange = exchange = Exchange(self, route.meter, scope)
        if framing is None:
            self.intake = HELD
            if method == "HEAD" or site.is_draining:
                exchange.is_plain = False
        else:
            scope["http_version"] = framing.http_version
            self._expect_body(exchange, framing)
            if rest and self.intake == BODY:
                rest = self._take_body(rest)
            if self.intake > HELD:
                self.exchange = None  # It was refused, so there is no app to wait for.
                return rest
        if rest:
            # Before the app runs: a response must know whether it is the last.
            self._hold(rest)
        if route.app is None:
            exchange.respond(route.status, route.headers, route.body)
            self.exchange = None
            return b""
        if route.state:
            scope["state"] = route.state.copy()
        exchange.task = Task(
            exchange.run(route.app, scope), loop=site.loop, name=TASK_NAME, context=route.context.copy()
        )
        return b""

    # Reading bodies.

    def _expect_body(self, exchange: Exchange, framing: Framing) -> None:
        """Set up what a head says beyond the usual; refuse a body that is too large."""
        site = self.site
        exchange.is_plain = False
        if not framing.keep_alive:
            self.keep_alive = False
            self._is_last_request = True
        if framing.content_length == 0:
            self.intake = HELD
            return
        self.intake = BODY
        try:
            self._body = IncomingBody(
                framing.content_length, size_max=site.body_bytes_max, trailer_bytes_max=site.header_bytes_max
            )
        except RequestError as error:
            self._refuse(error)
            return
        exchange.expect_body(is_complete=False, expects_continue=framing.expects_continue)
        site.watch(self, site.limits.body_timeout_s)

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
        self.deadline_s = site.now_s + site.limits.body_timeout_s
        assert exchange.inbox is not None
        untaken = exchange.inbox.put(piece, is_last=body.is_complete)
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
        if site.is_draining:
            site.watch(self, site.idle_grace_s)
        else:
            self.deadline_s = site.idle_deadline_s
        self._resume_reading()
        self._take(data)
        if self.intake == IDLE and self._is_eof:
            self.close()

    # For the site.

    @property
    def is_active(self) -> bool:
        """Tell whether a request is being read or answered."""
        return self.intake != IDLE or self.exchange is not None

    def begin_drain(self) -> None:
        """Wait less for a next request; for a first one, as long as before."""
        if self.exchange is not None:
            self.exchange.is_plain = False
        if self.intake == IDLE and self._server is not None:
            self.site.watch(self, self.site.idle_grace_s)

    # For the exchange.

    def responded(self) -> None:
        """Go on after the last byte of a response was written."""
        site = self.site
        if not self.keep_alive:
            if self._is_eof or (self._is_last_request and self.intake == HELD and not self._buffer):
                self.close()
            else:
                self.linger()
        elif self.intake == BODY:
            self._discard_body()
        elif self._buffer:
            # By way of the loop: a pipeline of thousands must not starve the others.
            site.loop.call_soon(self._next)
        elif self.is_write_blocked or self._is_eof or site.is_draining:
            self._next()
        else:
            self.intake = IDLE
            # Later than the one before, so the wheel need not be told.
            self.deadline_s = site.idle_deadline_s

    def must_close(self, *, is_last: bool) -> bool:
        """
        Tell whether the connection has to end after the response that begins.

        `is_last`: all of the response is there, so the app will not read on.
        """
        if self.site.is_draining and END_OF_HEAD not in self._buffer:
            return True
        if self.intake != BODY:
            return False
        # A client that was not told to go on may send the body or not (RFC 9110, 10.1.1).
        return self._expects_continue() or (is_last and self._is_body_long())

    def send_continue(self) -> None:
        """Ask the client for the body that it holds back."""
        site = self.site
        self.deadline_s = site.now_s + site.limits.body_timeout_s
        site.sent_bytes += len(CONTINUE)
        self.transport.write(CONTINUE)

    def body_taken(self) -> None:
        """Read on, if it was the app that was slow."""
        if self._is_reading_paused and self.intake == BODY:
            self.deadline_s = self.site.now_s + self.site.limits.body_timeout_s
            self._resume_reading()

    # Ending.

    def expire(self, now_s: float) -> None:
        """Act on the deadline of whatever the connection is waiting for."""
        if self._watch_output():
            return
        site = self.site
        intake = self.intake
        if intake == HEAD:
            self._refuse(RequestError(HTTPStatus.REQUEST_TIMEOUT, "request not complete in time"))
        elif intake == HELD:
            # The app is at work. When it is done, its deadline will not be earlier.
            site.watch(self, site.limits.keep_alive_s)
        elif intake == BODY and not self._is_answered():
            if self._is_reading_paused or self._expects_continue():
                site.watch(self, site.limits.body_timeout_s)  # It is the app that is slow.
            else:
                self._refuse(RequestError(HTTPStatus.REQUEST_TIMEOUT, "body not complete in time"))
        elif intake == BODY:
            self.linger()
        elif intake == CLOSING:
            self.abort()
        else:
            self.close()

    def _refuse(self, error: RequestError, *, is_head: bool = False) -> None:
        """Answer what the client did wrong, and end the connection."""
        site = self.site
        exchange = self.exchange
        if self.intake != BODY:
            site.unmatched.count(error.status, 0)
        elif exchange is None or exchange.phase >= DONE:
            self.linger()  # It has its answer, and did not keep to the rest of the body.
            return
        elif exchange.phase == STREAMING:
            exchange.cut()
            return
        else:
            is_head = exchange.scope["method"] == "HEAD"
            exchange.refused(error.status)
        output = refusal(site.head_starts[error.status], error.status, error.reason, is_head=is_head)
        site.sent_bytes += len(output)
        self.transport.write(output)
        self.linger()

    def _is_answered(self) -> bool:
        return self.exchange is None or self.exchange.phase >= DONE

    def _is_body_long(self) -> bool:
        return self._body is not None and (self._body.left or 0) > DISCARD_BYTES_MAX

    def _expects_continue(self) -> bool:
        exchange = self.exchange
        return exchange is not None and exchange.inbox is not None and exchange.inbox.expects_continue

    def _discard_body(self) -> None:
        """The app answered without reading all: read a little more, to keep the connection."""
        if self._is_body_long():
            self.linger()
            return
        self._discarded_bytes = 0
        self._resume_reading()
        self.site.watch(self, DISCARD_S)
