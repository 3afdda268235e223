"""
The connection of an accepted WebSocket: what the loop, the site and the app ask of it.

It takes the place of the HTTP connection on the same transport. Frames are the
business of `wire`; here is when they are read, how they leave, how the other end
is asked whether it is still there, and how it all ends.
"""

import math
from typing import TYPE_CHECKING, Final

from penstock.worker.http.outlet import Outlet
from penstock.worker.http.phases import BODY, CLOSING, LINGER
from penstock.worker.limits import JOIN_BYTES_MAX, WEBSOCKET_CLOSE_S
from penstock.worker.spec import WebSocketSpec
from penstock.worker.websocket.wire import Wire

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection
    from penstock.worker.websocket.exchange import WebSocketExchange

PING: Final = b"ping"
INTERNAL_ERROR: Final = 1011
ABNORMAL: Final = 1006
NEVER_S: Final = math.inf


class Session(Outlet):
    """
    One WebSocket, from its acceptance to the end of its connection.

    `intake` is BODY while frames are read: what comes is still the body of the
    request that asked for it.
    """

    __slots__ = (
        "_close_code",
        "_close_due_s",
        "_is_choked",
        "_is_heard",
        "_is_pinged",
        "_output_due_s",
        "_ping_due_s",
        "_pinged_s",
        "_spec",
        "_talk",
        "wire",
    )

    def __init__(
        self, connection: "Connection", talk: "WebSocketExchange", wire: Wire, spec: WebSocketSpec
    ) -> None:
        super().__init__(connection.site)
        self.intake = BODY
        self.keep_alive = False
        self.wire = wire
        self._talk = talk
        self._spec = spec
        # As long as its app runs; `_talk` is there until the end of the connection.
        self.exchange = talk
        # What we have closed with, if we were first.
        self._close_code: int | None = None
        # Nothing is read: it would only make more pongs for a client that takes none.
        self._is_choked = False
        # Something came since the last ping.
        self._is_heard = False
        self._is_pinged = False
        self._pinged_s = 0.0
        # When each of these is to be looked at; the wheel has the earliest.
        self._ping_due_s = NEVER_S
        self._output_due_s = NEVER_S
        self._close_due_s = NEVER_S
        self.succeed(connection)

    def begin(self, head: bytes, rest: bytes) -> None:
        """Answer the handshake, and take what came behind it."""
        self.write(head, b"")
        if self._spec.ping_interval_s is not None:
            self._ping_due_s = self.site.now_s + self._spec.ping_interval_s
        if self.is_write_blocked:
            self._output_due_s = self.site.now_s + self.site.limits.send_timeout_s
        self._rewatch()
        if rest:
            self.wire.receive(rest)
        self._attend()

    # For the loop.

    def data_received(self, data: bytes) -> None:
        """Take bytes: nearly always one message, for which the app waits."""
        self.site.received_bytes += len(data)
        self._is_heard = True
        if self.intake != BODY:
            self._throw_away(data)
            return
        if self.wire.receive(data):
            self._attend()
        talk = self._talk
        if talk.receivers:
            talk.wake()

    def eof_received(self) -> bool:
        """The client sends no more. A WebSocket that is not closed is then lost."""
        self._is_eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell the app, if it still runs, and be forgotten."""
        self.intake = CLOSING
        self._wake_writers()
        self._talk.lost()
        self._settle()
        if not self.wire.has_more:
            self.wire.release()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.site.detach(exchange)
        self.site.closed(self)

    def pause_writing(self) -> None:
        """The client takes less than we send: `send` waits, and the wheel watches."""
        super().pause_writing()
        self._output_due_s = self.deadline_s
        self._rewatch()

    def resume_writing(self) -> None:
        """Go on sending, and reading, if that had to wait for it."""
        super().resume_writing()
        self._output_due_s = NEVER_S
        if self._is_choked:
            self._is_choked = False
            self.go_on()

    # For the app.

    def write(self, head: bytes, payload: bytes) -> None:
        """Send a frame."""
        size = len(head) + len(payload)
        self.site.sent_bytes += size
        self._talk.sent(size)
        if size > JOIN_BYTES_MAX:
            self.transport.writelines((head, payload))
        else:
            self.transport.write(head + payload)

    def go_on(self) -> None:
        """Read on, after the app has taken what there was or the loop has had a turn."""
        if self.wire.has_more and not self._is_choked:
            self.wire.go_on()
        if self.intake == BODY:
            self._attend()
        else:
            self._settle()
        self._talk.wake()

    def shut(self, code: int, reason: str, *, discards: bool) -> None:
        """
        Begin to close, and cut the connection if the client does not answer in time.

        What it has sent before it answers still goes to the app, or is discarded.
        Raises ValueError for a code that nobody may send.
        """
        self.wire.close(code, reason)
        self._close_code = code
        self._close_due_s = self.site.now_s + WEBSOCKET_CLOSE_S
        self._rewatch()
        if discards:
            self.wire.discard()
        self._is_choked = False
        self.go_on()

    def app_ended(self) -> None:
        """Nobody takes messages any more."""
        self.wire.discard()
        if self.intake == BODY:
            self.go_on()

    # For the site.

    @property
    def is_active(self) -> bool:
        """Tell whether a request is being answered: this one, to its end."""
        return True

    def is_idle_since(self, answered_s: float, opened_s: float) -> bool:
        """Tell whether it could be put away. It cannot: its state is not all in the kernel."""
        return False

    def begin_drain(self, closes_after_s: float) -> None:
        """Wait to be called off with the other responses that would go on, see `streams`."""

    def expire(self, now_s: float) -> None:
        """Act on whatever is due."""
        if self.intake >= LINGER:
            if self._watch_output():
                return
            if self.intake == CLOSING:
                self.abort()
            else:
                self.close()
            return
        if now_s >= self._close_due_s:
            self.abort()  # It has not answered our close.
            return
        if now_s >= self._output_due_s:
            unsent_bytes = self.transport.get_write_buffer_size()
            if unsent_bytes == self._unsent_bytes:
                self.abort()  # Nothing was taken since the last look.
                return
            self._unsent_bytes = unsent_bytes
            self._output_due_s = now_s + self.site.limits.send_timeout_s
        if now_s >= self._ping_due_s:
            self._ask(now_s)
        self._rewatch()

    def _ask(self, now_s: float) -> None:
        """Look whether the last ping was answered, and send another when it is time."""
        spec = self._spec
        assert spec.ping_interval_s is not None
        if self._is_pinged and spec.ping_timeout_s is not None:
            # Whatever comes will do for an answer: a pong has to wait until a long message is sent.
            # And nothing comes where nothing is read, since it is the app that is slow.
            if not self._is_heard and not self._is_reading_paused:
                self.wire.fail(INTERNAL_ERROR, "keepalive ping timeout")
                self._attend()
                return
            self._is_pinged = False
            next_s = self._pinged_s + spec.ping_interval_s
            if next_s > now_s:
                self._ping_due_s = next_s
                return
        if self.is_write_blocked or self._close_code is not None:
            self._ping_due_s = now_s + spec.ping_interval_s  # Others watch this.
            return
        self._is_heard = False
        self._is_pinged = True
        self._pinged_s = now_s
        self._ping_due_s = now_s + (spec.ping_timeout_s or spec.ping_interval_s)
        self.wire.ping(PING)
        self._attend()

    def _rewatch(self) -> None:
        due_s = min(self._ping_due_s, self._output_due_s, self._close_due_s)
        if due_s != NEVER_S and self.intake == BODY:
            self.site.watch(self, due_s - self.site.now_s)

    # Reading.

    def _attend(self) -> None:
        """Do what the wire asks for beside delivering messages."""
        wire = self.wire
        output = wire.output
        if output:
            wire.output = []
            self.write(b"".join(output), b"")
        if wire.end is not None:
            self._end()
        elif wire.is_full:
            self._pause_reading()
        elif wire.has_more:
            self._pause_reading()
            self.site.loop.call_soon(self.go_on)
        elif output and self.is_write_blocked:
            self._is_choked = True
            self._pause_reading()
        elif not self._is_choked:
            self._resume_reading()

    def _settle(self) -> None:
        """Tell the app how it ended, once it has had all that came before."""
        wire = self.wire
        if wire.end is not None:
            code, reason = wire.end
        elif wire.has_more:
            return
        else:
            code, reason = ABNORMAL, ""
        if self._close_code is not None:
            code = self._close_code
        self._talk.part(code, reason)

    # Ending.

    def _end(self) -> None:
        """End the connection: a close was sent and came, or the client broke the protocol."""
        self._settle()
        self._talk.lost()
        self._ping_due_s = self._output_due_s = self._close_due_s = NEVER_S
        if self.site.is_tls and self.wire.is_clean:
            self.close()  # The client waits for it, and has nothing more to say.
        else:
            self.linger()
