"""
One request body on its way in: how much of what arrives belongs to it.
"""

from http import HTTPStatus

from penstock.worker.http.chunked import ChunkedDecoder
from penstock.worker.http.head import RequestError


class IncomingBody:
    """
    Cuts a body out of what arrives, and holds it to its limit.

    `left` is what is still to come; None when only the end will tell (chunked).
    """

    __slots__ = ("_decoder", "_size_left", "left")

    def __init__(self, content_length: int | None, *, size_max: int | None, trailer_bytes_max: int) -> None:
        """Begin. Raises RequestError for a length beyond the limit."""
        self.left = content_length
        self._size_left = size_max
        self._decoder = ChunkedDecoder(trailer_bytes_max) if content_length is None else None
        if content_length is not None and size_max is not None and content_length > size_max:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large")

    @property
    def is_complete(self) -> bool:
        """Tell whether all of it has come."""
        return self.left == 0 if self._decoder is None else self._decoder.is_done

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the piece of the body that `data` has, and what comes after the body."""
        if self._decoder is None:
            assert self.left is not None
            if len(data) <= self.left:
                self.left -= len(data)
                return data, b""
            piece, rest = data[: self.left], data[self.left :]
            self.left = 0
            return piece, rest
        piece = self._decoder.feed(data)
        if self._size_left is not None:
            self._size_left -= len(piece)
            if self._size_left < 0:
                raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large")
        return piece, self._decoder.surplus if self._decoder.is_done else b""
