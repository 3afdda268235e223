"""
Chooses the route of a request where more than method, host and path matters.

That is when a rule asks for headers, a query or the client, when requests are shared
among variants, or when a route changes them. A site of which none of this is asked has
no dispatch, and its connections are of the plain class.
"""

from contextvars import Context
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import Scope
from penstock.worker.http.blocks import Framing, Memo
from penstock.worker.http.connection import Connection
from penstock.worker.http.forwarded import Name
from penstock.worker.http.head import Headers, RequestError
from penstock.worker.http.matching import Asked
from penstock.worker.http.raw_paths import DOT_SEGMENT, has_dot_segment
from penstock.worker.http.responses import TEXT_HEADERS, error_text
from penstock.worker.http.route import Route
from penstock.worker.http.routing import Miss, Router
from penstock.worker.http.target import reduce_target, split_target

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange
    from penstock.worker.http.site import Site


class Dispatch:
    """Puts the route of each request that begins where the connection looks for it."""

    __slots__ = ("_bad_path", "_router", "_site")

    def __init__(self, site: "Site", router: Router[Route]) -> None:
        self._site = site
        self._router = router
        text = error_text(400, DOT_SEGMENT)
        self._bad_path = Route(site.unmatched).answers(400, TEXT_HEADERS, text)

    @staticmethod
    def is_needed(router: Router[Route]) -> bool:
        """Tell whether a site needs one."""
        return not router.is_plain or any(
            rule.route.split is not None or rule.route.edits is not None for rule in router.rules
        )

    def choose(
        self, method: str, target: bytes, headers: Headers, host: bytes | None, client: Name | None
    ) -> Route | None:
        """Choose a route; None for a target that is none, which is told elsewhere."""
        site = self._site
        try:
            if target[:1] != b"/":
                # With a copy: it puts a Host into the headers if there is none.
                target, host = reduce_target(target, method, host, headers.copy(), is_tls=site.is_tls)
            path, raw_path, query = split_target(target)
        except RequestError:
            return None
        asked = Asked(method, host, path, raw_path, query, headers, client)
        found = self._router.find_for(asked)
        if isinstance(found, Miss):
            return site.missed(found)
        route = found if found.split is None else found.split.choose(asked)
        edits = route.edits
        if edits is not None and edits.rewrite is not None and has_dot_segment(path):
            return self._bad_path
        return route

    def open(self, exchange: "Exchange", _: Context | None) -> None:
        """Change the request that begins, if its route does. The last of all openings."""
        route = self._site.only_route
        if route is not None and route.edits is not None:
            route.edits.apply(exchange)


class Dispatched(Connection):
    """A connection of a site with a dispatch: to be mixed with the class that it would have else."""

    __slots__ = ()

    def _begin(  # noqa: PLR0917, as that which it is put before
        self,
        method: str,
        target: bytes,
        headers: Headers,
        host: bytes | None,
        framing: Framing | None = None,
        rest: bytes = b"",
        memo: Memo | None = None,
    ) -> bytes:
        site = self.site
        assert site.dispatch is not None
        if self._server is None:
            self.peer, self._server = self.names()
        client = self.peer if framing is None or framing.said is None else self._client_said(framing)
        site.only_route = site.dispatch.choose(method, target, headers, host, client)
        return super()._begin(method, target, headers, host, framing, rest, memo)

    def _client_said(self, framing: Framing) -> Name | None:
        """Return the client that a trusted proxy tells of."""
        proxies = self.site.proxies
        assert proxies is not None
        assert framing.said is not None
        if self._is_proxy is None:
            self._is_proxy = proxies.trusts(self.peer)
        seen: Scope = {"client": self.peer}
        if self._is_proxy:
            proxies.tell(framing.said, seen)
        client: Name | None = seen["client"]
        return client


def dispatched(base: type[Connection]) -> type[Connection]:
    """Make a class of connections whose requests are dispatched."""
    return type(f"Dispatched{base.__name__}", (Dispatched, base), {"__slots__": ()})
