"""
One request body on its way in: how much of what arrives belongs to it, and
whether it comes fast enough.
"""

from http import HTTPStatus

from penstock.worker.http.chunked import ChunkedDecoder
from penstock.worker.http.head import RequestError
from penstock.worker.limits import BODY_RATE_GRACE_S


class IncomingBody:
    """
    Cuts a body out of what arrives, and holds it to its limits.

    `left` is what is still to come; None when only the end will tell (chunked).
    `heard_s` is when the last of it came, or could have: its reader sets it.
    """

    __slots__ = ("_decoder", "_since_s", "_taken_bytes", "heard_s", "left")

    def __init__(
        self,
        content_length: int | None,
        *,
        size_max: int | None,
        trailer_bytes_max: int,
        trailer_count_max: int,
        now_s: float = 0.0,
    ) -> None:
        """Begin. Raises RequestError for a length beyond the limit."""
        self.left = content_length
        self._taken_bytes = 0
        self._since_s = self.heard_s = now_s
        self._decoder: ChunkedDecoder | None = None
        if content_length is None:
            self._decoder = ChunkedDecoder(
                trailer_bytes_max, trailer_count_max=trailer_count_max, size_max=size_max
            )
        elif size_max is not None and content_length > size_max:
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
                self._taken_bytes += len(data)
                return data, b""
            piece, rest = data[: self.left], data[self.left :]
            self.left = 0
            return piece, rest
        piece = self._decoder.feed(data)
        self._taken_bytes += len(piece)
        return piece, self._decoder.surplus if self._decoder.is_done else b""

    def wait_until(self, now_s: float) -> None:
        """Reckon no time of the client up to now since it was last heard: it could not send."""
        self._since_s += now_s - self.heard_s
        self.heard_s = now_s

    def due_s(self, timeout_s: float, rate: int | None) -> float:
        """
        Tell when its time is over if nothing more comes: after a pause too long, or
        when it was slower, all in all, than so many bytes a second.
        """
        due_s = self.heard_s + timeout_s
        if rate is None:
            return due_s
        return min(due_s, self._since_s + max(BODY_RATE_GRACE_S, self._taken_bytes / rate))
