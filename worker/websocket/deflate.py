"""
Compressed messages (RFC 7692): permessage-deflate, in bounds.

An extension of the websockets library, which negotiates it and hands it the
frames that it reads; `wire` uses the same two streams for the frames that it
reads and writes itself.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionName, ExtensionParameter

from penstock.worker.limits import WEBSOCKET_DEFLATE_LEVEL, WEBSOCKET_DEFLATE_MEMORY, WEBSOCKET_WINDOW_BITS

NAME: Final = ExtensionName("permessage-deflate")

# What a compressed message ends with, and what is left out of it: an empty stored block.
TAIL: Final = b"\x00\x00\xff\xff"
# What may stand behind a block that calls itself the last: nothing, or an empty block.
_NOTHING: Final = (b"", b"\x00", TAIL, b"\x00" + TAIL)

# As long as there is no limit that a peer could reach before the core has refused the frame.
_UNLIMITED: Final = 2**40


class Deflate(Extension):
    """
    The two streams of one connection. Each is made when it is used first.
    """

    name = NAME

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Follow what was agreed: the parameters of our response."""
        self._keeps_sent = "server_no_context_takeover" not in parameters
        self._keeps_received = "client_no_context_takeover" not in parameters
        self._bits_sent = int(parameters.get("server_max_window_bits") or zlib.MAX_WBITS)
        self._bits_received = int(parameters.get("client_max_window_bits") or zlib.MAX_WBITS)
        self._encoder: Any = None
        self._decoder: Any = None
        self._is_in_message = False

    def inflate(self, data: bytes, size_max: int, *, is_last: bool = True) -> bytes:
        """
        Return what a message, or the next frame of one, says.

        Not more than a byte beyond the limit is ever built up, however much it
        would be. Raises ProtocolError, PayloadTooBig.
        """
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = zlib.decompressobj(-self._bits_received)
        try:
            # With one byte more than there may be: a limit of 0 would be none to zlib.
            piece: bytes = decoder.decompress(data + TAIL if is_last else data, size_max + 1)
        except zlib.error as error:
            raise ProtocolError("decompression failed") from error
        if len(piece) > size_max:
            raise PayloadTooBig(None, size_max)
        if decoder.eof:
            # Of a stream that has ended zlib keeps whatever comes, for ever.
            if decoder.unused_data not in _NOTHING:
                raise ProtocolError("data after the last block")
            if is_last:
                self._decoder = None
        elif is_last and not self._keeps_received:
            self._decoder = None
        return piece

    def deflate(self, data: bytes) -> bytes:
        """Compress a whole message."""
        encoder = self._encoder
        if encoder is None:
            encoder = zlib.compressobj(
                WEBSOCKET_DEFLATE_LEVEL, zlib.DEFLATED, -self._bits_sent, WEBSOCKET_DEFLATE_MEMORY
            )
            if self._keeps_sent:
                self._encoder = encoder
        compressed: bytes = encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)
        return compressed[:-4]

    # For the core.

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Take the compression off a frame."""
        opcode = frame.opcode
        if opcode is Opcode.CONT:
            if not self._is_in_message:
                return frame
            if frame.rsv1:
                raise ProtocolError("RSV1 set in a continuation frame")
        elif opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if not frame.rsv1:
                return frame
        else:
            return frame
        self._is_in_message = not frame.fin
        size_max = _UNLIMITED if max_size is None else max_size
        piece = self.inflate(bytes(frame.data), size_max, is_last=frame.fin)
        return Frame(opcode, piece, frame.fin, False, frame.rsv2, frame.rsv3)

    def encode(self, frame: Frame) -> Frame:
        """Leave a frame as it is: the core sends none but control frames."""
        return frame


class DeflateFactory(ServerPerMessageDeflateFactory):
    """Negotiates the extension as the library does, with windows of a size that a server can afford."""

    def __init__(self) -> None:
        super().__init__(
            server_max_window_bits=WEBSOCKET_WINDOW_BITS, client_max_window_bits=WEBSOCKET_WINDOW_BITS
        )

    def process_request_params(  # type: ignore[override]
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Return our parameters, and the extension. Raises NegotiationError."""
        answer, _ = super().process_request_params(params, accepted_extensions)
        return answer, Deflate(dict(answer))
