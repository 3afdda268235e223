"""
The request side of an exchange: the body on its way to the app, and the tasks
of the app that wait for it, or for the client to go.
"""

import asyncio

# Whether the app has more to wait for than the body.
GOES_ON = 0
HALF_CLOSED = 1  # No: the client sends no more, though it may still read.
CALLED_OFF = 2  # No: its response would never end by itself, and the worker drains.


class Inbox:
    """
    Holds what has arrived of a body and was not taken yet.
    """

    __slots__ = (
        "_loop",
        "_receivers",
        "body",
        "end",
        "expects_continue",
        "is_complete",
        "is_taken",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_complete: bool, expects_continue: bool) -> None:
        # Bytes as long as one piece waits, a bytearray for more: appending to
        # bytes is quadratic, and a single piece needs no copy.
        self.body: bytes | bytearray = b""
        self.is_complete = is_complete
        # The app has had all of it.
        self.is_taken = False
        # The client waits for 100 Continue, which nobody has sent.
        self.expects_continue = expects_continue
        self.end = GOES_ON
        self._loop = loop
        self._receivers: list[asyncio.Future[None]] = []

    def put(self, piece: bytes, *, is_last: bool) -> int:
        """Take a piece of the body from the client; return how much waits for the app."""
        waiting = self.body
        if not waiting:
            self.body = piece
        else:
            if isinstance(waiting, bytes):
                self.body = waiting = bytearray(waiting)
            waiting += piece
        if is_last:
            self.is_complete = True
            self.expects_continue = False
        self.wake()
        return len(self.body)

    @property
    def has_news(self) -> bool:
        """Tell whether the app can have a message now."""
        return bool(self.body) or (self.is_complete and not self.is_taken)

    def take(self) -> bytes:
        """Hand all that waits to the app."""
        body, self.body = self.body, b""
        self.is_taken = self.is_complete
        return body if type(body) is bytes else bytes(body)

    async def news(self) -> None:
        """
        Wait for the next event. Each caller has a future of its own, since
        cancelling one task that receives must not cancel another.
        """
        waiter = self._loop.create_future()
        self._receivers.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._receivers:
                self._receivers.remove(waiter)

    def wake(self) -> None:
        """Let every waiting task look again."""
        receivers, self._receivers = self._receivers, []
        for receiver in receivers:
            if not receiver.done():
                receiver.set_result(None)
