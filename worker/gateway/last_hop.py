"""
Answers requests that are to go no further: TRACE and OPTIONS with `Max-Forwards: 0` (RFC 9110, 7.6.2).

Who follows a chain of proxies hears of each in turn, also when nothing behind it answers.
"""

from penstock.worker.asgi.types import Scope
from penstock.worker.http.head import METHODS

# What is not sent back, though it came from there: others may read the answer (RFC 9110, section 9.3.8).
_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"})

_ALLOW = b", ".join(METHODS)

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def answer_here(scope: Scope, target: bytes) -> Answer:
    """Return status, headers and body."""
    if scope["method"] == "OPTIONS":
        return 200, [(b"allow", _ALLOW)], b""
    lines = [b"TRACE %b HTTP/%b" % (target, scope["http_version"].encode())]
    lines += [name + b": " + value for name, value in scope["headers"] if name not in _SECRET]
    return 200, [(b"content-type", b"message/http")], b"\r\n".join(lines) + b"\r\n\r\n"
