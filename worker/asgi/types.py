"""
The shapes of ASGI 3, as far as a server has to name them.

Messages are plain dicts: that is the protocol, and a class for each would cost
the hot path more than it tells the reader.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnected(OSError):
    """
    Raised by `send` when the client is gone (ASGI HTTP 2.4 asks for an OSError).

    Expected trouble: when an app lets it through, nothing is logged.
    """
