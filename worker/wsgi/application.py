"""The shapes of WSGI, as far as a server has to name them."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Write = Callable[[bytes], None]
StartResponse = Callable[..., Write]


class WsgiApp:
    """Marks an application as one to be called with environ and start_response."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[Environ, StartResponse], Iterable[bytes]]) -> None:
        self.call = call
