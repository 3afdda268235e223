"""
From the upstreams of a configuration to what workers, and the admin process, are told of them.
"""

from penstock.master.config.affinity import Hash, Sticky
from penstock.master.config.model import Config
from penstock.master.config.resilience import Breaker, Ejection, Retries
from penstock.master.config.resolve import Resolve
from penstock.master.config.upstream import BACKUP_PRIORITY, Upstream
from penstock.master.members import check_cells, server_cells, verdict_cell
from penstock.master.watched import WatchedServer, WatchedUpstream
from penstock.shm.series import SeriesTable
from penstock.worker.gateway.rules import BreakerRules, EjectionRules, RetryRules
from penstock.worker.gateway.spec import HashSpec, HealthCells, ServerSpec, StickySpec, UpstreamSpec
from penstock.worker.gateway.terms import TermsSpec
from penstock.worker.spec import WorkerSpec


def upstream_spec(name: str, upstream: Upstream, series: SeriesTable) -> UpstreamSpec:
    """Work out what workers are told of an upstream. Raises SeriesFull."""
    connections, timeouts = upstream.connections, upstream.timeouts
    return UpstreamSpec(
        name=name,
        servers=tuple(
            ServerSpec(
                address=server.address,
                weight=server.weight,
                priority=BACKUP_PRIORITY if server.backup else 0,
                cells=server_cells(name, server.address, series, is_shared=connections.scope == "machine"),
                health=_health_cells(name, index, server.address, series) if upstream.health else None,
            )
            for index, server in enumerate(upstream.each_server())
        ),
        balance=upstream.balance,
        hash=None if upstream.hash is None else _hash_spec(upstream.hash),
        sticky=None if upstream.sticky is None else _sticky_spec(upstream.sticky),
        slow_start_s=upstream.slow_start_s,
        panic_threshold=upstream.panic_threshold,
        connections_max=connections.max,
        is_machine_wide=connections.scope == "machine",
        idle_max=connections.idle_max,
        idle_timeout_s=connections.idle_timeout_s,
        queue_max=connections.queue_max,
        queue_timeout_s=connections.queue_timeout_s,
        connect_timeout_s=timeouts.connect_s,
        first_byte_timeout_s=timeouts.first_byte_s,
        idle_response_timeout_s=timeouts.idle_s,
        send_timeout_s=timeouts.send_s,
        total_timeout_s=timeouts.total_s,
        retry_attempts=upstream.retries.attempts,
        retries=_retry_rules(upstream.retries),
        ejection=None if upstream.ejection is None else _ejection_rules(upstream.ejection),
        breaker=None if upstream.breaker is None else _breaker_rules(upstream.breaker),
        terms=TermsSpec(
            forwarded=upstream.forwarded or "none",
            host=upstream.host,
            via=upstream.via,
            upgrades=upstream.upgrades,
            tunnel_idle_timeout_s=timeouts.tunnel_idle_s,
        ),
    )


def _hash_spec(of: Hash) -> HashSpec:
    return HashSpec(by=of.by, algorithm=of.algorithm, balance_factor=(of.balance_factor or 0) / 100)


def _sticky_spec(of: Sticky) -> StickySpec:
    return StickySpec(
        cookie=of.cookie,
        ttl_s=of.ttl_s,
        path=of.path,
        is_secure=of.secure,
        is_http_only=of.http_only,
        same_site=of.same_site,
        secret=of.secret,
    )


def _breaker_rules(breaker: Breaker) -> BreakerRules:
    return BreakerRules(
        requests_max=breaker.requests_max,
        failure_ratio=breaker.failure_ratio,
        requests_min=breaker.requests_min,
        window_s=breaker.window_s,
        open_s=breaker.open_time_s,
        probes=breaker.probes,
    )


def _retry_rules(retries: Retries) -> RetryRules:
    return RetryRules(
        causes=frozenset(each for each in retries.on if isinstance(each, str)),
        statuses=frozenset(each for each in retries.on if isinstance(each, int)),
        non_idempotent=retries.non_idempotent,
        budget=retries.budget,
    )


def _ejection_rules(ejection: Ejection) -> EjectionRules:
    return EjectionRules(
        consecutive_failures=ejection.consecutive_failures,
        base_s=ejection.base_time_s,
        most_s=ejection.max_time_s,
        ratio_max=ejection.max_ejected,
    )


def _health_cells(upstream: str, index: int, server: str, series: SeriesTable) -> HealthCells:
    return HealthCells(
        verdict=verdict_cell(upstream, index, series), checks=check_cells(upstream, server, series)
    )


def watched_upstreams(config: Config, spec: WorkerSpec) -> tuple[WatchedUpstream, ...]:
    """Work out what the admin process is told of upstreams."""
    configured = config.all_upstreams()
    watched = []
    for upstream in spec.upstreams:
        check, resolve = configured[upstream.name].health, configured[upstream.name].resolving
        watched.append(
            WatchedUpstream(
                name=upstream.name,
                balance=upstream.balance,
                servers=tuple(map(WatchedServer.of, upstream.servers)),
                names=tuple(configured[upstream.name].each_name()),
                health=None if check is None else check.settings(),
                resolve=(resolve or Resolve()).settings(),
            )
        )
    return tuple(watched)
