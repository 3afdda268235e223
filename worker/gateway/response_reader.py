"""
Reads responses of an upstream server: bytes in, one response at a time out.

Knows no socket. llhttp (through httptools) checks the syntax; what it lets
through and a gateway must not is refused here. A response is believed only as
far as it has come: who reads sees its head, the pieces of its body, and whether
that was all.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from penstock.worker.limits import UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_INTERIMS_MAX

Headers = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The upstream server broke the protocol. Says how, for the log."""


class ResponseReader:
    """
    Cuts responses out of what one connection brings.

    After `feed`: `is_head_complete`, then `status` and `headers` hold; `pieces`
    has what came of the body since the last `take`; `is_complete` says that
    there is no more of it; `interims` has heads of class 1xx that came before.
    """

    __slots__ = (
        "_awaits_head_only",
        "_framed",
        "_head_bytes",
        "_interim_count",
        "_parser",
        "content_length",
        "headers",
        "interims",
        "is_complete",
        "is_head_complete",
        "is_spoilt",
        "keep_alive",
        "pieces",
        "status",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._awaits_head_only = False
        # No second response may come along before it is asked for.
        self.is_spoilt = False
        self.pieces: list[bytes] = []
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
        self._framed = False

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises UpstreamError for what is no response to the request."""
        if not self.is_head_complete:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise UpstreamError("it switched protocols unasked") from None
        except HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, UpstreamError):
                raise cause from None
            raise UpstreamError(str(error).lower() or "it is no HTTP response") from None
        if not self.is_head_complete and self._head_bytes > UPSTREAM_HEAD_BYTES_MAX:
            raise UpstreamError("its header is too large")

    @property
    def has_begun(self) -> bool:
        """Tell whether any byte of the response has come."""
        return self._head_bytes > 0

    def take(self) -> bytes:
        """Return what came of the body since the last time."""
        pieces, self.pieces = self.pieces, []
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
        """Take a header, or a trailer, which is not passed on."""
        if not self.is_head_complete and not self.is_complete:
            if value and value[-1] <= 32:
                value = value.rstrip(b" \t")
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at a head."""
        if self.is_complete:
            return
        parser = self._parser
        status = parser.get_status_code()
        if parser.get_http_version() not in ("1.0", "1.1"):
            raise UpstreamError("it speaks another version of HTTP")
        if status < 200:
            if status == 101:
                raise UpstreamError("it switched protocols unasked")
            self._interim_count += 1
            if self._interim_count > UPSTREAM_INTERIMS_MAX:
                raise UpstreamError("it sends interim responses without end")
            return
        if status > 599:
            raise UpstreamError(f"its status is {status}")
        self.status = status
        self.is_head_complete = True
        self.keep_alive = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        self._judge_framing()
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
        elif not self.is_complete:
            self.interims.append((self._parser.get_status_code(), self.headers))
            self.headers = []

    def _judge_framing(self) -> None:
        length: int | None = None
        is_chunked = False
        for name, value in self.headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                length = int(value)  # llhttp has judged it, and that there is one
            elif size == 17 and name.lower() == b"transfer-encoding":
                if value.lower() != b"chunked" or is_chunked:
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
