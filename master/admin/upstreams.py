"""
What the admin process knows of upstreams beside the workers' numbers: health, and what names stand for.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client.core import Metric

from penstock.master.admin.status import FleetStatus
from penstock.master.health.checker import Checker, Patient
from penstock.master.resolving.names import Name, Names
from penstock.master.watched import WatchedServer, WatchedUpstream
from penstock.shm.segment import Segment
from penstock.shm.verdict import Verdict
from penstock.worker.channel import ChannelFull
from penstock.worker.gateway.verdicts import Verdicts
from penstock.worker.messages import Resolved

STATES: Final = {Verdict.UNKNOWN: "unknown", Verdict.HEALTHY: "healthy", Verdict.UNHEALTHY: "unhealthy"}


class UpstreamCare:
    """The checks and the look-ups of this machine, and what there is to tell of them."""

    def __init__(self, segment: Segment, cells: memoryview, send: Callable[[Resolved], None]) -> None:
        self._serial = segment.serial
        verdicts = Verdicts(segment)
        verdicts.look()  # A predecessor that is still there has known more than nothing.
        self._checker = Checker(cells, verdicts.of)
        self._names = Names(lambda resolved: _tell(send, resolved))

    def follow(self, fleet: FleetStatus) -> None:
        """Take care of the upstreams that there are now; their words have to be those of our segment."""
        if fleet.segment != self._serial:
            return  # A hot restart has made another one, and our successor does this there.
        self._names.follow(fleet.upstreams)
        self._checker.follow(fleet.upstreams)

    def close(self) -> None:
        """End all of it."""
        self._names.close()
        self._checker.close()

    def render(self, fleet: FleetStatus) -> list[dict[str, Any]]:
        """Give what `/status` has of upstreams."""
        return [
            {
                "name": upstream.name,
                "balance": upstream.balance,
                "servers": [self._render_server(upstream, server) for server in upstream.servers],
                "names": [
                    _render_name(server, self._names.of(upstream.name, server)) for server in upstream.names
                ],
            }
            for upstream in fleet.upstreams
        ]

    def _render_server(self, upstream: WatchedUpstream, server: WatchedServer) -> dict[str, Any]:
        patient = self._checker.of(upstream.name, server.address)
        verdict = None if patient is None else patient.history.verdict
        return {
            "address": server.address,
            "name": server.name or None,
            "weight": server.weight,
            "priority": server.priority,
            "health": "" if verdict is None else STATES[verdict],
            "healthy": None if not verdict else verdict is Verdict.HEALTHY,
            "last_check": None if patient is None else _render_check(patient),
        }

    def families(self, fleet: FleetStatus) -> Iterator[Metric]:
        """Give the families of health and names; none where nobody is checked and nothing looked up."""
        patients = [
            patient
            for upstream in fleet.upstreams
            for server in upstream.servers
            if (patient := self._checker.of(upstream.name, server.address)) is not None
        ]
        if patients:
            yield from _health_families(patients)
        names = [
            name
            for upstream in fleet.upstreams
            for server in upstream.names
            if (name := self._names.of(upstream.name, server)) is not None
        ]
        if names:
            yield from _name_families(names)


def _tell(send: Callable[[Resolved], None], resolved: Resolved) -> None:
    try:
        send(resolved)
    except ChannelFull:
        pass  # It is told again after the next look-up.


def _render_check(patient: Patient) -> dict[str, Any] | None:
    if patient.last is None:
        return None
    return {
        "at": patient.checked_at_s,
        "result": patient.last.result,
        "reason": patient.last.reason or None,
        "against": patient.history.against,
    }


def _render_name(server: str, name: Name | None) -> dict[str, Any]:
    return {
        "server": server,
        "resolved_at": None if name is None else name.resolved_at_s,
        "ttl_s": None if name is None else name.ttl_s,
        "failure": None if name is None else name.failure or None,
    }


def _health_families(patients: Iterable[Patient]) -> Iterator[Metric]:
    healthy = Metric(
        "penstock_upstream_healthy", "Whether the health checks find a server well: 1 or 0.", "gauge"
    )
    checked = Metric(
        "penstock_upstream_last_check_timestamp_seconds", "When a server was last checked.", "gauge"
    )
    for patient in patients:
        labels = {"upstream": patient.upstream, "server": patient.server.address}
        if patient.history.verdict is not Verdict.UNKNOWN:
            healthy.add_sample(healthy.name, labels, int(patient.history.verdict is Verdict.HEALTHY))
        if patient.checked_at_s is not None:
            checked.add_sample(checked.name, labels, patient.checked_at_s)
    yield healthy
    yield checked


def _name_families(names: Iterable[Name]) -> Iterator[Metric]:
    servers = Metric(
        "penstock_upstream_resolved_servers", "Servers that the name of one stands for.", "gauge"
    )
    resolved = Metric(
        "penstock_upstream_last_resolution_timestamp_seconds",
        "When the name of a server was last looked up with success.",
        "gauge",
    )
    for name in names:
        labels = {"upstream": name.upstream, "server": name.server}
        servers.add_sample(servers.name, labels, len(name.found or ()))
        if name.resolved_at_s is not None:
            resolved.add_sample(resolved.name, labels, name.resolved_at_s)
    yield servers
    yield resolved
