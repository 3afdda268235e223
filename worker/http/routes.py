"""
Makes the routes of a site out of their specs, when the worker starts.

What a route does with a request is in `route`, and which one takes it in `routing`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.shm.counting import Meter
from penstock.worker.files.exchange import exchange_of
from penstock.worker.files.folder import Folder
from penstock.worker.gateway.edited import edited
from penstock.worker.gateway.errand import prototype_of
from penstock.worker.gateway.guarded import passage_to, tunnel_to
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.upstream import Gateway
from penstock.worker.http.compression.compressed import compress
from penstock.worker.http.edits import Edits
from penstock.worker.http.gate import gated
from penstock.worker.http.redirect import Redirect, redirecting
from penstock.worker.http.reply import Reply
from penstock.worker.http.route import HostedApp, Route
from penstock.worker.http.routing import Router
from penstock.worker.http.split import Split, Variant
from penstock.worker.spec import (
    AppAction,
    FilesAction,
    ListenerSpec,
    ProxyAction,
    RedirectAction,
    RouteSpec,
    SplitAction,
)
from penstock.worker.websocket.upgrade import Upgrade

if TYPE_CHECKING:
    from penstock.worker.http.site import Site


class Routes:
    """The routes of one site: those by which requests are answered, and how they are found."""

    def __init__(
        self,
        site: "Site",
        listener: ListenerSpec,
        *,
        apps: Mapping[AppAction, HostedApp],
        cells: memoryview,
        gateway: Gateway | None = None,
    ) -> None:
        """Make them. The site has its gate and its scope already."""
        self._site = site
        self._apps = apps
        self._cells = cells
        self._gateway = gateway
        self._upgrade = None if listener.websocket is None else Upgrade(listener.websocket)
        self._leaves = {id(leaf): compress(self._route(leaf), leaf.compression) for leaf in listener.leaves}
        for route in self._leaves.values():
            self._gate(route)
        self.router = Router(
            [(each.match, self._leaves.get(id(each)) or self._split(each)) for each in listener.routes]
        )

    @property
    def leaves(self) -> list[Route]:
        """Those by which requests are answered."""
        return list(self._leaves.values())

    @property
    def has_errands(self) -> bool:
        """Tell whether there are requests that can go through in C."""
        return any(route.errand is not None for route in self._leaves.values())

    def _gate(self, route: Route) -> None:
        """Put the site's gate before an app."""
        gate = self._site.gate
        if gate is None:
            return
        if route.app is not None:
            route.exchange = gated(route.exchange, gate)
            route.upgrade = None if route.upgrade is None else route.upgrade.gated(gate)
        elif route.bridge is not None:
            route.bridge = route.bridge.gated(gate, route.exchange)
            route.exchange = route.bridge.exchange

    def _route(self, spec: RouteSpec) -> Route:
        site = self._site
        route = Route(Meter(self._cells, spec.cells.requests, spec.cells.duration, spec.name))
        action = spec.action
        if spec.edits is not None:
            route.edits = Edits(spec.edits, is_app=isinstance(action, AppAction))
        if isinstance(action, AppAction):
            if self._apps[action].bridge is None:
                route.upgrade = self._upgrade
            return route.calls(self._apps[action])
        if isinstance(action, FilesAction):
            is_rewritten = spec.edits is not None and spec.edits.rewrite is not None
            # There is but one path, or its names are what it is rewritten to.
            paths = (None,) if is_rewritten else spec.match.paths or (None,)
            folder = Folder(action, paths[0], site.loop, lambda: site.now_s, site.root_path)
            route.exchange = exchange_of(folder, route.tag)
            return route
        if isinstance(action, ProxyAction):
            assert self._gateway is not None
            is_edited = route.edits is not None and route.edits.changes_request
            upstream = self._gateway.upstreams[action.upstream]
            route.exchange, route.tunnel = passage_to(upstream), tunnel_to(upstream)
            if is_edited:
                route.exchange, route.tunnel = edited(route.exchange), edited(route.tunnel)
            if route.exchange is Passage and upstream.takes_errands:
                route.errand = prototype_of(route, upstream, site.scope["scheme"])
            return route.passes_to(upstream)
        if isinstance(action, RedirectAction):
            route.exchange = redirecting(Redirect(action, spec.match, site.root_path))
            return route
        assert not isinstance(action, SplitAction)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in action.headers]
        # A fixed answer that is wrong would be wrong for every client.
        Reply(action.status, headers, method="GET", http_version="1.1", whole_size=len(action.body))
        return route.answers(action.status, headers, action.body)

    def _split(self, spec: RouteSpec) -> Route:
        """Make the route that shares its requests among variants. It answers none itself."""
        action = spec.action
        assert isinstance(action, SplitAction)
        route = Route(self._site.unmatched)
        variants = [Variant(leaf.name, weight, self._leaves[id(leaf)]) for weight, leaf in action.variants]
        route.split = Split(action.key, spec.name, variants)
        return route
