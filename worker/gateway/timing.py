"""
Links that take the response times of their server, for those upstreams that balance by them.

A time runs from the end of the request to the first byte of the answer: a slow
client or an endless stream is nothing against the server.
"""

from time import perf_counter_ns

from penstock.worker.gateway.link import Link
from penstock.worker.gateway.pool import Pool


class TimedLink(Link):
    """A link that tells its pool how long answers take."""

    __slots__ = ("_latency", "_sent_ns")

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        assert pool.latency is not None
        self._latency = pool.latency
        self._sent_ns = 0  # 0: no answer is awaited

    def data_received(self, data: bytes) -> None:
        """Take bytes of a response."""
        sent_ns = self._sent_ns
        if sent_ns:
            self._sent_ns = 0
            now_ns = perf_counter_ns()
            self._latency.observe(now_ns - sent_ns, now_ns)
        super().data_received(data)

    def watch(self, deadline_s: float) -> None:
        """Have the borrower told at a time. When the request is out, that is the deadline of the answer."""
        if not self.reader.has_begun:
            self._sent_ns = perf_counter_ns()
        super().watch(deadline_s)

    def abort(self) -> None:
        """Close at once. If an answer was awaited, it would have taken longer still."""
        if self._sent_ns:
            self._latency.failed(perf_counter_ns() - self._sent_ns)
            self._sent_ns = 0
        super().abort()
