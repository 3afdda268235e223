"""
One request and its response: the `receive` and `send` of an ASGI app.

Direct calls, few branches and one write for a simple response: this file and
`Connection.data_received` are the hot path.
"""

import asyncio
import logging
from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import ASGIApp, ClientDisconnected, Message, Scope
from penstock.worker.http.phases import BODY, DONE, STARTED, STREAMING, WAITING
from penstock.worker.http.responses import (
    STATUS_LINES,
    TEXT_HEADERS,
    WITHOUT_DATE,
    WITHOUT_SERVER,
    error_text,
)
from penstock.worker.limits import CONTENT_LENGTH_DIGITS_MAX, JOIN_BYTES_MAX, RESPONSE_NAMES_MAX

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection
    from penstock.worker.http.meter import RouteMeter

log = logging.getLogger(__name__)

# Statuses whose responses have no body, whatever the app sends.
NO_BODY = frozenset((204, 304))

# What a response header means to the server.
ORDINARY, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, SERVER, DATE, HOP_BY_HOP = range(7)
_MEANINGS = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"server": SERVER,
    b"date": DATE,
    b"keep-alive": HOP_BY_HOP,
    b"upgrade": HOP_BY_HOP,
}
# By name as apps write it, so that the lookup needs no lower().
_meanings: dict[bytes, int] = dict(_MEANINGS)


def _learn(name: bytes) -> int:
    meaning = _MEANINGS.get(name.lower(), ORDINARY)
    if len(_meanings) < RESPONSE_NAMES_MAX:
        _meanings[name] = meaning
    return meaning


