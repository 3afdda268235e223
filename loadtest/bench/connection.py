"""
One connection of the generator: the request in hand, its answers, and how either fails.

It does not know when to send. The generator calls `begin`, and learns through
`Owner` that the request in hand is over, or when to call `open` again.
"""

import errno
import select
import socket
from time import perf_counter
from typing import Any, Protocol

import httptools

RECEIVE_BYTES = 64 * 1024

# After a first failure the next request tries at once; then ever later, so that a
# server that died costs two connects a second on each connection, and not a core.
BACKOFF_S_MIN = 0.01
BACKOFF_S_MAX = 0.5
BACKOFF_DOUBLINGS_MAX = 6


class Owner(Protocol):
    """What a connection needs of the generator."""

    family: int
    address: Any
    answer_count: int  # To each write: more than one when a script pipelines.

    def watch(self, connection: "Connection", *, is_writing: bool) -> None:
        """Report the socket's events to the connection."""

    def unwatch(self, connection: "Connection") -> None:
        """Stop reporting."""

    def answered(self, connection: "Connection", now_s: float, status: int) -> None:
        """Count an answer."""

    def lost(self, connection: "Connection", kind: str, now_s: float) -> None:
        """Count every answer that is still awaited as lost."""

    def erred(self, kind: str) -> None:
        """Count an error that lost no request."""

    def over(self, connection: "Connection") -> None:
        """Choose what the connection does next."""

    def wake(self, connection: "Connection", at_s: float) -> None:
        """Call `open` at that time."""

    def show(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """Show the script an answer."""


class Connection:
    """A client with at most one request, or one pipelined batch, in hand."""

    def __init__(self, owner: Owner, index: int) -> None:
        self.owner = owner
        self.index = index
        self.fd = -1
        self.due_s = 0.0
        self.batch = 0  # The number of the next batch.
        self.awaited = 0  # Answers to the batch in hand that have not come.
        self.is_busy = False  # A batch is in hand.
        self.is_connected = False
        self.failures = 0  # In a row.
        self._socket: socket.socket | None = None
        self._unsent = b""
        self._is_watching_writes = False
        self._head = b""  # The bytes that the answer under way began with.
        self._is_in_answer = False
        self._is_last = False  # The server closes after this answer.

    def begin(self, due_s: float, request: bytes) -> None:
        """Take a batch in hand, and send it as soon as the socket lets us."""
        assert not self.is_busy
        self.is_busy = True
        self.due_s = due_s
        self.awaited = self.owner.answer_count
        self._unsent = request
        if self.is_connected:
            self._flush()
        else:
            self.open()

    def open(self) -> None:
        """Connect, unless that is under way."""
        if self._socket is not None:
            return
        self._socket = socket.socket(self.owner.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self._socket.fileno()
        self._parser = httptools.HttpResponseParser(self)
        self._is_in_answer = self._is_last = False
        status = self._socket.connect_ex(self.owner.address)
        if status in (0, errno.EINPROGRESS):
            self._watch(is_writing=True)
        else:
            self._connect_failed()

    def close(self) -> None:
        """Close the socket. A request in hand stays in hand."""
        if self._socket is not None:
            self.owner.unwatch(self)
            self._socket.close()
            self._socket = None
        self.is_connected = False

    def backoff_s(self) -> float:
        """How long to wait before the next try."""
        if self.failures < 2:
            return 0.0
        return min(BACKOFF_S_MIN * (1 << min(self.failures - 2, BACKOFF_DOUBLINGS_MAX)), BACKOFF_S_MAX)

    def ready(self, events: int) -> None:
        """Go on, now that the kernel reported the socket."""
        if not self.is_connected:
            self._connected()
            return
        if events & select.EPOLLOUT:
            self._flush()
        if events & ~select.EPOLLOUT and self.is_connected:
            self._receive()

    def _connected(self) -> None:
        assert self._socket is not None
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._connect_failed()
            return
        self.is_connected = True
        if self._unsent:
            self._flush()
        else:
            self._watch(is_writing=False)

    def _connect_failed(self) -> None:
        """Keep the request in hand: it waits for the next try, and its latency grows."""
        self.close()
        self.owner.erred("connect")
        self.failures += 1
        if self.is_busy:
            self.owner.wake(self, perf_counter() + max(self.backoff_s(), BACKOFF_S_MIN))

    def _watch(self, *, is_writing: bool) -> None:
        self._is_watching_writes = is_writing
        self.owner.watch(self, is_writing=is_writing)

    def _flush(self) -> None:
        assert self._socket is not None
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose("write")
            return
        self._unsent = self._unsent[sent:]
        if bool(self._unsent) != self._is_watching_writes:
            self._watch(is_writing=bool(self._unsent))

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._lose("read")
            return
        self._now_s = perf_counter()
        if not data:
            self._ended()
            return
        if not self._is_in_answer:
            self._head = data
        elif b"\r\n\r\n" not in self._head:
            self._head += data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose("read")
            return
        self._settle()

    def on_message_begin(self) -> None:
        """Note that an answer began."""
        self._is_in_answer = True

    def on_message_complete(self) -> None:
        """Count an answer that is whole."""
        status = self._parser.get_status_code()
        self._is_in_answer = False
        if status < 200:
            return  # "100 Continue" and its kind are no answer yet.
        self._is_last = not self._parser.should_keep_alive()
        if self.awaited > 0:
            self.owner.answered(self, self._now_s, status)
        self.awaited -= 1

    def _ended(self) -> None:
        """The server closed: the end of an answer without a length, the loss of one, or nothing."""
        if self._is_in_answer and self.is_busy and is_delimited_by_end(self._head):
            self.on_message_complete()
            self._is_last = True
            self._settle()
        else:
            self._lose("read")

    def _settle(self) -> None:
        """See what the bytes that were read have left to do."""
        if self.awaited > 0:
            if self._is_last:
                self._lose("read")
            return
        if self.awaited < 0:
            self.awaited = 0
            self.owner.erred("read")  # An answer that nobody asked for.
            self._is_last = True
        if self._is_last or self._unsent:
            self._unsent = b""
            self.close()
        if self.is_busy:
            self.is_busy = False
            self.failures = 0
            self.owner.over(self)

    def _lose(self, kind: str) -> None:
        """Close, and give the batch in hand up. Nothing is lost by a connection that was idle."""
        self.close()
        self._unsent = b""
        if self.is_busy:
            self.owner.lost(self, kind, perf_counter())
            self.awaited = 0
            self.is_busy = False
            self.failures += 1
            self.owner.over(self)


class ShowingConnection(Connection):
    """A connection that puts its answers together, for a script that looks at them."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name] = value

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.owner.show(status, self._headers, b"".join(self._body))
        super().on_message_complete()


def is_delimited_by_end(head: bytes) -> bool:
    """Tell whether an answer goes on until the server closes: it has no length and no chunks."""
    head, end, _ = head.lower().partition(b"\r\n\r\n")
    return bool(end) and b"\r\ncontent-length:" not in head and b"chunked" not in head
