"""
Which servers the upstreams have now: those that are configured, and those that names stand for.

The admin process looks names up and says what it found; the master, which alone
may name new words of the shared segment, makes servers of that, with a bound on
how many are counted by themselves.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from penstock.master.watched import WatchedServer, WatchedUpstream
from penstock.shm import names
from penstock.shm.series import SeriesFull, SeriesTable
from penstock.worker.gateway.spec import HealthCells, ServerCells, ServerSpec, UpstreamSpec
from penstock.worker.limits import FOUND_SERVERS_MAX
from penstock.worker.messages import Found, Resolved
from penstock.worker.spec import WorkerSpec

# Servers of an upstream that were found by a name and are counted by themselves: 16 take 190 KB of
# addresses in each row. A series is never taken back, so where addresses come and go, later ones are
# counted together, under the name.
FOUND_SERIES_MAX: Final = 16

Key = tuple[str, str]  # upstream, and its server as configured


class Members:
    """What names stand for, as far as it is known."""

    def __init__(self, series: SeriesTable, found: Mapping[Key, tuple[Found, ...]] | None = None) -> None:
        self._series = series
        self.found = dict(found or {})
        self._made: dict[str, tuple[UpstreamSpec, object, tuple[ServerSpec, ...]]] = {}  # by upstream

    def learn(self, told: Resolved) -> bool:
        """Note what a name stands for; say whether that is news. What makes no sense is none."""
        key = (told.upstream, told.server)
        found = tuple(each for each in told.found if _is_sound(each, told.server))[:FOUND_SERVERS_MAX]
        if not found or self.found.get(key, (Found(told.server),)) == found:
            return False
        self.found[key] = found
        return True

    def keep(self, upstreams: Iterable[WatchedUpstream]) -> None:
        """Forget the names that nobody uses any more."""
        used = {(upstream.name, name) for upstream in upstreams for name in upstream.names}
        self.found = {key: found for key, found in self.found.items() if key in used}
        self._made.clear()

    def applied(self, spec: WorkerSpec) -> WorkerSpec:
        """Tell workers of a generation which servers there are now."""
        return msgspec.structs.replace(
            spec,
            upstreams=tuple(
                msgspec.structs.replace(upstream, servers=self.servers(upstream))
                for upstream in spec.upstreams
            ),
        )

    def watched(
        self, watched: Iterable[WatchedUpstream], upstreams: Iterable[UpstreamSpec]
    ) -> tuple[WatchedUpstream, ...]:
        """Tell the admin process which servers there are now."""
        specs = {upstream.name: upstream for upstream in upstreams}
        return tuple(
            msgspec.structs.replace(
                each, servers=tuple(map(WatchedServer.of, self.servers(specs[each.name])))
            )
            for each in watched
        )

    def servers(self, upstream: UpstreamSpec) -> tuple[ServerSpec, ...]:
        """List the servers of an upstream, each address once."""
        found = tuple(self.found.get((upstream.name, each.address)) for each in upstream.servers)
        before = self._made.get(upstream.name)
        # Asked every second, for the status; new only after an answer or a reload.
        if before is None or before[0] is not upstream or before[1] != found:
            before = self._made[upstream.name] = upstream, found, self._make(upstream)
        return before[2]

    def _make(self, upstream: UpstreamSpec) -> tuple[ServerSpec, ...]:
        servers: dict[str, ServerSpec] = {}
        slot = len(upstream.servers)  # Those before belong to the servers that are configured.
        for configured in upstream.servers:
            for each in self.found.get((upstream.name, configured.address), ()):
                if each.address == configured.address:
                    servers.setdefault(configured.address, configured)
                elif each.address not in servers:
                    servers[each.address] = self._server(upstream.name, configured, each, slot)
                    slot += 1
            if (upstream.name, configured.address) not in self.found:
                servers.setdefault(configured.address, configured)
        return tuple(servers.values())

    def _server(self, upstream: str, configured: ServerSpec, found: Found, slot: int) -> ServerSpec:
        cells, health = configured.cells, configured.health
        is_counted = cells is not None and self._may_count(upstream, found.address)
        try:
            if is_counted:
                is_shared = configured.cells is not None and configured.cells.shared is not None
                cells = server_cells(upstream, found.address, self._series, is_shared=is_shared)
            if health is not None:
                health = HealthCells(
                    verdict=verdict_cell(upstream, slot, self._series),
                    checks=check_cells(upstream, found.address, self._series)
                    if is_counted
                    else health.checks,
                )
        except SeriesFull:
            # As one, then, and without checks: the segment has no room for more.
            cells, health = configured.cells, None
        return ServerSpec(
            address=found.address,
            weight=configured.weight if found.weight is None else found.weight,
            cells=cells,
            name=configured.address,
            priority=configured.priority + found.priority,
            health=health,
        )

    def _may_count(self, upstream: str, address: str) -> bool:
        label = ("upstream", upstream)
        known = {
            dict(series.labels)["server"]
            for series in self._series.entries()
            if series.name == names.UPSTREAM_QUEUED and label in series.labels
        }
        found = [each for each in known if _is_address(each)]
        return address in known or len(found) < FOUND_SERIES_MAX


def uncounted(server: ServerSpec) -> ServerSpec:
    """Take its words away from a server."""
    return msgspec.structs.replace(server, cells=None, health=None)


def server_cells(upstream: str, server: str, series: SeriesTable, *, is_shared: bool) -> ServerCells:
    """Give a server its words in the rows; `is_shared`: workers share its connections. Raises SeriesFull."""
    labels = (("upstream", upstream), ("server", server))
    return ServerCells(
        requests=series.define_group(names.UPSTREAM_REQUESTS, "counter", labels, "code", names.CODE_CLASSES),
        duration=series.define(names.UPSTREAM_DURATION, "histogram", labels),
        connect_duration=series.define(names.UPSTREAM_CONNECT_DURATION, "histogram", labels),
        connections=series.define_group(
            names.UPSTREAM_CONNECTIONS, "gauge", labels, "state", names.UPSTREAM_CONNECTION_STATES
        ),
        queued=series.define(names.UPSTREAM_QUEUED, "gauge", labels),
        left_out=series.define(names.UPSTREAM_LEFT_OUT, "gauge", labels),
        failures=series.define_group(
            names.UPSTREAM_FAILURES, "counter", labels, "reason", names.UPSTREAM_FAILURE_REASONS
        ),
        retries=series.define(names.UPSTREAM_RETRIES, "counter", labels),
        ejections=series.define(names.UPSTREAM_EJECTIONS, "counter", labels),
        shared=series.define_group(
            names.UPSTREAM_SHARED, "gauge", labels, "state", names.UPSTREAM_SHARED_STATES
        )
        if is_shared
        else None,
    )


def check_cells(upstream: str, server: str, series: SeriesTable) -> int:
    """Give the checks of a server their words. Raises SeriesFull."""
    labels = (("upstream", upstream), ("server", server))
    return series.define_group(names.UPSTREAM_CHECKS, "counter", labels, "result", names.CHECK_RESULTS)


def verdict_cell(upstream: str, slot: int, series: SeriesTable) -> int:
    """Give what is said of the server in a slot its word. Raises SeriesFull."""
    return series.define(names.UPSTREAM_VERDICT, "gauge", (("upstream", upstream), ("slot", str(slot))))


def _is_sound(found: Found, server: str) -> bool:
    return found.address == server or _is_address(found.address)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return port.isascii() and port.isdecimal() and 0 < int(port) < 65536
