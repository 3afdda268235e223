"""
Takes the chunked coding off a body (RFC 9112, section 7.1), bytes in, bytes out.

Our own and not llhttp's, because httptools cannot say where in its input a
message ended, and what follows belongs to the next request. Strict: CRLF only,
no sign, space or prefix at a size, and the last CRLF is required. Trailers are
bounded and thrown away: a header that comes after the app was called can only
contradict those it was called with.
"""

import re
from http import HTTPStatus

from penstock.worker.http.head import RequestError
from penstock.worker.limits import CHUNK_DIGITS_MAX, CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# Blanks are bad style, but to be taken (RFC 9112, section 7.1.1). Not between a size and what follows it,
# though the same section has them there as well: too many have read too much into "5 ".
_EXTENSION = rb";[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,%d})((?:%b)*)" % (CHUNK_DIGITS_MAX, _EXTENSION))
# What may become one.
_SIZE_START = re.compile(rb"[0-9A-Fa-f]{1,%d}(?:;[\t\x20-\x7e\x80-\xff]*)?" % CHUNK_DIGITS_MAX)
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")

# Where in the coding the next byte is.
_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedDecoder:
    """
    Decodes one body. Feed it until it is done; then it holds what came after.
    """

    __slots__ = (
        "_buffer",
        "_excess",
        "_left",
        "_size_left",
        "_state",
        "_trailer_bytes_left",
        "_trailer_count_left",
    )

    def __init__(
        self, trailer_bytes_max: int, *, trailer_count_max: int = 100, size_max: int | None = None
    ) -> None:
        self._state = _SIZE
        self._size_left = size_max
        # By how much extensions were longer than their chunks.
        self._excess = 0
        self._trailer_count_left = trailer_count_max
        self._left = 0
        # An incomplete line, never more than its bound and one read.
        self._buffer = b""
        self._trailer_bytes_left = trailer_bytes_max

    @property
    def is_done(self) -> bool:
        """Tell whether the whole body was seen, with its trailers."""
        return self._state == _DONE

    @property
    def surplus(self) -> bytes:
        """Return the bytes after the body; meaningful once it is done."""
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`, or raise RequestError."""
        if self._buffer:
            data = self._buffer + data
        pieces: list[bytes] = []
        at = 0
        state = self._state
        while at < len(data):
            if state == _DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                state = _DATA_END
            elif state == _DATA_END:
                if len(data) - at < 2:
                    if data[at] != 0x0D:
                        raise RequestError(HTTPStatus.BAD_REQUEST, "chunk not closed")
                    break
                if data[at : at + 2] != b"\r\n":
                    raise RequestError(HTTPStatus.BAD_REQUEST, "chunk not closed")
                at += 2
                state = _SIZE
            elif state == _DONE:
                break
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._judge_incomplete(state, data[at:])
                    break
                line = data[at:line_end]
                at = line_end + 2
                state = self._size(line) if state == _SIZE else self._trailer(line)
        self._buffer = data[at:]
        self._state = state
        return b"".join(pieces)

    def _size(self, line: bytes) -> int:
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(line) > CHUNK_LINE_BYTES_MAX:
            raise RequestError(HTTPStatus.BAD_REQUEST, "invalid chunk size")
        self._left = size = int(match[1], 16)
        if self._size_left is not None:
            # By what it says, not by what comes: so it does not matter in which pieces that is.
            self._size_left -= size
            if self._size_left < 0:
                raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large")
        if match[2]:
            self._excess = max(0, self._excess + len(line) - size)
            if self._excess > CHUNK_EXTENSION_BYTES_MAX:
                raise RequestError(HTTPStatus.BAD_REQUEST, "too many chunk extensions")
        return _DATA if size else _TRAILER

    def _trailer(self, line: bytes) -> int:
        if not line:
            return _DONE
        self._trailer_bytes_left -= len(line) + 2
        if self._trailer_bytes_left < 0:
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "trailers too large")
        self._trailer_count_left -= 1
        if self._trailer_count_left < 0:
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many trailers")
        if _TRAILER_LINE.fullmatch(line) is None:
            raise RequestError(HTTPStatus.BAD_REQUEST, "invalid trailer")
        return _TRAILER

    def _judge_incomplete(self, state: int, line: bytes) -> None:
        if b"\n" in line:
            raise RequestError(HTTPStatus.BAD_REQUEST, "bare newline")
        if state == _SIZE:
            line = line.removesuffix(b"\r")
            if _SIZE_START.fullmatch(line) is None or len(line) > CHUNK_LINE_BYTES_MAX:
                raise RequestError(HTTPStatus.BAD_REQUEST, "invalid chunk size")
        elif len(line.removesuffix(b"\r")) + 2 > self._trailer_bytes_left and line != b"\r":
            raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "trailers too large")
