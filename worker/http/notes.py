"""
Those who watch the requests of a site, and what they keep with one.

A site has *openings*, called when a request's head is complete and before its
app is, and *observers*, called when its response is about to be complete. With
none of either a request pays two comparisons.
"""

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange

# Gets the exchange, and the context in which its app is to run; None if there is no app.
Opening = Callable[["Exchange", Context | None], None]

# Gets the exchange, the µs from its complete head to its last byte, and the bytes of the response. Of a
# client that left before its response began, the status is 499, as nginx has it; of an app that was cut
# off before, 500; and there are no bytes of either.
# What is worth less than a response must not raise: the site logs it, and goes on.
Observer = Callable[["Exchange", int, int], None]

# Gets what never became an exchange: the client's address, what had come of the head, the status
# that it was refused with, and the bytes of that.
Refusal = Callable[[tuple[str, int] | None, bytes, int, int], None]

# The client closed the connection: said of a request, and never sent.
CLIENT_CLOSED: Final = 499

# How much of a head that is refused is shown.
HEAD_START_BYTES: Final = 2048

# No response takes so long: nobody observes but those that failed.
NEVER_US: Final = 2**62


class Notes:
    """What openings and observers remember of one request."""

    __slots__ = ("asked", "change", "failure", "headers", "is_cut", "on_end", "request_id", "span")

    def __init__(self) -> None:
        self.request_id: str | None = None
        self.span: Any = None
        # What the app raised before its response was complete, or after it has answered with an error.
        self.failure: BaseException | None = None
        # The client was gone, or cut off, before it had the whole response.
        self.is_cut = False
        # Called when the app is done with the request, the last thing of all. Must not raise.
        self.on_end: Callable[[Exchange], None] | None = None
        # Put into the response, unless it has one of that name: lower case, and judged.
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        # Path, query and headers as they were sent, if whoever answers is asked for something else.
        self.asked: tuple[bytes, bytes, list[tuple[bytes, bytes]]] | None = None
        # What the route makes of the headers of the response, the last thing of all.
        self.change: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]] | None = None

    def complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Give the headers of the response with those that are to be in it."""
        present = {name.lower() for name, _ in headers}
        headers = [*headers, *(each for each in self.headers if each[0] not in present)]
        return headers if self.change is None else self.change(headers)
