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


def is_disconnect(error: BaseException | None, seen: set[int]) -> bool:
    """
    Tell whether an app's exception goes back to our ClientDisconnected.

    Frameworks raise their own from it; task groups wrap it, and then it must be
    all that went wrong. Chains may run in circles: `seen` is for that.
    """
    while error is not None and id(error) not in seen:
        if isinstance(error, ClientDisconnected):
            return True
        seen.add(id(error))
        if isinstance(error, BaseExceptionGroup):
            return all(is_disconnect(member, seen) for member in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
