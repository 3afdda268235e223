"""
The fixed parts of responses: status lines, default headers, short texts.
"""

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TEXT_HEADERS = ((b"content-type", b"text/plain; charset=utf-8"),)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


# Always HTTP/1.1: a server states its own version (RFC 9110, section 2.5).
STATUS_LINES = {status: f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode() for status in range(200, 600)}

# Those whose responses have no body, whatever the app sends.
NO_BODY = frozenset((204, 304))

# Which of the default headers a response leaves out, because the app set it.
WITHOUT_SERVER = 1
WITHOUT_DATE = 2


class HeadStarts:
    """
    Status line, Server and Date as one piece of bytes, made once a second.

    `every` has them for every status, `plain` for those whose responses have a
    body; `without` is for a response that brings a Server or Date of its own.
    """

    __slots__ = ("_date_s", "_server", "date_field", "every", "plain")

    def __init__(self, server: bytes | None) -> None:
        self._server = b"" if server is None else b"server: " + server + b"\r\n"
        self._date_s = 0
        self.date_field = b""
        self.every: dict[int, bytes] = {}
        self.plain: dict[int, bytes] = {}
        self.refresh()

    def refresh(self) -> None:
        """Follow the clock; cheap when the second has not changed."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s = now_s
            self.date_field = self._date()
            block = self._server + self.date_field
            # In place: who looks here holds the dict, not us.
            self.every.update((status, line + block) for status, line in STATUS_LINES.items())
            self.plain.update(self.every)
            for status in NO_BODY:
                self.plain.pop(status, None)

    def without(self, status: int, omitted: int) -> bytes:
        """Return the start of a head without the headers that `omitted` names."""
        line = STATUS_LINES[status]
        if not omitted & WITHOUT_SERVER:
            line += self._server
        if not omitted & WITHOUT_DATE:
            line += self._date()
        return line

    def _date(self) -> bytes:
        return b"date: " + formatdate(self._date_s, usegmt=True).encode() + b"\r\n"


def interim(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a response of class 1xx, which comes before the one that counts."""
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _phrase(status).encode(), fields)


def error_text(status: int, reason: str) -> bytes:
    """Return the body of a short answer in words."""
    return f"{status} {_phrase(status)}: {reason}\n".encode()


def refusal(head_start: bytes, status: int, reason: str, *, is_head: bool) -> bytes:
    """Return the whole response to a request that cannot be served, the last on its connection."""
    text = error_text(status, reason)
    head = b"%bcontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (
        head_start,
        TEXT_HEADERS[0][1],
        len(text),
    )
    return head if is_head else head + text
