"""
One client connection: what the loop, the site and an exchange ask of it.

How requests are cut out of what arrives is in `intake`, how responses leave and
connections end in `outlet`, for how long a connection is kept in `keeping`.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from penstock.shm.board import method_tag
from penstock.worker.asgi.types import Scope
from penstock.worker.http.blocks import Framing, Memo, Said, is_judged
from penstock.worker.http.head import METHODS, Headers, RequestError
from penstock.worker.http.keeping import Keeping
from penstock.worker.http.partial import END_OF_HEAD
from penstock.worker.http.phases import BODY, CLOSING, DONE, HELD, IDLE, LINGER, STREAMING
from penstock.worker.http.raw_paths import DOT_SEGMENT, has_dot_segment
from penstock.worker.http.responses import CONTINUE, TEXT_HEADERS, error_text, refusal
from penstock.worker.http.routing import Miss
from penstock.worker.http.target import reduce_target, split_target
from penstock.worker.http.tasks import IS_EAGER, TASK_NAME, Task

if TYPE_CHECKING:
    from penstock.worker.http.site import Site

LAST_FOUR = slice(-4, None)  # made once, not for every request
FIRST_TEN = slice(10)
LF = 10
# A record of a handshake, of any version of TLS.
TLS_HELLO = b"\x16\x03"
# The client's and the server's address as a scope has them.
Names = tuple[tuple[str, int] | None, tuple[str, int | None]]
SLASH = 47
DOT_SEGMENT_TEXT = error_text(400, DOT_SEGMENT)
METHOD_TAGS = {method: method_tag(method) for method in METHODS.values()}


class Connection(Keeping):
    """
    Serves one client of a site. Made by `Site.connect`.
    """

    __slots__ = ("_is_proxy", "_is_resumed", "peer")

    def __init__(self, site: "Site", *, is_resumed: bool = False) -> None:
        super().__init__(site)
        # It was idle and parked, here or in another worker.
        self._is_resumed = is_resumed
        # Looked up with the first request.
        self.peer: tuple[str, int] | None = None
        # Whether what it says of others is believed; None until it says something.
        self._is_proxy: bool | None = None

    # For the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]
        self.site.opened(self, is_resumed=self._is_resumed)
        if self._is_resumed:
            self.peer, self._server = self.names()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell the app, if it still runs, and be forgotten."""
        self.intake = CLOSING
        self._buffer = b""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.disconnected()
            if exchange.is_running:
                self.site.detach(exchange)
        self._wake_writers()
        if self.pour is not None:
            self.pour.lost()
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
            head_parser = site.head_parser
            blocks = head_parser.blocks
            if size <= blocks.bytes_max and rest in blocks.known and is_judged(target):
                blocks.misses = 0
                headers, host, framing, memo = blocks.known[rest]
                self._begin(method, target, headers.copy(), host, framing, b"", memo)
                return
            # llhttp would take "GET /a\r\nb: HTTP/1.1" for an HTTP/0.9 request. (An int
            # is found in bytes ten times as fast as bytes.)
            if rest[FIRST_TEN] == b"HTTP/1.1\r\n" and LF not in target:
                scanned = head_parser.scan(data)
                if scanned is not None:
                    blocks.saw(rest, (scanned, head_parser.host, None))
                    self._begin(method, target, scanned, head_parser.host)
                    return
                if head_parser.forwarded is not None:
                    block, head_parser.forwarded = head_parser.forwarded, None
                    blocks.saw(rest, block)
                    self._begin(method, target, *block)
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

    # Requests.

    def names(self) -> Names:
        """Give the client's and the server's address as a scope has them."""
        return self.site.names_of(self.transport)

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
        site = self.site
        if self.exchange is not None:
            site.detach(self.exchange)
            self.exchange = None
        if self._server is None:
            self.peer, self._server = self.names()
        route = site.only_route
        path = target.decode()  # llhttp lets ASCII through only
        if path[0] == "/" and not ("?" in path or "%" in path or "#" in path):
            raw_path, query = target, b""
        else:
            try:
                if path[0] != "/":
                    target, host = reduce_target(target, method, host, headers, is_tls=site.is_tls)
                path, raw_path, query = split_target(target)
                if path[:1] != "/" and site.dispatch is None:
                    route = site.router.only
            except RequestError as error:
                self._refuse(
                    error, is_head=method == "HEAD", head=b"%b %b HTTP/1.1" % (method.encode(), target)
                )
                return rest
        if route is None:
            found = site.router.find(method, host, path)
            route = site.missed(found) if isinstance(found, Miss) else found
        if site.root_path:
            path, raw_path = site.under_root_path(path, raw_path)
        # A dict is copied in a third of the time that it takes to build it.
        scope = site.scope.copy()
        scope["server"] = self._server
        scope["client"] = self.peer
        scope["method"] = method
        scope["path"] = path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = headers
        context = route.context
        if context is not None:
            # Somebody else's code will see it.
            context = context.copy()
            scope["extensions"] = site.extensions.copy()
        if framing is not None and framing.said is not None:
            framing = self._believe(framing.said, scope)
        if framing is None:
            exchange = route.exchange(self, route.meter, scope)
        else:
            scope["http_version"] = framing.http_version
            make = route.switching(framing.protocols, method) if framing.protocols else route.exchange
            exchange = make(self, route.meter, scope)
        self.exchange = exchange
        if site.openings:
            for opening in site.openings:
                opening(exchange, context)
        if framing is None:
            self.intake = HELD
            if method == "HEAD" or site.is_draining:
                exchange.is_plain = False
        else:
            rest = self._expect_body(exchange, framing, rest)
            if rest and self.intake == BODY:
                rest = self._take_body(rest)
            if self.intake > HELD:
                self.exchange = None  # It was refused, so there is no app to wait for.
                return rest
        if rest:
            # Before the app runs: a response must know whether it is the last.
            self._hold(rest)
        if route.app is None:
            if route.is_here:
                exchange.answer(route)
                if exchange.phase >= DONE:
                    self.exchange = None
                return b""
            if route.upstream is not None:
                tag = route.tag | METHOD_TAGS[method]
                exchange.entry = site.board.begin(tag, exchange.started_ns, raw_path)
                if target[0] != SLASH:
                    target = raw_path + b"?" + query if query else raw_path
                if has_dot_segment(exchange.scope["path"]):
                    # The route was chosen by the path as it is, and servers may make another of it.
                    exchange.is_plain = False
                    exchange.respond(400, TEXT_HEADERS, DOT_SEGMENT_TEXT)
                    return b""
                exchange.forward(route.upstream, target, memo)  # type: ignore[attr-defined]  # it is a Passage
                return b""
            assert route.bridge is not None
            assert context is not None
            exchange.entry = site.board.begin(route.tag | METHOD_TAGS[method], exchange.started_ns, raw_path)
            route.bridge.take(exchange, context)
            return b""
        exchange.entry = site.board.begin(route.tag | METHOD_TAGS[method], exchange.started_ns, raw_path)
        if route.state:
            scope["state"] = route.state.copy()
        run = exchange.run(route.app, scope)
        if IS_EAGER:
            exchange.task = Task(run, loop=site.loop, name=TASK_NAME, context=context, eager_start=True)
        else:
            exchange.task = Task(run, loop=site.loop, name=TASK_NAME, context=context)
        return b""

    def scope_of(self, method: str, target: bytes, headers: Headers) -> Scope:
        """Make the scope of a request without a body whose target is an absolute path, as `_begin` does."""
        site = self.site
        path, raw_path, query = split_target(target)
        if site.root_path:
            path, raw_path = site.under_root_path(path, raw_path)
        return {
            **site.scope,
            "server": self._server,
            "client": self.peer,
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }

    def _believe(self, said: Said, scope: Scope) -> Framing | None:
        """Put into the scope what a trusted proxy says; return what the head says beside that."""
        proxies = self.site.proxies
        assert proxies is not None
        if self._is_proxy is None:
            self._is_proxy = proxies.trusts(self.peer)
        if self._is_proxy:
            proxies.tell(said, scope)
        else:
            proxies.ignored(self.peer)
        return said[2]

    @property
    def is_from_proxy(self) -> bool:
        """Tell whether the peer is a trusted proxy."""
        if self._is_proxy is None:
            proxies = self.site.proxies
            self._is_proxy = proxies is not None and proxies.trusts(self.peer)
        return self._is_proxy

    # For the exchange.

    def surrender(self) -> bytes:
        """Be no more: another protocol has the transport. Return the bytes that are left for it."""
        rest, self._buffer = self._buffer, b""
        self.intake = CLOSING
        self.exchange = None
        return rest

    def send_continue(self) -> None:
        """Ask the client for the body that it holds back."""
        site = self.site
        if self._body is not None:
            self._body.wait_until(site.now_s)
        site.watch(self, site.body_look_s)
        site.sent_bytes += len(CONTINUE)
        self.transport.write(CONTINUE)

    def hold_body(self) -> None:
        """Read no more of the body before `body_taken`."""
        self._pause_reading()

    def body_taken(self) -> None:
        """Read on, if it was the app that was slow."""
        if self._is_reading_paused and self.intake == BODY:
            assert self._body is not None
            self._body.wait_until(self.site.now_s)
            self._resume_reading()

    def _refuse(self, error: RequestError, *, is_head: bool = False, head: bytes = b"") -> None:
        """Answer what the client did wrong, and end the connection. `head` is what came of its request."""
        site = self.site
        exchange = self.exchange
        is_early = self.intake != BODY
        if is_early:
            site.unmatched.count(error.status, 0)
        elif exchange is None or exchange.phase >= DONE:
            self.linger()  # It has its answer, and did not keep to the rest of the body.
            return
        elif exchange.phase == STREAMING:
            exchange.cut()
            return
        else:
            is_head = exchange.scope["method"] == "HEAD"
        if self._partial is not None:
            head = self._partial.start
        if is_early and head[:2] == TLS_HELLO and not site.is_tls:
            site.complain("a client speaks TLS to a port for plain HTTP")
        start = site.head_starts[error.status]
        if not is_early and exchange is not None and exchange.notes is not None:
            start += b"".join(b"%b: %b\r\n" % pair for pair in exchange.notes.headers)
        output = refusal(start, error.status, error.reason, is_head=is_head)
        site.sent_bytes += len(output)
        if not is_early:
            assert exchange is not None
            exchange.refused(error.status, len(output))
        elif site.refusals:
            site.note_refusal(self.names()[0], head, error.status, len(output))
        self.transport.write(output)
        self.linger()


class TlsConnection(Connection):
    """
    One that begins with a handshake, and of which nobody hears if that fails: it is just not there
    any more. So it can be referred to weakly.
    """

    __slots__ = ("__weakref__", "tls_facts")

    def __init__(self, site: "Site") -> None:
        super().__init__(site)
        # What an app is told of it, since its first request.
        self.tls_facts: dict[str, Any] | None = None
