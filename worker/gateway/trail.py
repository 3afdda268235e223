"""
Where a request went: what a log says of its way to an upstream server.

Pure. Made when somebody asks, which is with a log line or an incident, and
never for the others.
"""

from typing import Final, NamedTuple


class Trail(NamedTuple):
    """The way of one request. Times are in µs; None is what did not happen."""

    upstream: str | None
    tried: tuple[str, ...] = ()  # the addresses of the servers, in order; the last had it in the end
    status: int | None = None  # of the answer
    failure: str | None = None  # why the last server did not answer, or not all: as in the metrics
    word: int = 0  # the first of the last server's numbers in the row; 0: it has none
    connect_us: int | None = None  # 0 on a connection that was there
    sent_us: int | None = None  # from the request's head to its being sent
    head_us: int | None = None  # from that to the head of the answer; None also if it came with the rest

    @property
    def server(self) -> str | None:
        """The server that had the request in the end."""
        return self.tried[-1] if self.tried else None

    def server_us(self, elapsed_us: int) -> int | None:
        """Tell how long the last server had it, of a request that took so long."""
        return None if self.sent_us is None else max(0, elapsed_us - self.sent_us)

    def first_byte_us(self, elapsed_us: int) -> int | None:
        """Tell how long it took to begin its answer, if it did."""
        if self.status is None:
            return None
        return self.server_us(elapsed_us) if self.head_us is None else self.head_us


# Of a request that went nowhere, where others go to upstreams.
NOWHERE: Final = Trail(None)
