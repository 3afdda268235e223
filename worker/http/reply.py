"""
Composes the head of any response, and frames its body.

Pure: what the app said goes in, bytes come out, or an exception that tells the
app what is wrong with it. The usual response does not come by here, see
`Exchange._answer`.
"""

from collections.abc import Iterable

from penstock.worker.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    DEFAULTED,
    ORDINARY,
    SERVER,
    content_length,
    judge_name,
    judge_value,
    judge_whole,
    meanings,
)
from penstock.worker.http.responses import NO_BODY, STATUS_LINES, WITHOUT_DATE, WITHOUT_SERVER, HeadStarts


class BodyFraming:
    """
    Puts the pieces of one response body on the wire.

    `left` is what the Content-Length still allows, None if there is none. A body
    that is neither counted nor chunked ends with the connection.
    """

    __slots__ = ("is_chunked", "is_silent", "left")

    # The body is complete, and what is to come after it is not.
    awaits_trailers = False

    def __init__(self, *, left: int | None = None, is_chunked: bool = False, is_silent: bool = False) -> None:
        self.left = left
        self.is_chunked = is_chunked
        # HEAD, 204 and 304: whatever the app sends, nothing is written.
        self.is_silent = is_silent

    @property
    def ends_with_connection(self) -> bool:
        """Tell whether only the end of the connection tells the client that it has all."""
        return self.left is None and not self.is_chunked and not self.is_silent

    def frame(self, piece: bytes, *, is_last: bool = False) -> bytes:
        """Return the bytes to write for a piece. Raises RuntimeError if it does not fit."""
        if self.is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            return chunk + b"0\r\n\r\n" if is_last else chunk
        if self.is_silent:
            return b""
        if self.left is not None:
            if len(piece) > self.left:
                raise RuntimeError("the response is longer than its Content-Length")
            if is_last and len(piece) < self.left:
                raise RuntimeError("the response is shorter than its Content-Length")
            self.left -= len(piece)
        return piece

    def around(self, size: int, *, is_last: bool) -> tuple[bytes, bytes]:
        """
        Return what comes before and after a piece of this size that is written elsewhere.

        Raises RuntimeError if it does not fit. A silent body has nothing of it, nor the piece.
        """
        if self.is_silent:
            return b"", b""
        if self.is_chunked:
            end = b"0\r\n\r\n" if is_last else b""
            return (b"%x\r\n" % size, b"\r\n" + end) if size else (b"", end)
        if self.left is not None:
            if size > self.left:
                raise RuntimeError("the response is longer than its Content-Length")
            if is_last and size < self.left:
                raise RuntimeError("the response is shorter than its Content-Length")
            self.left -= size
        return b"", b""


class TrailedFraming(BodyFraming):
    """Puts the pieces of a chunked body on the wire that trailers are to follow."""

    __slots__ = ("awaits_trailers", "trailers")

    def __init__(self) -> None:
        super().__init__(is_chunked=True)
        self.awaits_trailers = False
        self.trailers = b""

    def frame(self, piece: bytes, *, is_last: bool = False) -> bytes:
        """Return the bytes to write for a piece; the end comes with the trailers."""
        if self.awaits_trailers:
            raise RuntimeError("the body of the response is complete, and its trailers are awaited")
        self.awaits_trailers = is_last
        return super().frame(piece)

    def end(self) -> bytes:
        """Return the end of the response."""
        return b"0\r\n" + self.trailers + b"\r\n"


class Reply:
    """
    What an app said of its response before the body, judged.

    `must_close` is set by the app's own word, or by us before `head` is asked
    for: the head says so.
    """

    __slots__ = (
        "_declared",
        "_fields",
        "_is_http10",
        "_named",
        "_omitted",
        "_status",
        "framing",
        "must_close",
    )

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        method: str,
        http_version: str,
        whole_size: int | None,
    ) -> None:
        """
        Judge a response. `whole_size` is the size of a body that comes in one
        piece. Raises ValueError, TypeError or RuntimeError on what is wrong.
        """
        if status not in STATUS_LINES:
            raise RuntimeError(f"a response's status is 200 to 599, not {status!r}")
        self._status = status
        self._is_http10 = http_version == "1.0"
        self._fields: list[bytes] = []
        self._omitted = 0
        self._named: tuple[bytes, ...] = ()  # default headers that the app has set, in lower case
        self._declared: bytes | None = None
        self.must_close = False
        for name, value in headers:
            self._take(name, value)
        self.framing = self._frame(method, whole_size)

    def head(self, starts: HeadStarts) -> bytes:
        """Return the head, with the empty line."""
        if self._omitted or self._named:
            parts = [starts.without(self._status, self._omitted, self._named), *self._fields]
        else:
            parts = [starts.every[self._status], *self._fields]
        if self.must_close:
            parts.append(b"connection: close\r\n")
        elif self._is_http10:
            parts.append(b"connection: keep-alive\r\n")
        if self.framing.is_chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        elif self._declared is not None:
            parts += (b"content-length: ", self._declared, b"\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _take(self, name: bytes, value: bytes) -> None:
        meaning = meanings.get(name)
        if meaning is None:
            meaning = judge_name(name)
        judge_value(value)
        if meaning <= DATE:
            self._fields += (name, b": ", value, b"\r\n")
            if meaning == DEFAULTED:
                self._named = (*self._named, name.lower())
            elif meaning != ORDINARY:
                self._omitted |= WITHOUT_SERVER if meaning == SERVER else WITHOUT_DATE
        elif meaning == CONTENT_LENGTH:
            if self._declared is not None and self._declared != value:
                raise RuntimeError("the response has two different Content-Lengths")
            self._declared = value
        elif meaning == CONNECTION and b"close" in value.lower():
            self.must_close = True
        elif self._status == 426 and name.lower() == b"upgrade":
            # It is for the client to do (RFC 9110, 15.5.22).
            self._fields += (b"upgrade: ", value, b"\r\nconnection: upgrade\r\n")
        # Framing, and what concerns this hop only, is the server's business.

    def _frame(self, method: str, whole_size: int | None) -> BodyFraming:
        declared = self._declared
        if self._status in NO_BODY or method == "HEAD":
            if self._status == 204:
                self._declared = None
            elif declared is not None:
                content_length(declared)  # what GET would have had
            elif whole_size and method == "HEAD":
                self._declared = b"%d" % whole_size
            return BodyFraming(is_silent=True)
        if whole_size is not None:
            self._declared = b"%d" % whole_size
            if declared is not None and declared != self._declared:
                judge_whole(declared, whole_size)
            return BodyFraming(left=whole_size)
        if declared is not None:
            return BodyFraming(left=content_length(declared))
        if self._is_http10:
            self.must_close = True
            return BodyFraming()
        return BodyFraming(is_chunked=True)
