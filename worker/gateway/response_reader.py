"""
Reads responses of an upstream server: bytes in, one response at a time out.

Knows no socket. llhttp (through httptools) checks the syntax; what it lets
through and a gateway must not is refused here. A response is believed only as
far as it has come: who reads sees its head, the pieces of its body, and whether
that was all.
"""

from collections.abc import Collection

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from penstock.worker.gateway.request_head import members
from penstock.worker.limits import UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_HEADERS_MAX, UPSTREAM_INTERIMS_MAX

Headers = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The upstream server broke the protocol. Says how, for the log."""


class ResponseReader:
    """
    Cuts responses out of what one connection brings.

    After `feed`: `is_head_complete`, then `status` and `headers` hold; `pieces`
    has what came of the body since the last `take`; `is_complete` says that
    there is no more of it; `interims` has heads of class 1xx that came before, and
    `trailers` headers that came after the body.

    Where `protocols` were asked for, the server may switch to one: then
    `has_switched`, `headers` hold, and `surplus` is in the other protocol.
    """

    __slots__ = (
        "_awaits_head_only",
        "_bare_bytes",
        "_framed",
        "_head_bytes",
        "_interim_count",
        "_parser",
        "content_length",
        "has_switched",
        "headers",
        "interims",
        "is_complete",
        "is_head_complete",
        "is_spoilt",
        "keep_alive",
        "left",
        "pieces",
        "protocols",
        "status",
        "surplus",
        "trailers",
        "version",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._awaits_head_only = False
        # No second response may come along before it is asked for.
        self.is_spoilt = False
        self.pieces: list[bytes] = []
        self.trailers: Headers = []
        self.version = "1.1"
        # What came since the last piece of a body, and is none.
        self._bare_bytes = 0
        self.protocols: Collection[bytes] = ()
        self.has_switched = False
        self.surplus = b""
        self.expect("GET")

    def expect(self, method: str) -> None:
        """Make ready for the response to a request that was sent."""
        self._awaits_head_only = method == "HEAD"
        self._head_bytes = 0
        self._interim_count = 0
        self.status = 0
        self.headers: Headers = []
        self.interims: list[tuple[int, Headers]] = []
        self.is_head_complete = False
        self.is_complete = False
        self.keep_alive = False
        # None: chunked, or it goes on until the connection ends.
        self.content_length: int | None = None
        # Of a body whose length is known, since its head was read.
        self.left = 0
        self._framed = False

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises UpstreamError for what is no response to the request."""
        if self.left:
            self._count(data)
            return
        was_head_complete = self.is_head_complete
        if not was_head_complete:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self.has_switched:
                raise UpstreamError("it switched protocols unasked") from None
            self.surplus = data[upgrade.args[0] :]
            return
        except HttpParserError as error:
            if self.is_complete:
                self.is_spoilt = True  # What comes behind a whole response takes nothing from it.
                return
            cause = error.__context__
            if isinstance(cause, UpstreamError):
                raise cause from None
            raise UpstreamError(str(error).lower() or "it is no HTTP response") from None
        if not was_head_complete and self.content_length is not None and not self.is_complete:
            self.left = self.content_length - sum(map(len, self.pieces))
        if not self.is_head_complete:
            if self._head_bytes > UPSTREAM_HEAD_BYTES_MAX:
                raise UpstreamError("its header is too large")
        elif not self.pieces and not self.is_complete:
            # Extensions of chunks and trailers. The parser keeps the latter until they are whole.
            self._bare_bytes += len(data) if was_head_complete else len(data) - data.find(b"\r\n\r\n") - 4
            if self._bare_bytes > UPSTREAM_HEAD_BYTES_MAX:
                raise UpstreamError("its chunks or trailers are too large")

    def skip(self) -> None:
        """Say that somebody else has read the rest of the body."""
        self.left = 0
        self.is_complete = True
        self._parser = HttpResponseParser(self)

    @property
    def has_interims(self) -> bool:
        """Tell whether interim responses came before this one."""
        return self._interim_count > 0

    @property
    def has_begun(self) -> bool:
        """Tell whether any byte of the response has come."""
        return self._head_bytes > 0

    def take(self) -> bytes:
        """Return what came of the body since the last time."""
        pieces, self.pieces = self.pieces, []
        if pieces:
            self._bare_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> bool:
        """Say that the connection has ended; return whether the response was complete with that."""
        if self.is_head_complete and not self.is_complete and not self._framed:
            self.is_complete = True
        return self.is_complete

    # For llhttp.

    def on_message_begin(self) -> None:
        """Begin a message: the response, or one that nobody asked for."""
        if self.is_complete:
            self.is_spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        if value and value[-1] <= 32:
            value = value.rstrip(b" \t")
        if not self.is_head_complete:
            self.headers.append((name, value))
            if len(self.headers) > UPSTREAM_HEADERS_MAX:
                raise UpstreamError("it sends too many headers")
        elif not self.is_complete:
            self.trailers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at a head."""
        if self.is_complete:
            return
        parser = self._parser
        status = parser.get_status_code()
        self.version = version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise UpstreamError("it speaks another version of HTTP")
        if self._head_bytes > UPSTREAM_HEAD_BYTES_MAX:
            self._judge_size()
        if status < 200:
            if status == 101:
                self._judge_switch(version)
                self.has_switched = True
                return
            self._interim_count += 1
            if self._interim_count > UPSTREAM_INTERIMS_MAX:
                raise UpstreamError("it sends interim responses without end")
            if status >= 100:
                self._judge_interim()
                return
        if not 200 <= status <= 599:
            raise UpstreamError(f"its status is {status}")
        self.status = status
        self.is_head_complete = True
        self.trailers = []
        self._bare_bytes = 0
        self.keep_alive = parser.should_keep_alive() and version == "1.1"
        self._judge_framing(version)
        if self._awaits_head_only:
            # llhttp cannot be told, and would wait for the body that the head tells of.
            self.is_complete = True
            self._parser = HttpResponseParser(self)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self.is_complete:
            self.is_spoilt = True
        else:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """End a message."""
        if self.is_head_complete:
            self.is_complete = True
        elif not self.has_switched:
            self.interims.append((self._parser.get_status_code(), self.headers))
            self.headers = []

    def _judge_size(self) -> None:
        # More has come than a head may be: perhaps of the body.
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > UPSTREAM_HEAD_BYTES_MAX:
            raise UpstreamError("its header is too large")

    def _judge_interim(self) -> None:
        # llhttp would take what follows some of them for their body, and others have none (RFC 9110, 15.2).
        if any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self.headers):
            raise UpstreamError("its interim response tells of a body")

    def _judge_switch(self, version: str) -> None:
        named = members(value for name, value in self.headers if name.lower() == b"upgrade")
        options = members(value for name, value in self.headers if name.lower() == b"connection")
        if version != "1.1" or not self.protocols or b"upgrade" not in options or not named:
            raise UpstreamError("it switched protocols unasked")
        if not named <= frozenset(self.protocols):
            raise UpstreamError("it switched to a protocol that nobody asked for")

    def _count(self, data: bytes) -> None:
        """Take a piece of a body whose length is known: it need not go through the parser."""
        left = self.left
        if len(data) < left:
            self.left = left - len(data)
            self.pieces.append(data)
            return
        if len(data) > left:
            self.is_spoilt = True
            data = data[:left]
        self.pieces.append(data)
        self.skip()

    def _judge_framing(self, version: str) -> None:
        length: int | None = None
        is_chunked = False
        for name, value in self.headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                length = int(value)  # llhttp has judged it, and that there is one
            elif size == 17 and name.lower() == b"transfer-encoding":
                if value.lower() != b"chunked" or is_chunked or version == "1.0":
                    raise UpstreamError("its transfer coding is not known here")
                is_chunked = True
        if self.status in (204, 304):
            self._framed = True
        elif is_chunked:
            self._framed = True
            length = None
        elif length is not None:
            self._framed = True
        self.content_length = length
