"""
What a case of the corpus is: bytes that a client sends, and what has to become of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# What becomes of the connection when all bytes were taken: it waits for a next request, the server
# ends it, or it waits for the rest of a request that is not complete.
End = Literal["open", "closed", "waiting"]


@dataclass(frozen=True)
class Case:
    """
    One input and its outcome.

    `saw` is what the app was called with: for each request that reached it, the
    keys that matter. `depends` is set where the outcome rightly depends on how
    much comes at once, as when an app answers before it has read.
    """

    name: str
    data: bytes
    answers: tuple[int, ...]
    end: End
    saw: tuple[Mapping[str, Any], ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    depends: bool = False
    # Which of the answers are to HEAD, by their place, and so have no body.
    heads: frozenset[int] = frozenset()


HOST = b"Host: a\r\n"


def get(target: bytes = b"/", *fields: bytes, version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    """Write a request with a valid Host and these header lines, without a body."""
    return b"%b %b %b\r\n%b\r\n" % (
        method,
        target,
        version,
        b"".join(f + b"\r\n" for f in (b"Host: a", *fields)),
    )


def post(body: bytes, *fields: bytes, length: bytes | None = None, target: bytes = b"/") -> bytes:
    """Write a request with a Content-Length."""
    size = b"%d" % len(body) if length is None else length
    return get(target, *fields, b"Content-Length: " + size, method=b"POST") + body


def chunked(coded: bytes, *fields: bytes, target: bytes = b"/") -> bytes:
    """Write a request with a chunked body, coded as it stands."""
    return get(target, *fields, b"Transfer-Encoding: chunked", method=b"POST") + coded


def head_of(*lines: bytes) -> bytes:
    """Write a head of just these lines."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


Row = tuple[Any, ...]


def good(rows: Iterable[Row], prefix: str, **more: Any) -> list[Case]:
    """Make cases of (name, bytes, what the app saw...): all are answered, and the connection stays."""
    return [
        Case(f"{prefix}: {name}", data, (200,) * max(1, len(saw)), "open", saw, **more)
        for name, data, *rest in rows
        for saw in [tuple(rest)]
    ]


def last(rows: Iterable[Row], prefix: str, **more: Any) -> list[Case]:
    """Make cases as `good` does, whose last request ends the connection."""
    return [
        Case(f"{prefix}: {name}", data, (200,) * max(1, len(saw)), "closed", saw, **more)
        for name, data, *rest in rows
        for saw in [tuple(rest)]
    ]


def bad(rows: Iterable[Row], prefix: str, status: int = 400, **more: Any) -> list[Case]:
    """Make cases of (name, bytes): refused with the status, whatever follows, and the app is not called."""
    return [Case(f"{prefix}: {name}", data, (status,), "closed", **more) for name, data in rows]
