"""
What comes over one WebSocket, as messages for its app, and the other way round.

Pure: bytes go in and come out, and it knows no socket. Frames are read by the
websockets library, the *core*, which judges them and answers pings and closes.
Only a frame as nearly all are is read here, at a third of the cost: a whole
message, masked, all there, in a connection on which nothing
else is under way. To tell the one from the other the stream is cut into frames
here, so the core never has more than a piece of one.
"""

import codecs
import struct
from collections import deque
from typing import Any, Final

from websockets.exceptions import PayloadTooBig, ProtocolError, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.worker.asgi.types import Message
from penstock.worker.limits import (
    WEBSOCKET_DEFLATE_BYTES_MIN,
    WEBSOCKET_FRAMES_PER_TURN_MAX,
    WEBSOCKET_QUEUE_BYTES_MAX,
)
from penstock.worker.logs import LOG
from penstock.worker.websocket.deflate import Deflate

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

# First bytes of whole messages.
TEXT: Final = 0x81
BINARY: Final = 0x82
CLOSE: Final = 0x88
COMPRESSED: Final = 0x40
MASKED: Final = 0x80

# The head of a message of up to 125 bytes, by its size.
HEADS: Final = {
    first: tuple(bytes((first, size)) for size in range(126))
    for first in (TEXT, BINARY, TEXT | COMPRESSED, BINARY | COMPRESSED)
}
_LONG: Final = struct.Struct("!BBH").pack
_LONGER: Final = struct.Struct("!BBQ").pack

# The largest close frame has 125 bytes, of which the code takes two.
REASON_BYTES_MAX: Final = 123


