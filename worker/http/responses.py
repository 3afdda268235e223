"""
The fixed parts of responses: status lines, default headers, short texts.
"""

import time
from collections.abc import Container, Iterable
from email.utils import formatdate
from http import HTTPStatus

from penstock.worker.http.fields import watch_for

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
    Status line and default headers as one piece of bytes, made once a second.

    `every` has them for every status, `plain` for those whose responses have a
    body; `without` is for a response that brings one of the headers itself.
    """

    __slots__ = ("_date_s", "_has_date", "_others", "_server", "date_field", "every", "plain")

    def __init__(
        self,
        server: bytes | None,
        *,
        has_date: bool = True,
        others: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Begin. `others` are more headers, their names in lower case; a Server among them replaces ours."""
        others = [(name, name + b": " + value + b"\r\n") for name, value in others]
        self._server = b"" if server is None else b"server: " + server + b"\r\n"
        if any(name == b"server" for name, _ in others):
            self._server = b"".join(line for name, line in others if name == b"server")
        self._others = tuple((name, line) for name, line in others if name != b"server")
        for name, _ in self._others:
            watch_for(name)
        self._has_date = has_date
        self._date_s = 0
        self.date_field = b""
        self.every: dict[int, bytes] = {}
        self.plain: dict[int, bytes] = {}
        self.refresh()

    def refresh(self) -> None:
        """Follow the clock; cheap when the second has not changed."""
        now_s = int(time.time())
        if now_s != self._date_s and (self._has_date or not self.every):
            self._date_s = now_s
            self.date_field = self._date()
            block = self._server + self.date_field + b"".join(line for _, line in self._others)
            # In place: who looks here holds the dict, not us.
            self.every.update((status, line + block) for status, line in STATUS_LINES.items())
            self.plain.update(self.every)
            for status in NO_BODY:
                self.plain.pop(status, None)

    def without(self, status: int, omitted: int, named: Container[bytes] = ()) -> bytes:
        """Return the start of a head without the headers that `omitted` stands for, and those in `named`."""
        return STATUS_LINES[status] + self.defaults(omitted, named)

    def defaults(self, omitted: int, named: Container[bytes] = ()) -> bytes:
        """Return the default headers alone, without the same ones."""
        lines = b"" if omitted & WITHOUT_SERVER else self._server
        if not omitted & WITHOUT_DATE:
            lines += self._date()
        return lines + b"".join(other for name, other in self._others if name not in named)

    def _date(self) -> bytes:
        if not self._has_date:
            return b""
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
