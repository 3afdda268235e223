"""
Messages that an app may send beside start and body: the extensions of ASGI.

Each is a function in a file of its own. `Exchange.send` asks here only for what
is not a start or a body, so they cost the usual response nothing.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from penstock.worker.asgi.types import Message
from penstock.worker.http.early_hints import send_early_hint
from penstock.worker.http.pathsend import send_path, send_zero_copy
from penstock.worker.http.trailers import send_trailers

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

Extension = Callable[["Exchange", Message], Awaitable[None]]

# By the type of the message. It judges the phase itself, and raises RuntimeError for what comes out of order.
EXTENSIONS: dict[str, Extension] = {
    "http.response.early_hint": send_early_hint,
    "http.response.trailers": send_trailers,
    "http.response.pathsend": send_path,
    "http.response.zerocopysend": send_zero_copy,
}

# What a scope advertises; each request gets a copy. Only what is true.
ADVERTISED: dict[str, dict[str, Any]] = {
    "http.response.early_hint": {},
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
}
