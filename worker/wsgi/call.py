"""
One call of a WSGI app, in its thread: environ and `start_response` in, pieces out.

Everything here runs in the thread. What the app does wrong is found here, where
its own lines are in the traceback; the loop gets what is right.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import ClientDisconnected, is_disconnect
from penstock.worker.http.fields import (
    CONTENT_LENGTH,
    CR,
    LF,
    NUL,
    content_length,
    judge_name,
    judge_value,
    meanings,
)
from penstock.worker.http.phases import DONE
from penstock.worker.http.responses import NO_BODY
from penstock.worker.limits import JOIN_BYTES_MAX, RESPONSE_NAMES_MAX
from penstock.worker.wsgi.application import Environ, ExcInfo, Write
from penstock.worker.wsgi.body import reader
from penstock.worker.wsgi.environ import environ_of
from penstock.worker.wsgi.errors import ERRORS
from penstock.worker.wsgi.file_wrapper import FileWrapper

if TYPE_CHECKING:
    from penstock.worker.wsgi.exchange import WsgiExchange

log = logging.getLogger(__name__)

Pair = tuple[bytes, bytes]

# As apps write them, once judged.
_codes: dict[str, int] = {}
_names: dict[str, bytes] = {}


class Call:
    """
    Answers one request. `_left` is what the Content-Length still allows, None if
    there is none; `_is_begun` says that the head is on its way.
    """

    __slots__ = ("_exchange", "_headers", "_is_begun", "_is_silent", "_left", "_status")

    def __init__(self, exchange: "WsgiExchange") -> None:
        self._exchange = exchange
        self._status = 0  # until `start_response` was called
        self._headers: list[Pair] = []
        self._left: int | None = None
        self._is_begun = False
        # HEAD, 204 and 304: whatever the app gives, nothing is sent.
        self._is_silent = False

    def run(self) -> None:
        """Call the app and send what it gives, to the end, one way or another."""
        exchange = self._exchange
        try:
            response = exchange.bridge.app(self._environ(), self.start_response)
            if type(response) is list and self._send_list(response):
                return
            try:
                self._send_each(response)
            finally:
                # Here, in the thread, and whatever has happened.
                close = getattr(response, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._give_up(error)
        exchange.post(exchange.end, None)

    def _environ(self) -> Environ:
        exchange = self._exchange
        environ = environ_of(exchange.scope)
        environ["wsgi.version"] = (1, 0)
        environ["wsgi.input"] = reader(exchange)
        # Read to its end, it ends: with and without a Content-Length.
        environ["wsgi.input_terminated"] = True
        environ["wsgi.errors"] = ERRORS
        environ["wsgi.multithread"] = exchange.bridge.has_threads
        # Also of one worker there are two for a while when it is replaced.
        environ["wsgi.multiprocess"] = True
        environ["wsgi.run_once"] = False
        environ["wsgi.file_wrapper"] = FileWrapper
        return environ

    # For the app.

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Write:
        """Take status and headers. They are sent with the first piece of the body."""
        if exc_info is not None:
            try:
                if self._is_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # Its traceback has this frame in it.
        elif self._status:
            raise RuntimeError("start_response was called again, without exc_info")
        code = _codes[status] if status in _codes else _judge_status(status)
        left: int | None = None
        pairs: list[Pair] = []
        for name, value in headers:
            raw_name = _names[name] if name in _names else _judge_name(name)
            raw = _encoded(value, name)
            if CR in raw or LF in raw or NUL in raw:
                judge_value(raw)
            if meanings.get(raw_name) == CONTENT_LENGTH or raw_name.lower() == b"content-length":
                length = content_length(raw)
                if left is not None and left != length:
                    raise ValueError("the response has two different Content-Lengths")
                left = length
            pairs.append((raw_name, raw))
        self._headers = pairs
        self._left = left
        self._is_silent = code in NO_BODY or self._exchange.scope["method"] == "HEAD"
        self._status = code
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body now. For apps that are older than iterables."""
        if self._left is not None and not self._is_silent and len(data) > self._left:
            raise RuntimeError("the response is longer than its Content-Length")
        self._put(data)

    # Sending.

    def _send_list(self, pieces: list[bytes]) -> bool:
        """Send a short body that is there as a whole in one go, and end. False: it is not as simple."""
        exchange = self._exchange
        if self._is_begun or not self._status:
            return False
        if len(pieces) == 1:
            body = pieces[0]
        elif all(type(each) is bytes for each in pieces) and sum(map(len, pieces)) <= JOIN_BYTES_MAX:
            body = b"".join(pieces)
        else:
            return False
        if type(body) is not bytes or (self._left is not None and self._left != len(body)):
            return False
        exchange.post(exchange.deliver_and_end, (self._status, self._headers, body))
        return True

    def _send_each(self, pieces: Iterable[bytes]) -> None:
        kind = type(pieces)
        if self._left is None and self._status and not self._is_begun:
            if kind is list or kind is tuple:
                self._declare(sum(map(len, pieces)))
            elif kind is FileWrapper:
                assert isinstance(pieces, FileWrapper)
                size = pieces.whole_size()
                if size is not None:
                    self._declare(size)
        if isinstance(pieces, FileWrapper):
            pieces = pieces.in_large_blocks()
        for piece in pieces:
            if not self._put(piece):
                break
        self._finish()

    def _declare(self, size: int) -> None:
        if self._status not in NO_BODY:
            self._headers.append((b"content-length", b"%d" % size))
            self._left = size

    def _put(self, piece: bytes) -> bool:
        """Send a piece; wait while the client is slower than the app. False: there is no use in more."""
        if not isinstance(piece, bytes):
            raise TypeError(f"a response is made of bytes, and not of {type(piece).__name__}")
        if not piece:
            return True
        if not self._status:
            raise RuntimeError("a piece of the response came before start_response was called")
        exchange = self._exchange
        if exchange.phase >= DONE and not (self._is_begun and self._left == 0):
            raise ClientDisconnected("the client is gone")
        if self._is_silent or exchange.is_called_off:
            return False
        if self._left is None:
            self._send(piece)
            return True
        is_too_much = len(piece) > self._left
        if is_too_much:
            log.error("The response is longer than its Content-Length in %s", exchange.describe())
            piece = piece[: self._left]
            if not piece:
                return False
        self._left -= len(piece)
        if self._is_begun:
            self._send(piece)
            if not self._left:
                exchange.post(exchange.finish, None)
        elif self._left:
            self._send(piece)
        else:
            # All of it, and the app may take its time with what it does after.
            self._is_begun = True
            exchange.post(exchange.deliver, (self._status, self._headers, piece))
        return not is_too_much

    def _send(self, piece: bytes) -> None:
        exchange = self._exchange
        if self._is_begun:
            exchange.send_piece(exchange.go_on, piece, len(piece))
        else:
            self._is_begun = True
            exchange.send_piece(exchange.begin, (self._status, self._headers, piece), len(piece))

    def _finish(self) -> None:
        exchange = self._exchange
        if not self._status:
            raise RuntimeError("the app returned without having called start_response")
        if self._is_silent:
            if not self._is_begun:
                self._is_begun = True
                exchange.post(exchange.begin, (self._status, self._headers, b""))
                exchange.post(exchange.finish, None)
        elif self._left:
            raise RuntimeError(f"the response is {self._left} bytes shorter than its Content-Length")
        elif not self._is_begun:
            self._is_begun = True
            exchange.post(exchange.deliver, (self._status, self._headers, b""))
        elif self._left is None:
            exchange.post(exchange.finish, None)

    def _give_up(self, error: BaseException) -> None:
        exchange = self._exchange
        if is_disconnect(error, set()):
            log.debug("The app gave up %s: the client is gone", exchange.describe())
        else:
            log.error("The app raised in %s", exchange.describe(), exc_info=error)
        exchange.post(exchange.fail, error)


def _judge_status(status: str) -> int:
    if not isinstance(status, str):
        raise TypeError(f"the status of a response is a str such as '200 OK', and not {status!r}")
    digits, _, _ = status.partition(" ")
    if len(digits) != 3 or not digits.isascii() or not digits.isdigit() or not 200 <= int(digits) <= 599:
        raise ValueError(f"the status of a response is such as '200 OK', from 200 to 599, and not {status!r}")
    if len(_codes) < RESPONSE_NAMES_MAX:
        _codes[status] = int(digits)
    return int(digits)


def _judge_name(name: str) -> bytes:
    raw = _encoded(name, name)
    judge_name(raw)
    if len(_names) < RESPONSE_NAMES_MAX:
        _names[name] = raw
    return raw


def _encoded(text: str, name: object) -> bytes:
    try:
        return text.encode("latin-1")
    except AttributeError:
        raise TypeError(
            f"the response header {name!r} is to be of str, and not {type(text).__name__}"
        ) from None
    except UnicodeEncodeError:
        raise ValueError(f"the response header {name!r} has characters beyond latin-1") from None
