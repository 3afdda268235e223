"""
The incoming half of a request that is passed on: what the server answers, and what the client has of it.
"""

from abc import abstractmethod
from time import perf_counter_ns
from typing import Final

from penstock.worker.gateway import response_head
from penstock.worker.gateway.link import KnownHead, Link
from penstock.worker.gateway.outbound import Outbound
from penstock.worker.gateway.response_reader import ResponseReader
from penstock.worker.gateway.sluice import divert
from penstock.worker.http.phases import DONE, IDLE, STREAMING, WAITING
from penstock.worker.http.responses import NO_BODY, interim
from penstock.worker.limits import SLUICE_BYTES_MIN

# Nobody asked the server for it: the client is told here when its body is wanted.
GO_ON: Final = 100


class Inbound(Outbound):
    """
    What `Passage` builds upon: it adds which servers are asked.
    """

    __slots__ = ()

    @abstractmethod
    def _is_judged(self, link: Link) -> bool:
        """Judge the server by the status; return True if another one is asked instead."""

    # What the link says.

    def came_whole(self, link: Link, known: KnownHead, data: bytes, size: int) -> bool:
        """Pass a response on whose head was seen before, if that is all there is to it."""
        if not self.is_plain or self.notes is not None or len(data) - size != known.content_length:
            return False
        self.link = None
        link.reader.keep_alive = True
        pool = link.pool
        pool.give_back(link)
        connection = self.connection
        site = connection.site
        output = known.output + data[size:]
        self.status = status = known.status
        self.phase = DONE
        now_ns = perf_counter_ns()
        elapsed_us = (now_ns - self.started_ns) // 1000
        pool.count(status, (now_ns - self._sent_ns) // 1000)
        self.meter.count(status, elapsed_us)
        site.sent_bytes += len(output)
        if elapsed_us >= site.noted_from_us or status >= 500:
            site.note(self, elapsed_us, len(output))
        if self.entry is not None:
            site.board.end(self.entry)
            self.entry = None
        connection.exchange = None
        connection.transport.write(output)
        if self.is_plain:
            connection.intake = IDLE
            connection.deadline_s = site.idle_deadline_s
        else:
            connection.responded()
        return True

    def came(self, link: Link) -> None:
        """Pass on what has come of the response."""
        reader = link.reader
        if reader.interims:
            self._pass_interims(link)
        if not reader.is_head_complete:
            return
        if self.phase == WAITING and (reader.status >= 500 or link.pool.is_wary) and self._is_judged(link):
            return
        is_last = reader.is_complete
        piece = reader.take()
        head = self._head_for(link, piece) if self.phase == WAITING else b""
        if is_last and reader.trailers and self.framing.is_chunked and self._takes_trailers():
            framed = self.framing.frame(piece) + response_head.compose_trailers(reader.trailers)
        else:
            framed = self.framing.frame(piece, is_last=is_last)
        if is_last:
            if head and self._is_usual(link):
                link.pool.saw(link.first_head, KnownHead(self.status, len(piece), head))
            self._release(link)
            self.write(head, framed, False)
            return
        if head or framed:
            self.write(head, framed, True)
        link.watch(self._upstream.now_s + self._upstream.idle_s)
        if reader.left >= SLUICE_BYTES_MIN and divert(self, link):
            return
        if self.connection.is_write_blocked:
            link.pause_reading()
            self.connection.when_writable(self._client_takes)

    def let_through(self, link: Link, size: int) -> None:
        """Count what has passed by."""
        framing = self.framing
        assert framing.left is not None
        framing.left -= size
        self.sent(size)
        link.watch(self._upstream.now_s + self._upstream.idle_s)

    # Within.

    def _is_usual(self, link: Link) -> bool:
        """Tell whether the next response with the same head can be passed on without a look at it."""
        reader = link.reader
        return (
            self.is_plain
            and self.notes is None
            and reader.content_length is not None
            and reader.keep_alive
            and not reader.is_spoilt
            and not reader.has_interims  # the first head was not its own
            and bool(link.first_head)
            and self.status not in NO_BODY
            and self.status < 500  # Those are judged.
        )

    def _head_for(self, link: Link, piece: bytes) -> bytes:
        """Judge the head of the response, and return the client's."""
        self._first_byte_ns = perf_counter_ns()
        reader = link.reader
        connection = self.connection
        site = connection.site
        scope = self.scope
        headers = response_head.passed_headers(
            reader.headers, link.pool.terms.via(reader.version), reader.status
        )
        sticky = self._upstream.sticky
        if sticky is not None:
            sticky.mark(headers, scope, link.pool.server.address)
        if self.notes is not None:
            headers = self.notes.complete(headers)
        self.status = reader.status
        self._headers = headers
        head, self.framing, must_close = response_head.compose(
            reader.status,
            headers,
            method=scope["method"],
            is_http10=scope["http_version"] == "1.0",
            content_length=self._length(reader, piece),
            must_close=not connection.keep_alive or connection.must_close(is_last=reader.is_complete),
            date=site.starts.date_field,
        )
        if must_close:
            connection.keep_alive = False
        self._sent_bytes = 0
        self.phase = STREAMING
        return head

    def _length(self, reader: ResponseReader, piece: bytes) -> int | None:
        if not reader.is_complete or (reader.trailers and self._takes_trailers()):
            return reader.content_length
        return len(piece)

    def _pass_interims(self, link: Link) -> None:
        interims, link.reader.interims = link.reader.interims, []
        if self.phase != WAITING or self.scope["http_version"] != "1.1":
            return
        hop = link.pool.terms.via(link.reader.version)
        for status, headers in interims:
            if status != GO_ON:
                output = interim(status, response_head.passed_headers(headers, hop))
                self.connection.site.sent_bytes += len(output)
                self.connection.transport.write(output)

    def _client_takes(self) -> None:
        if self.link is not None:
            self.link.resume_reading()

    def _release(self, link: Link) -> None:
        """Give the link back, if the server has had the whole request; else it cannot be used again."""
        self.link = None
        self._count_answer(link)
        if self._is_sent:
            link.pool.give_back(link)
        else:
            link.borrower = None
            link.abort()

    def _count_answer(self, link: Link) -> None:
        link.pool.count(self.status, (perf_counter_ns() - self._sent_ns) // 1000)
