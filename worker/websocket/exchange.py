"""
What an app sees of one WebSocket: `receive` and `send`, from its call to its end.

Until it is accepted it is a request like any other, and whatever is answered
instead goes the way of any other response.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import (
    ASGIApp,
    ClientDisconnected,
    Message,
    Receive,
    Scope,
    Send,
    is_disconnect,
)
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.phases import DONE, LOST, STARTED, STREAMING, WAITING
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.spec import WebSocketSpec
from penstock.worker.websocket.deflate import DeflateFactory
from penstock.worker.websocket.handshake import (
    Handshake,
    HandshakeError,
    accepting_head,
    judge_handshake,
)
from penstock.worker.websocket.session import ABNORMAL, INTERNAL_ERROR, Session
from penstock.worker.websocket.wire import BINARY, TEXT, Wire

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection

log = logging.getLogger(__name__)

ASGI_VERSION: Final = {"version": "3.0", "spec_version": "2.5"}
NORMAL: Final = 1000
SERVICE_RESTART: Final = 1012
# Counted as what it is, a success: there is no class for 101.
COUNTED_AS: Final = 200
SWITCHED: Final = 101

# What of an HTTP request's scope is the same in a WebSocket's.
_KEPT: Final = (
    "http_version",
    "server",
    "client",
    "root_path",
    "path",
    "raw_path",
    "query_string",
    "headers",
    "state",
)
_SCHEMES: Final = {"http": "ws", "https": "wss"}
_DENIAL: Final = {"websocket.http.response.start": WAITING, "websocket.http.response.body": STARTED}

# The library logs every frame if it is let, and what is in it.
_QUIET: Final = logging.Logger("penstock.websocket", logging.CRITICAL + 1)
_EXTENSIONS: Final = [DeflateFactory()]


class WebSocketExchange(Exchange):
    """
    One WebSocket as its app sees it. Its phase is WAITING until it is accepted,
    STREAMING while it is open, DONE when the app has closed it and LOST when
    anybody else has; a response instead has the phases of any response.
    """

    __slots__ = (
        "_core",
        "_extensions",
        "_farewell",
        "_handshake",
        "_is_noted",
        "_is_open",
        "_messages",
        "_session",
        "_spec",
        "receivers",
    )

    _handshake: Handshake
    _core: ServerProtocol
    _extensions: str | None

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope, spec: WebSocketSpec) -> None:
        super().__init__(connection, meter, scope)
        self._spec = spec
        self._session: Session | None = None
        self._is_open = False
        self._is_noted = False
        self._messages: deque[Message] = deque(({"type": "websocket.connect"},))
        # What `receive` says when there is nothing else any more.
        self._farewell: Message | None = None
        # Each caller has a future of its own: to cancel one must not cancel another.
        self.receivers: list[asyncio.Future[None]] = []

    # For the app.

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Judge the handshake, call the app, and clean up after it."""
        try:
            self._judge()
        except HandshakeError as error:
            app, scope = _refusing(error), {}
        else:
            scope = self._websocket_scope()
        try:
            await super().run(app, scope)
        finally:
            if self._session is not None:
                self._session.app_ended()

    async def receive(self) -> Message:
        """Return the next message, then, when it happens, the disconnect."""
        messages = self._messages
        while not messages:
            if self._farewell is not None:
                return self._farewell.copy()  # type: ignore[attr-defined, no-any-return]
            waiter = self.connection.site.loop.create_future()
            self.receivers.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self.receivers:
                    self.receivers.remove(waiter)
        message = messages.popleft()
        session = self._session
        if not messages and session is not None:
            wire = session.wire
            is_waiting = wire.is_full or wire.has_more
            wire.drained()
            if is_waiting:
                session.go_on()
        return message

    async def send(self, message: Message) -> None:
        """Take a message; wait while the client is slower than the app."""
        if not self._is_open or message["type"] != "websocket.send":
            await self._send_other(message)
            return
        session = self._session
        assert session is not None
        while session.is_write_blocked:
            await session.writable()
            if not self._is_open:
                raise ClientDisconnected("the client is gone")
        # One of the two is there, and not None.
        text = message["text"] if "text" in message else None  # noqa: SIM401
        if text is not None:
            head, payload = session.wire.pack(TEXT, text.encode())
        else:
            data = message.get("bytes")
            if data is None:
                raise RuntimeError("'websocket.send' has neither text nor bytes")
            head, payload = session.wire.pack(BINARY, bytes(data))
        session.write(head, payload)

    async def _send_other(self, message: Message) -> None:
        kind, phase = message["type"], self.phase
        if phase == LOST:
            raise ClientDisconnected("the client is gone")
        if self._is_open:
            if kind == "websocket.close":
                self._close(message.get("code") or NORMAL, message.get("reason") or "")
                return
        elif self._session is None and kind in _DENIAL and _DENIAL[kind] <= phase < DONE:
            await super().send({**message, "type": kind.removeprefix("websocket.")})
            if self.phase >= DONE:
                self.part(ABNORMAL, "")
            return
        elif phase == WAITING and kind == "websocket.accept":
            self._accept(message)
            return
        elif phase == WAITING and kind == "websocket.close":
            self.respond(403, TEXT_HEADERS, error_text(403, "the application does not accept this WebSocket"))
            self.part(ABNORMAL, "")
            return
        raise RuntimeError(f"{kind!r} out of order: {self._told()}")

    def _told(self) -> str:
        if self._session is not None:
            return "the WebSocket is open" if self._is_open else "the WebSocket has been closed"
        return "the WebSocket is not accepted yet" if self.phase == WAITING else "the WebSocket was denied"

    # Before it is accepted.

    def _judge(self) -> None:
        """Read the handshake. Raises HandshakeError."""
        spec = self._spec
        handshake = judge_handshake(self.scope["headers"], has_body=self.inbox is not None)
        self._handshake = handshake
        self._core = ServerProtocol(
            extensions=_EXTENSIONS if spec.deflate else None,
            state=State.OPEN,
            max_size=spec.message_bytes,
            logger=_QUIET,
        )
        headers = Headers()
        for value in handshake.extensions:
            headers["Sec-WebSocket-Extensions"] = value
        try:
            self._extensions, self._core.extensions = self._core.process_extensions(headers)
        except InvalidHandshake:
            raise HandshakeError("invalid Sec-WebSocket-Extensions") from None

    def _websocket_scope(self) -> dict[str, Any]:
        http = self.scope
        scope = {"type": "websocket", "asgi": ASGI_VERSION}
        scope.update((name, http[name]) for name in _KEPT if name in http)
        scope["scheme"] = _SCHEMES[http["scheme"]]
        scope["subprotocols"] = list(self._handshake.subprotocols)
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        if "tls" in http.get("extensions", ()):
            extensions["tls"] = http["extensions"]["tls"]
        scope["extensions"] = extensions
        return scope

    def _accept(self, message: Message) -> None:
        connection: Connection = self.connection
        if connection.transport.is_closing():
            raise ClientDisconnected("the client is gone")
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        if self.notes is not None:
            headers = self.notes.complete(headers)
        head = accepting_head(
            self._handshake.accept,
            message.get("subprotocol") or None,
            self._extensions,
            headers,
            connection.site.starts,
        )
        self.status = SWITCHED
        self._headers = headers
        self._sent_bytes = 0
        self.phase = STREAMING
        self._is_open = True
        wire = Wire(
            self._core,
            self._messages,
            message_bytes_max=self._spec.message_bytes,
            queue_count_max=self._spec.queue_count,
        )
        self._session = session = Session(connection, self, wire, self._spec)
        self.connection = session  # type: ignore[assignment]  # all that it is asked for from now on
        # Before it is written, as any response is: whoever has got it finds it in the numbers.
        self.meter.count(COUNTED_AS, (perf_counter_ns() - self.started_ns) // 1000)
        session.begin(head, connection.surrender())

    def half_closed(self) -> None:
        """Say that the client sends no more: of a WebSocket that is the end."""
        self.connection.abort()

    # While it is open.

    def _close(self, code: int, reason: str) -> None:
        session = self._session
        assert session is not None
        session.shut(code, reason, discards=True)
        self._is_open = False
        self.phase = max(self.phase, DONE)
        self._note()
        self.part(code, reason)

    @property
    def is_endless(self) -> bool:
        """Tell whether it is open."""
        return self._is_open

    def call_off(self) -> None:
        """Close it because the worker is to end; its app is told when the client has answered."""
        session = self._session
        assert session is not None
        self._is_open = False
        self.phase = LOST
        session.shut(SERVICE_RESTART, "", discards=False)
        self._note()

    # For the session.

    def wake(self) -> None:
        """Let every waiting task look again."""
        receivers, self.receivers = self.receivers, []
        for receiver in receivers:
            if not receiver.done():
                receiver.set_result(None)

    def sent(self, size: int) -> None:
        """Count what was written."""
        self._sent_bytes += size

    def part(self, code: int, reason: str) -> None:
        """Say how it ended. The first word is the last."""
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self.wake()

    def lost(self) -> None:
        """Say that nothing can be sent any more."""
        self._is_open = False
        if self.phase < DONE:
            self.phase = LOST
        self._note()

    def _note(self) -> None:
        """Show it to those who observe: as soon as it is not open any more, and before its app is done."""
        if self._is_noted:
            return
        self._is_noted = True
        elapsed_us = (perf_counter_ns() - self.started_ns) // 1000
        site = self.connection.site
        if elapsed_us >= site.noted_from_us or self.notes is not None:
            site.note(self, elapsed_us, self._sent_bytes)

    def cut(self) -> None:
        """End it at once."""
        if self._session is None:
            super().cut()
        else:
            self.lost()
            self._session.abort()

    # When something is wrong.

    def _app_failed(self, error: BaseException) -> None:
        if self._farewell is not None and _is_goodbye(error):
            log.debug("The app let %s go with %s", self.describe(), type(error).__name__)
            return
        if self._session is None:
            super()._app_failed(error)
            return
        if is_disconnect(error, set()):
            log.debug("The app gave up %s: the client is gone", self.describe())
        else:
            log.error("The app raised in the WebSocket %s", self.describe(), exc_info=error)
            self._blame(error)
        if self._is_open:
            self._close(INTERNAL_ERROR, "")

    def _app_fell_short(self) -> None:
        if self._session is None:
            super()._app_fell_short()
        elif self._is_open:
            self._close(NORMAL, "")

    def _lose_client(self) -> None:
        super()._lose_client()
        self.part(ABNORMAL, "")


def _refusing(error: HandshakeError) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Make the app that answers a handshake which is none."""

    async def refuse(_: Scope, __: Receive, send: Send) -> None:
        headers = [*TEXT_HEADERS, *error.headers]
        await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        body = error_text(error.status, error.reason)
        await send({"type": "websocket.http.response.body", "body": body})

    return refuse


def _is_goodbye(error: BaseException) -> bool:
    """
    Tell whether an app has passed on what it was told: frameworks raise a
    WebSocketDisconnect of their own when they receive a disconnect.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(_is_goodbye(member) for member in error.exceptions)
    return type(error).__name__ == "WebSocketDisconnect"