class Exchange:
    """
    Answers one request of a connection.

    It may outlive its response (background tasks), and its connection.
    """

    __slots__ = (
        "_body",
        "_content_left",
        "_headers",
        "_is_body_complete",
        "_is_body_taken",
        "_is_chunked",
        "_is_gone",
        "_is_half_closed",
        "_meter",
        "_receivers",
        "_started_ns",
        "_status",
        "connection",
        "expects_continue",
        "is_detached",
        "is_http10",
        "is_running",
        "keep_alive",
        "method",
        "phase",
        "target",
        "task",
    )

    def __init__(self, connection: "Connection", meter: "RouteMeter", method: str, target: bytes) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.phase = WAITING
        self.keep_alive = True
        self.is_running = False
        self.is_detached = False
        self.task: asyncio.Task[None] | None = None
        self._meter = meter
        self._started_ns = perf_counter_ns()
        # The request's body that the app has not taken. Bytes as long as one
        # piece waits, a bytearray for more: appending to bytes is quadratic.
        self._body: bytes | bytearray = b""
        self._is_body_complete = True
        self._is_body_taken = False
        self.expects_continue = False
        self.is_http10 = False
        # The client sends no more, or is gone, or was refused: `send` raises only for the latter two.
        self._is_half_closed = False
        self._is_gone = False
        self._receivers: list[asyncio.Future[None]] | None = None
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        self._status = 0
        # While STREAMING: what the Content-Length still allows, or None.
        self._content_left: int | None = None
        self._is_chunked = False

    # For the app.

    async def receive(self) -> Message:
        """Return the next piece of the body, then, when it happens, the disconnect."""
        while True:
            if self._is_gone or self.phase == DONE:
                return {"type": "http.disconnect"}
            if self._body or (self._is_body_complete and not self._is_body_taken):
                body = bytes(self._body)
                self._body = b""
                self._is_body_taken = self._is_body_complete
                self.connection.body_taken()
                return {"type": "http.request", "body": body, "more_body": not self._is_body_complete}
            if self._is_half_closed:
                return {"type": "http.disconnect"}
            if self.expects_continue and self.phase < STREAMING:
                self.expects_continue = False
                self.connection.send_continue()
            await self._news()

    async def send(self, message: Message) -> None:
        """Take a message of the response; wait while the client is slower than the app."""
        phase = self.phase
        if self._is_gone:
            raise ClientDisconnected("the client is gone")
        if phase == WAITING:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {message['type']!r}")
            status = message["status"]
            if status not in STATUS_LINES:
                raise RuntimeError(f"a response's status is 200 to 599, not {status!r}")
            self._status = status
            self._headers = message.get("headers", ())
            self.phase = STARTED
            return
        if message["type"] != "http.response.body":
            raise RuntimeError(f"expected http.response.body, got {message['type']!r}")
        if phase == STARTED:
            self._begin(message.get("body", b""), message.get("more_body", False))
        elif phase == STREAMING:
            self._continue(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError("the response is complete already")
        if self.connection.is_write_blocked:
            await self.connection.writable()
            if self._is_gone:
                raise ClientDisconnected("the client is gone")

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Call the app and clean up after it: every response ends, one way or another."""
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            self._app_failed(error)
        except BaseException:
            # Cancelled, or the process is to exit; neither is ours to stop.
            self.cut()
            raise
        else:
            if self.phase != DONE and not self._is_gone:
                self._app_fell_short()
        finally:
            self.is_running = False
            if self.is_detached:
                self.connection.site.detached_ended(self)

    # For the connection.

    def expect_body(self, *, expects_continue: bool) -> None:
        """Say that a body follows the head."""
        self._is_body_complete = False
        self.expects_continue = expects_continue

    def body_received(self, body: bytes, *, is_complete: bool) -> int:
        """Take a piece of the body; return how much the app has not taken."""
        waiting = self._body
        if not waiting:
            self._body = body
        else:
            if isinstance(waiting, bytes):
                self._body = waiting = bytearray(waiting)
            waiting += body
        if is_complete:
            self._is_body_complete = True
            self.expects_continue = False
        self._wake()
        return len(self._body)

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer without an app."""
        self._status = status
        self._headers = headers
        self._begin(body, False)

    def refused(self, status: int) -> None:
        """Say that the connection answered instead, and ends with that answer."""
        self._meter.count(status, perf_counter_ns() - self._started_ns)
        self.phase = DONE
        self._lose_client()

    def half_closed(self) -> None:
        """Say that the client sends no more, though it may still read."""
        self._is_half_closed = True
        self._wake()

    def disconnected(self) -> None:
        """Say that the client is gone."""
        if self.phase == STREAMING:
            self._count()
        self._lose_client()

    def discard_body(self) -> None:
        """Throw away what nobody will take."""
        self._body = b""

    def describe(self) -> str:
        """Return the request line and its age, for a log."""
        age_s = (perf_counter_ns() - self._started_ns) / 1e9
        return f"{self.method} {self.target.decode('latin-1')} ({age_s:.3f} s)"

    # The response.

    def _begin(self, body: bytes, more_body: bool) -> None:
        """Write the head, with the first or only piece of the body."""
        connection = self.connection
        site = connection.site
        status = self._status
        fields: list[bytes] = []
        declared: bytes | None = None
        omitted = 0
        keep_alive = self.keep_alive
        for name, value in self._headers:
            meaning = _meanings.get(name)
            if meaning is None:
                meaning = _learn(name)
            if meaning == ORDINARY:
                fields += (name, b": ", value, b"\r\n")
            elif meaning == CONTENT_LENGTH:
                if declared is not None and declared != value:
                    raise RuntimeError("the response has two different Content-Lengths")
                declared = value
            elif meaning == SERVER:
                fields += (name, b": ", value, b"\r\n")
                omitted |= WITHOUT_SERVER
            elif meaning == DATE:
                fields += (name, b": ", value, b"\r\n")
                omitted |= WITHOUT_DATE
            elif meaning == CONNECTION and b"close" in value.lower():
                keep_alive = False
            # Framing and what concerns this hop only is the server's business.
        if fields:
            block = b"".join(fields)
            # One look at all of them: a newline more than there are headers was
            # smuggled in by a value, to split the response in two.
            count = len(fields) >> 2
            if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
                raise ValueError("a response header has a newline or a null byte in it")
        else:
            block = b""

        parts = [site.starts.without(status, omitted) if omitted else site.head_starts[status], block]
        content_left: int | None = None
        is_chunked = False
        if status in NO_BODY or self.method == "HEAD":
            digits = self._length_without_body(declared, body, more_body)
            body = b""
        elif not more_body:
            digits = b"%d" % len(body)
            if declared is not None and declared != digits:
                _judge_whole(declared, len(body))
        elif declared is not None:
            digits = declared
            content_left = _content_length(declared) - len(body)
            if content_left < 0:
                raise RuntimeError("the response is longer than its Content-Length")
        elif self.is_http10:
            digits = None
            keep_alive = False  # The end of the connection is the end of the body.
        else:
            digits = None
            is_chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
        if not keep_alive or (
            (site.is_draining or connection.intake == BODY) and connection.must_close(is_last=not more_body)
        ):
            self.keep_alive = False
            parts.append(b"connection: close\r\n")
        elif self.is_http10:
            parts.append(b"connection: keep-alive\r\n")
        if digits is None:
            parts.append(b"\r\n")
        else:
            parts += (b"content-length: ", digits, b"\r\n\r\n")

        if not more_body:
            self._count()
        size = len(body)
        if size <= JOIN_BYTES_MAX:
            parts.append(body)
            output = b"".join(parts)
            site.sent_bytes += len(output)
            connection.transport.write(output)
        else:
            output = b"".join(parts)
            site.sent_bytes += len(output) + size
            connection.transport.writelines((output, body))
        if more_body:
            self.phase = STREAMING
            self._content_left = content_left
            self._is_chunked = is_chunked
        else:
            self._finish()

    def _length_without_body(self, declared: bytes | None, body: bytes, more_body: bool) -> bytes | None:
        """Return the Content-Length of a response that must not have a body."""
        if self._status == 204:
            return None
        if declared is not None:
            _content_length(declared)
            return declared
        if body and not more_body and self.method == "HEAD":
            return b"%d" % len(body)
        return None  # What a GET would have had, nobody told us.

    def _continue(self, body: bytes, more_body: bool) -> None:
        """Write one more piece of a body."""
        size = len(body)
        output = b""
        if self._status in NO_BODY or self.method == "HEAD":
            pass
        elif self._is_chunked:
            end = b"" if more_body else b"0\r\n\r\n"
            output = b"%x\r\n%b\r\n%b" % (size, body, end) if size else end
        else:
            if self._content_left is not None:
                if size > self._content_left:
                    raise RuntimeError("the response is longer than its Content-Length")
                self._content_left -= size
                if self._content_left and not more_body:
                    raise RuntimeError("the response is shorter than its Content-Length")
            output = body
        if not more_body:
            self._count()
        if output:
            connection = self.connection
            connection.site.sent_bytes += len(output)
            connection.transport.write(output)
        if not more_body:
            self._finish()

    def _finish(self) -> None:
        if self._receivers is not None:
            self._wake()
        self.connection.responded(self)

    # When something is wrong.

    def _app_failed(self, error: Exception) -> None:
        if _is_disconnect(error):
            log.debug("The app gave up %s: the client is gone", self.describe())
        else:
            log.error("The app raised in %s", self.describe(), exc_info=error)
        if not self._is_gone and self.phase != DONE:
            self._fail()

    def _app_fell_short(self) -> None:
        said = "without a response" if self.phase != STREAMING else "before the response was complete"
        log.error("The app returned %s in %s", said, self.describe())
        self._fail()

    def _fail(self) -> None:
        """End a response that the app will not end."""
        if self.phase == STREAMING:
            self.cut()
            return
        # The client must hear that this connection ends, or it loses its next request.
        self.keep_alive = False
        self.respond(500, TEXT_HEADERS, error_text(500, "the application failed"))

    def cut(self) -> None:
        """Make a response that ended too early look like one: cut the connection."""
        if self.phase != DONE and not self._is_gone:
            if self.phase == STREAMING:
                self._count()
            self._lose_client()
            self.connection.abort()

    def _count(self) -> None:
        """
        Count the response, before its last bytes are written.

        Whoever has got an answer and then looks at the numbers finds it counted.
        """
        self.phase = DONE
        self._meter.count(self._status, perf_counter_ns() - self._started_ns)

    def _lose_client(self) -> None:
        self._is_gone = True
        self._body = b""
        self._wake()

    # Waiting for news: body, disconnect, the end of the response.

    async def _news(self) -> None:
        """
        Wait for the next event. Each caller has a future of its own, since
        cancelling one task that receives must not cancel another.
        """
        waiter = self.connection.site.loop.create_future()
        if self._receivers is None:
            self._receivers = [waiter]
        else:
            self._receivers.append(waiter)
        try:
            await waiter
        finally:
            if self._receivers is not None and waiter in self._receivers:
                self._receivers.remove(waiter)

    def _wake(self) -> None:
        receivers, self._receivers = self._receivers, None
        if receivers is not None:
            for receiver in receivers:
                if not receiver.done():
                    receiver.set_result(None)


def _content_length(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > CONTENT_LENGTH_DIGITS_MAX:
        raise RuntimeError(f"invalid Content-Length {digits!r} in the response")
    return int(digits)


def _judge_whole(declared: bytes, size: int) -> None:
    """Raise unless a Content-Length, written in another way than ours, is right."""
    length = _content_length(declared)
    if length != size:
        than = "longer" if size > length else "shorter"
        raise RuntimeError(f"the response is {than} than its Content-Length: {size} bytes, not {length}")


def _is_disconnect(error: BaseException | None) -> bool:
    """Tell whether an app's exception goes back to our ClientDisconnected."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ClientDisconnected):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_disconnect(part) for part in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
