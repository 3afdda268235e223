"""Between the requests of an app and the threads that it is called in."""

from contextvars import Context

from penstock.worker.http.exchange import Exchange
from penstock.worker.http.gate import Gate
from penstock.worker.wsgi.application import WsgiApp
from penstock.worker.wsgi.exchange import WsgiExchange
from penstock.worker.wsgi.gated import GatedBridge
from penstock.worker.wsgi.threads import Threads


class Bridge:
    """Has the requests of one WSGI app answered in threads."""

    exchange: type[Exchange] = WsgiExchange

    def __init__(self, app: WsgiApp, threads: Threads) -> None:
        self.app = app.call
        self.threads = threads
        self.has_threads = threads.count > 1

    def gated(self, gate: Gate, base: type[Exchange]) -> GatedBridge:
        """Put a gate before it."""
        return GatedBridge(self, gate, base)

    def take(self, exchange: Exchange, context: Context) -> None:
        """Answer a request, when its turn comes. The app sees this context."""
        assert isinstance(exchange, WsgiExchange)
        exchange.bridge = self
        exchange.context = context
        threads = self.threads
        if exchange.inbox is not None and threads.is_behind:
            exchange.hold_body()
        threads.take(exchange)
