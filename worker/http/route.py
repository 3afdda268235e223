"""
What is done with the requests that a rule takes, made ready when the worker starts.

Which rule takes a request is asked in `routing`.
"""

import contextvars
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from penstock.shm.board import route_tag
from penstock.shm.counting import Meter
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.asgi.types import ASGIApp
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.edits import Edits
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.gate import Gate
from penstock.worker.http.split import Split
from penstock.worker.websocket.upgrade import Upgrade


class Bridge(Protocol):
    """What answers requests in another way than by a task that calls an ASGI app."""

    exchange: type[Exchange]

    def take(self, exchange: Exchange, context: contextvars.Context) -> None:
        """Answer a request, which is such an exchange and is to see this context."""

    def gated(self, gate: Gate, base: type[Exchange]) -> "Bridge":
        """Put a gate before it; `base` is what the exchanges of its route are else."""


class HostedApp(NamedTuple):
    """An application that is ready to be called, and its lifespan. One of WSGI is behind a bridge."""

    app: ASGIApp | None
    lifespan: Lifespan
    bridge: Bridge | None = None


class Route:
    """
    What is done with the requests that a rule takes: an app is called, they go
    over a bridge or to an upstream, or, when there is none of these, the same
    answer is given to all.
    """

    __slots__ = (
        "app",
        "body",
        "bridge",
        "context",
        "edits",
        "errand",
        "exchange",
        "headers",
        "is_here",
        "meter",
        "split",
        "state",
        "status",
        "tag",
        "tunnel",
        "upgrade",
        "upstream",
    )

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.tag = route_tag(meter.first_class)  # on the board
        self.app: ASGIApp | None = None
        self.bridge: Bridge | None = None
        self.upstream: Upstream | None = None
        # Whether its exchange answers by itself: no app, bridge or upstream does.
        self.is_here = True
        # What the usual requests that go there are copied from.
        self.errand: Passage | None = None
        # What makes the exchange of a request: a subclass has more to do with the response.
        self.exchange: type[Exchange] = Exchange
        # And what makes it of a request for a WebSocket; None: as of any other.
        self.upgrade: Upgrade | None = None
        # And what makes it of one for a protocol that its upstream may switch to.
        self.tunnel: type[Exchange] | None = None
        self.status = 404
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.body = b""
        # What is changed of a request and of its response; and who takes it instead.
        self.edits: Edits | None = None
        self.split: Split[Route] | None = None
        # What a request of the app starts from: it gets a copy of each.
        self.context: contextvars.Context | None = None
        self.state: dict[str, Any] = {}

    def calls(self, hosted: HostedApp) -> "Route":
        """Make it call an app."""
        self.app = hosted.app
        self.context = hosted.lifespan.context
        self.state = hosted.lifespan.state
        if hosted.bridge is not None:
            self.bridge = hosted.bridge
            self.is_here = False
            self.exchange = hosted.bridge.exchange
        return self

    def passes_to(self, upstream: Upstream) -> "Route":
        """Make it pass requests on."""
        self.upstream = upstream
        self.is_here = False
        return self

    def switching(self, protocols: frozenset[bytes], method: str) -> "Upgrade | type[Exchange]":
        """Choose what makes the exchange of a request that asks for other protocols."""
        if self.upgrade is not None and method == "GET" and b"websocket" in protocols:
            return self.upgrade
        if self.tunnel is not None and self.upstream is not None and protocols & self.upstream.protocols:
            return self.tunnel
        return self.exchange

    def answers(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> "Route":
        """Make it answer the same to all."""
        self.status, self.headers, self.body = status, headers, body
        return self
