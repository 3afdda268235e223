"""
A head that comes in pieces: put together within its limit, and refused as soon
as it cannot become valid, whatever follows.
"""

import re
from http import HTTPStatus

from penstock.worker.http.head import CR, RequestError, judge_request_line
from penstock.worker.http.notes import HEAD_START_BYTES

END_OF_HEAD = b"\r\n\r\n"

# How a request line may begin that is not complete yet.
_PARTIAL_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: (?:[\x21-\xff]+(?: [\x21-\x7e]*)?)?)?\r?")

# A request line is judged by its first bytes, and again at its end: a look at it
# for every byte of a long one would take quadratic time.
EARLY_BYTES = 32


class PartialHead:
    """
    Gathers a head until it is complete.
    """

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    @property
    def is_head_request(self) -> bool:
        """Tell whether the method is HEAD, whose responses have no body."""
        return self._buffer.startswith(b"HEAD ")

    @property
    def start(self) -> bytes:
        """The first bytes that came, to be shown."""
        return bytes(self._buffer[:HEAD_START_BYTES])

    def add(self, data: bytes) -> bytes | None:
        """
        Return all that came, once the head in it is complete. Raises RequestError.
        """
        buffer = self._buffer
        seen = max(0, len(buffer) + 1 - len(END_OF_HEAD))
        buffer += data
        if buffer[0] == CR:
            # The half of an empty line before a request: whoever took it off before looks again.
            return bytes(buffer) if len(buffer) > 1 else None
        if buffer.find(END_OF_HEAD, seen) >= 0:
            return bytes(buffer)
        if len(buffer) > self._bytes_max:
            judge_oversize(buffer, self._bytes_max)
        if len(buffer) <= EARLY_BYTES or b"\n" in data or seen == 0:
            judge_partial(buffer)
        return None


def judge_oversize(head: bytes | bytearray, bytes_max: int) -> None:
    """Raise the RequestError for a head that is longer than allowed."""
    # Only what is allowed and one byte is looked at, so that the answer does not
    # depend on how much more came with it.
    head = head[: bytes_max + 1]
    judge_partial(head)
    if b"\r\n" in head:
        raise RequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too large")
    raise RequestError(HTTPStatus.REQUEST_URI_TOO_LONG, "request line too long")


def judge_partial(head: bytes | bytearray) -> None:
    """
    Raise RequestError for a head that cannot become valid, whatever follows.

    Only the request line and line endings are looked at: enough to answer at
    once a client that speaks TLS, HTTP/0.9 or bare newlines to us, and would
    otherwise wait for the header timeout.
    """
    line_size = head.find(b"\r\n")
    if line_size >= 0:
        judge_request_line(bytes(head[:line_size]))
    elif _PARTIAL_LINE.fullmatch(head) is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "invalid request line")
    if head.count(b"\n") != head.count(b"\r\n"):
        raise RequestError(HTTPStatus.BAD_REQUEST, "bare newline")
