"""
Compressed responses of apps that answer from a thread: the thread compresses, and the loop writes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from penstock.worker.http.compression import representation
from penstock.worker.http.compression.decision import decide, is_worth_it
from penstock.worker.http.compression.plan import STREAM_MEMORY, Plan
from penstock.worker.http.compression.stream import Stream
from penstock.worker.http.exchange import Exchange

if TYPE_CHECKING:
    from penstock.worker.wsgi.exchange import WsgiExchange as Base
else:
    Base = object

# Status, headers, and the first or only piece.
Start = tuple[int, representation.Headers, bytes]


class ThreadedCompression(Base):
    """What is put before an exchange that a thread answers by letters to the loop."""

    __slots__ = ()

    plan: ClassVar[Plan]
    stream: Stream | None  # in the thread

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stream = None  # type: ignore[misc]  # a slot of the class that is made

    def post(self, act: Callable[[Any], None], argument: Any) -> None:
        """Have the loop do something; what it is to write is compressed here."""
        if act in (self.deliver, self.deliver_and_end):
            argument = self._whole(*argument)
        elif act == self.begin:
            argument = self._bodiless(*argument)
        elif act == self.finish and self.stream is not None:
            super().post(self.go_on, self.stream.end(b""))
        elif act == self.end:
            self._give_back()
        super().post(act, argument)

    def send_piece(self, act: Callable[[Any], None], argument: Any, size: int) -> None:
        """Post a piece, and wait until not too much is on its way. Raises ClientDisconnected."""
        if act == self.begin:
            argument = self._first(*argument)
            size = len(argument[2])
        elif self.stream is not None:
            # At once: nobody here would come back to it while the app thinks about its next piece.
            argument = self.stream.feed(argument) + self.stream.coder.flush()
            size = len(argument)
        super().send_piece(act, argument, size)

    def _whole(self, status: int, headers: representation.Headers, body: bytes) -> Start:
        decision = decide(self.plan, self.scope, status, headers, size=len(body))
        coding, headers = decision.coding, decision.headers
        if coding is not None:
            if self.scope["method"] == "HEAD":
                return status, representation.coded(headers, coding.token), b""
            packed = coding.whole_in_thread(body)
            if is_worth_it(self.plan, self.scope, packed, body):
                return status, representation.coded(headers, coding.token), packed
        return status, headers, body

    def _bodiless(self, status: int, headers: representation.Headers, body: bytes) -> Start:
        decision = decide(self.plan, self.scope, status, headers, size=0)
        if decision.coding is None:
            return status, decision.headers, body
        return status, representation.coded(decision.headers, decision.coding.token), body

    def _first(self, status: int, headers: representation.Headers, piece: bytes) -> Start:
        decision = decide(self.plan, self.scope, status, headers, size=None)
        coding, headers = decision.coding, decision.headers
        if coding is None or not STREAM_MEMORY.take(coding.stream_bytes):
            return status, headers, piece
        self.stream = stream = Stream(coding, None)  # type: ignore[misc]
        return status, representation.coded(headers, coding.token), stream.feed(piece) + stream.coder.flush()

    def _give_back(self) -> None:
        stream, self.stream = self.stream, None  # type: ignore[misc]
        if stream is not None:
            STREAM_MEMORY.give_back(stream.coding.stream_bytes)


def threaded(exchange: type[Exchange], plan: Plan) -> type[Exchange]:
    """Make the class of a route's exchanges compress."""
    return type("ThreadExchange", (ThreadedCompression, exchange), {"__slots__": ("stream",), "plan": plan})
