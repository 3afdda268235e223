"""
ASGI 2 as ASGI 3: an app that is called twice, with the scope and then with the rest.
"""

from collections.abc import Callable
from typing import Any

from penstock.worker.asgi.types import ASGIApp, Receive, Scope, Send


def as_asgi3(app: Callable[[Scope], Callable[[Receive, Send], Any]]) -> ASGIApp:
    """Make an ASGI 2 application callable as ASGI 3."""

    async def called_once(scope: Scope, receive: Receive, send: Send) -> None:
        scope["asgi"] = scope["asgi"] | {"version": "2.0"}
        await app(scope)(receive, send)

    return called_once