class Wire:
    """
    The frames of one connection.

    Messages are appended to `messages`, which is the app's queue, and bytes for
    the client to `output`. When the queue is full (`is_full`) or a turn's work is
    done (`has_more`) the rest of the bytes waits for `go_on`. `end` is the code
    and reason with which it is over, for whatever cause, once it is.
    """

    __slots__ = (
        "_core",
        "_decoder",
        "_deflate",
        "_held",
        "_is_at_head",
        "_is_quiet",
        "_is_text",
        "_left",
        "_message_bytes_max",
        "_parts",
        "_queue_count_max",
        "_queued_bytes",
        "_usual",
        "end",
        "has_more",
        "is_discarding",
        "is_full",
        "messages",
        "output",
    )

    def __init__(
        self,
        core: ServerProtocol,
        messages: deque[Message],
        *,
        message_bytes_max: int,
        queue_count_max: int,
        is_quick: bool = True,
    ) -> None:
        """Begin behind the handshake, whose outcome the core has. Without `is_quick` the core reads all."""
        self._core = core
        self._deflate = next((each for each in core.extensions if isinstance(each, Deflate)), None)
        self._message_bytes_max = message_bytes_max
        self._queue_count_max = queue_count_max
        # What is read here: first bytes of whole messages.
        usual = (TEXT, BINARY) if self._deflate is None else tuple(HEADS)
        self._usual = frozenset(usual if is_quick else ())
        self.messages = messages
        self._queued_bytes = 0  # at most, since the queue was empty
        self.output: list[bytes] = []
        self.end: tuple[int, str] | None = None
        self.is_full = False
        self.has_more = False
        # Messages are of no interest any more: the app has closed.
        self.is_discarding = False
        # Bytes that wait: all of them, or the beginning of a frame's head.
        self._held = b""
        # So many more bytes are the core's: the rest of the frame that it is at.
        self._left = 0
        # The core is at no fragmented message, and has sent or got no close.
        self._is_quiet = True
        # A frame begins with the next byte, and it may be one that is read here.
        self._is_at_head = True
        # A message in fragments. In one piece, or empty fragments by the million would be as many objects.
        self._parts = bytearray()
        self._is_text = False
        self._decoder: codecs.IncrementalDecoder | None = None

    # From the client.

    def receive(self, data: bytes) -> bool:
        """Take bytes. Return whether there is more to see to than messages."""
        if self._is_at_head:
            size = len(data)
            # Nearly always they are one short message.
            if size > 5 and data[1] - 122 == size and data[0] in self._usual:
                return self._take_message(data[0], apply_mask(data[6:], data[2:6]))
        elif self.is_full or self.has_more:
            self._held += data
            return True
        return self._cut(self._held + data if self._held else data)

    def go_on(self) -> bool:
        """Go on with what waited. Return as `receive` does."""
        self.has_more = False
        data, self._held = self._held, b""
        return self._cut(data)

    def drained(self) -> None:
        """Note that the app has taken all messages."""
        self._queued_bytes = 0
        self.is_full = False

    def discard(self) -> None:
        """Deliver nothing more: the app has had enough."""
        self.is_discarding = True
        self.messages.clear()
        self.drained()

    def release(self) -> None:
        """Give back the memory of both streams, and of the core, which nobody is to use any more."""
        # It refers to itself, by its parser, so it would stay until the next full collection.
        self._core.extensions = []
        self._core.parser.close()
        self._deflate = None

    # To the client.

    def head(self, first: int, size: int) -> bytes:
        """Return the head of a frame."""
        if size < 126:
            return HEADS[first][size]
        return _LONG(first, 126, size) if size < 65536 else _LONGER(first, 127, size)

    def pack(self, first: int, payload: bytes) -> tuple[bytes, bytes]:
        """Return head and payload of the frame that carries a whole message."""
        if self._deflate is not None and len(payload) >= WEBSOCKET_DEFLATE_BYTES_MIN:
            payload = self._deflate.deflate(payload)
            first |= COMPRESSED
        size = len(payload)
        if size < 126:
            return HEADS[first][size], payload
        return _LONG(first, 126, size) if size < 65536 else _LONGER(first, 127, size), payload

    def close(self, code: int, reason: str) -> None:
        """Send a close. Raises ValueError for a code that nobody may send."""
        try:
            self._core.send_close(code, shortened(reason))
        except ProtocolError as error:
            raise ValueError(f"{error}: {code!r}") from None
        self._collect()

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self._core.send_ping(payload)
        self._collect()

    def fail(self, code: int, reason: str) -> None:
        """Send a close and be at the end: whatever the client may still send is of no interest."""
        self._core.fail(code, shortened(reason))
        self._collect()
        self._end(code, reason)

    @property
    def is_clean(self) -> bool:
        """Tell whether the client has closed, and waits for the end of the connection."""
        return self._core.close_rcvd is not None

    # Reading.

    def _cut(self, data: bytes) -> bool:
        """Cut bytes into frames, and have each read, as far as there is room for them."""
        at, size, count = 0, len(data), 0
        is_usual = self._usual
        while at < size and self.end is None:
            if self._left:
                stop = min(size, at + self._left)
                self._left -= stop - at
                self._step(data[at:stop])
                at = stop
                continue
            if self.is_full or count == WEBSOCKET_FRAMES_PER_TURN_MAX:
                self.has_more = True
                break
            if size - at < 2:
                break
            second = data[at + 1]
            length = second & 0x7F
            payload_at = at + 6
            if length > 125:
                payload_at += 2 if length == 126 else 8
                if size < payload_at - 4:
                    if second < MASKED:
                        self._left = size - at  # There is no more to know: the core refuses it.
                        continue
                    break
                length = int.from_bytes(data[at + 2 : payload_at - 4], "big")
            stop = payload_at + length
            count += 1
            if (
                stop <= size
                and self._is_quiet
                and data[at] in is_usual
                and second >= MASKED
                and length <= self._message_bytes_max
            ):
                self._take_message(
                    data[at], apply_mask(data[payload_at:stop], data[payload_at - 4 : payload_at])
                )
                at = stop
            else:
                if data[at] == CLOSE:
                    # It may come within a fragmented message (RFC 6455, 5.4), for which the core would
                    # refuse it. Whatever else is wrong with it, that message is over.
                    self._core.current_size = None
                # Without a mask it is four bytes less; but that one is refused by its head.
                self._left = stop - at
        self._held = data[at:] if self.end is None else b""
        self._is_at_head = (
            self._is_quiet and not self._held and not self._left and not self.is_full and self.end is None
        )
        return not self._is_at_head or bool(self.output)

    def _take_message(self, first: int, payload: bytes) -> bool:
        """Take a whole message; return whether there is more to see to."""
        try:
            if first & COMPRESSED:
                assert self._deflate is not None
                payload = self._deflate.inflate(payload, self._message_bytes_max)
            message: dict[str, Any] = (
                {"type": "websocket.receive", "text": payload.decode()}
                if first & 1
                else {"type": "websocket.receive", "bytes": payload}
            )
        except (UnicodeDecodeError, WebSocketException) as error:
            self._refuse(error)
            return True
        return self._deliver(message, len(payload))

    def _deliver(self, message: Message, size: int) -> bool:
        if self.is_discarding:
            return False
        messages = self.messages
        messages.append(message)
        self._queued_bytes += size
        if len(messages) < self._queue_count_max and self._queued_bytes < WEBSOCKET_QUEUE_BYTES_MAX:
            return False
        self.is_full = True
        self._is_at_head = False
        return True

    def _step(self, piece: bytes) -> None:
        """Give a piece of a frame to the core, and see what it makes of it."""
        core = self._core
        core.receive_data(piece)
        for event in core.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE:
                close = core.close_rcvd
                assert close is not None
                self._end(int(close.code), close.reason)
            elif event.opcode is not Opcode.PING and event.opcode is not Opcode.PONG:
                self._take_frame(event)
        error = core.parser_exc
        if error is not None and self.end is None:
            if not isinstance(error, (WebSocketException, UnicodeDecodeError)):
                LOG.error("a WebSocket's frames could not be read", exc_info=error)
            close = core.close_sent
            self._end(*((int(close.code), close.reason) if close is not None else (1006, "")))
        self._is_quiet = core.state is State.OPEN and core.current_size is None
        self._collect()

    def _take_frame(self, frame: Frame) -> None:
        """Take a message, or a fragment of one, from the core."""
        data = bytes(frame.data)
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._take_message(TEXT if self._is_text else BINARY, data)
                return
            self._decoder = codecs.getincrementaldecoder("utf-8")() if self._is_text else None
        try:
            if self._decoder is not None:
                # A text that goes wrong in its first fragment is refused then, and not with its last.
                self._decoder.decode(data, frame.fin)
        except UnicodeDecodeError as error:
            self._refuse(error)
            return
        self._parts += data
        if frame.fin:
            whole, self._parts = bytes(self._parts), bytearray()
            self._take_message(TEXT if self._is_text else BINARY, whole)

    def _refuse(self, error: Exception) -> None:
        """Fail because of what a message holds, in the words of the core."""
        if isinstance(error, UnicodeDecodeError):
            self.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
        elif isinstance(error, PayloadTooBig):
            self.fail(CloseCode.MESSAGE_TOO_BIG, str(error))
        else:
            self.fail(CloseCode.PROTOCOL_ERROR, str(error))

    def _end(self, code: int, reason: str) -> None:
        if self.end is None:
            self.end = (code, reason)
        self._is_quiet = self._is_at_head = False
        self._parts = bytearray()

    def _collect(self) -> None:
        """Take what the core has to send; its word for the end of the stream is the empty one."""
        self.output += [each for each in self._core.data_to_send() if each]
        self._is_quiet = self._is_quiet and self._core.state is State.OPEN
        self._is_at_head = self._is_at_head and self._is_quiet


def shortened(reason: str) -> str:
    """Cut a reason to what a close frame has room for, between two characters."""
    encoded = reason.encode("utf-8", "replace")
    return encoded[:REASON_BYTES_MAX].decode("utf-8", "ignore")
