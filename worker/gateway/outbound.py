"""
The outgoing half of a request that is passed on: what is said to the server.
"""

from typing import TYPE_CHECKING

from penstock.shm.counting import Meter
from penstock.worker.asgi.types import Scope
from penstock.worker.gateway import request_head
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.origin import Origin
from penstock.worker.gateway.outflow import Outflow
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.request_head import takes_trailers
from penstock.worker.gateway.terms import authority_of
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.inbox import Inbox
from penstock.worker.limits import UPSTREAM_MEMO_COUNT_MAX

if TYPE_CHECKING:
    from penstock.worker.http.connection import Connection


class Outbound(Exchange):
    """
    What `Inbound` builds upon: it adds the answer.
    """

    __slots__ = (
        "_attempts",
        "_failure",
        "_first_byte_ns",
        "_is_chunked",
        "_is_sent",
        "_is_waiting",
        "_memo",
        "_pool",
        "_sent_ns",
        "_target",
        "_tried",
        "_upstream",
        "_used",
        "is_gone",
        "link",
    )

    _memo: Memo | None
    _target: bytes
    _upstream: Upstream
    _pool: Pool
    _sent_ns: int  # when the server was asked
    # For those who ask; not there before there is something to tell.
    _used: Link
    _first_byte_ns: int  # unless the answer came whole
    _failure: int | None  # of the last server; None: it is being tried elsewhere

    def __init__(self, connection: "Connection", meter: Meter, scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self.link: Link | None = None
        self.is_gone = False
        self._is_sent = False
        self._is_chunked = False
        self._is_waiting = False  # for a link
        self._attempts = 0
        self._tried: list[int] = []

    def expect_body(self, *, is_complete: bool, expects_continue: bool) -> Inbox:
        """Make ready to pass a body on."""
        self.inbox = outflow = Outflow(
            self.connection.site.loop, is_complete=is_complete, expects_continue=expects_continue
        )
        outflow.passage = self  # type: ignore[assignment]  # it is one
        outflow.kept = b""
        return outflow

    def _offers(self) -> list[bytes]:
        """Return the protocols that the server may switch to."""
        return []

    def _takes_trailers(self) -> bool:
        return self.scope["http_version"] == "1.1" and takes_trailers(self.scope["headers"])

    def _remembered(self, link: Link) -> bytes | None:
        memo = self._memo
        if memo is None:
            return None
        # By the peer, and not by the client behind it: the latter is told of in the block itself.
        peer = self.connection.peer
        return memo.get((peer[0] if peer is not None else None, link.pool.terms))

    def _composed(self, link: Link) -> bytes:
        pool = link.pool
        scope = self.scope
        composed, is_lasting = request_head.compose(
            scope["headers"],
            self._origin(),
            pool.terms,
            method=scope["method"],
            version=scope["http_version"],
            authority=authority_of(pool.server.address),
            is_chunked=self._is_chunked,
            offers=self._offers(),
        )
        composed = b" " + composed
        memo, peer = self._memo, self.connection.peer
        if memo is not None and is_lasting:
            if len(memo) >= UPSTREAM_MEMO_COUNT_MAX:
                memo.clear()
            memo[peer[0] if peer is not None else None, pool.terms] = self._lasting(composed)
        return composed

    def _lasting(self, composed: bytes) -> bytes:
        """Return what of a composed head is remembered."""
        return composed

    def _origin(self) -> Origin:
        connection, scope = self.connection, self.scope
        peer, client = connection.peer, scope["client"]
        site = connection.site
        return Origin(
            None if peer is None else peer[0],
            None if client is None else client[0],
            scheme=scope["scheme"],
            own_scheme="https" if site.is_tls else "http",
            family=site.proxies.family if site.proxies is not None and connection.is_from_proxy else None,
        )

    def _frame(self, piece: bytes, *, is_last: bool) -> bytes:
        if not self._is_chunked:
            return piece
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        return chunk + b"0\r\n\r\n" if is_last else chunk
