"""
The upstreams of one worker: named groups of servers, with a pool for each and a
way to choose among them.
"""

import asyncio
import contextvars
import random
import time
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec

from penstock.shm.segment import Segment
from penstock.worker.gateway.balancing import (
    Asking,
    Balancer,
    Chooser,
    LeastRequest,
    Random,
    RoundRobin,
    chooser_of,
)
from penstock.worker.gateway.consistent_hash import ConsistentHash
from penstock.worker.gateway.ewma import Ewma, Latency
from penstock.worker.gateway.guard import Guard
from penstock.worker.gateway.hash_table import Rendezvous, maglev
from penstock.worker.gateway.lineup import Contender, Lineup, Rules, line_up
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.request_key import key_of
from penstock.worker.gateway.shared_pool import SharedPool, quota_of
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.stickiness import Stickiness
from penstock.worker.gateway.timing import TimedLink
from penstock.worker.http.wheel import Wheel
from penstock.worker.limits import SHARE_TICK_S, STALL_S, UPSTREAM_TICK_S_MIN, WHEEL_TICK_S
from penstock.worker.logs import LOG


class Upstream:
    """One group of servers."""

    __slots__ = (
        "_addresses",
        "_balancer",
        "_lineup",
        "_retired",
        "_rules",
        "_segment",
        "_stall_s",
        "_timer",
        "_was_late",
        "cells",
        "choose",
        "context",
        "first_byte_deadline_s",
        "guard",
        "idle_s",
        "loop",
        "now_s",
        "pools",
        "protocols",
        "request_count",
        "send_s",
        "spec",
        "sticky",
        "tick_s",
        "trials",
        "wheel",
    )

    # Returns the index of the server that is to have a request, or NOBODY.
    choose: Chooser

    def __init__(
        self,
        spec: UpstreamSpec,
        loop: asyncio.AbstractEventLoop,
        cells: memoryview | None = None,
        segment: Segment | None = None,
    ) -> None:
        self.spec = spec
        self.loop = loop
        self.cells = cells
        self._segment = segment
        self.context = contextvars.Context()
        self.now_s = time.monotonic()
        self.request_count = 0
        self.trials: list[Pool] = []  # that wait for a request to try them
        shortest_s = shortest_timeout_s(spec)
        # Coarse, but not beside a timeout that is short itself.
        longest_s = SHARE_TICK_S if spec.is_machine_wide else WHEEL_TICK_S
        self.tick_s = tick_s = min(max(shortest_s / 10, UPSTREAM_TICK_S_MIN), longest_s)
        # The clock may be a tick behind, and nothing is to end before its time.
        # By when a server has to answer what is sent now.
        self.first_byte_deadline_s = self.now_s + spec.first_byte_timeout_s + tick_s
        self.idle_s = spec.idle_response_timeout_s + tick_s
        self.send_s = spec.send_timeout_s + tick_s
        self._stall_s = min(STALL_S, tick_s + shortest_s / 2)
        self._was_late = False
        self._timer: asyncio.TimerHandle | None = None
        self.wheel = Wheel(self.now_s, tick_s)
        self.sticky = None if spec.sticky is None else Stickiness(spec.sticky, spec.name)
        self.pools = [self.pool_for(server) for server in spec.servers]
        self._retired: list[Pool] = []  # of servers that are gone, until nothing is with them
        self._rules = Rules(spec.panic_threshold, spec.slow_start_s)
        self._balancer = self._balance(spec)
        # What its servers may switch to.
        self.protocols = frozenset(each.encode() for each in spec.terms.upgrades)
        self._addresses = {server.address for server in spec.servers}
        self._lineup = Lineup((), (), (), ())
        self.standings_changed()
        self.guard = Guard(self)
        if tick_s < WHEEL_TICK_S:
            self._turn()

    def pool_for(self, server: ServerSpec) -> Pool:
        """Make the pool of a server that joins."""
        segment, cells, where = self._segment, self.cells, server.cells
        if segment is None or cells is None or where is None or where.shared is None:
            pool = Pool(self, self.spec, server)
        else:
            quota = quota_of(segment, cells, where.shared, self.spec.connections_max)
            pool = SharedPool(self, self.spec, server, quota)
        if self.spec.balance == "ewma":
            pool.latency = Latency()
            pool.link_type = TimedLink
        return pool

    def set_servers(self, servers: tuple[ServerSpec, ...]) -> None:
        """Have these servers from now on. What is with one that is gone ends there as it would have."""
        assert servers, "an upstream has servers"
        pools = {pool.server.address: pool for pool in self.pools}
        self.spec = msgspec.structs.replace(self.spec, servers=servers)
        self.pools = []
        for server in servers:
            pool = pools.pop(server.address, None)
            if pool is None:
                pool = self.pool_for(server)
            pool.server = server
            self.pools.append(pool)
        for pool in pools.values():
            pool.retire()
            self._retired.append(pool)
        self.standings_changed()

    def standings_changed(self) -> None:
        """Look again who may have requests: after a change of standings, of weights, or of the pools."""
        before = self._lineup
        self._lineup = lineup = line_up(
            [self._contender(pool) for pool in self.pools], self._rules, self.now_s
        )
        self._addresses = set(lineup.addresses)
        choose = chooser_of(self._balancer, lineup)
        self.choose = choose if self.sticky is None else self.sticky.chooser(lineup, choose)
        self._tell(before, lineup)

    @property
    def takes_errands(self) -> bool:
        """Tell whether a server is chosen without a look at the request, and without taking times."""
        return self.sticky is None and self.spec.balance not in ("consistent_hash", "ewma")

    def hold(self, index: int) -> None:
        """Have a choice that came to nothing be the next one: else a server could lose all its turns."""
        choose = self.choose

        def held(tried: Collection[int], asking: Asking) -> int:
            self.choose = choose
            return choose(tried, asking) if index in tried else index

        self.choose = held

    def has_other(self, tried: Collection[int]) -> bool:
        """Tell whether there is a server to choose that was not tried."""
        lineup = self._lineup
        return any(index not in tried for index in chain(lineup.candidates, *lineup.reserves))

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        now_s = max(now_s, self.now_s)
        is_late = now_s - self.now_s > self._stall_s
        self.now_s = now_s
        self.first_byte_deadline_s = now_s + self.spec.first_byte_timeout_s + self.tick_s
        if is_late and not self._was_late:
            # The loop was blocked, and what servers have answered meanwhile was not read yet.
            self._was_late = True
        else:
            self._was_late = False
            self.wheel.advance(now_s)
        for pool in self.pools:
            pool.tick(now_s)
        if self._retired:
            for pool in self._retired:
                pool.tick(now_s)
            self._retired = [pool for pool in self._retired if not pool.is_empty]
        self.guard.tick(now_s)
        if self._lineup.is_warming:
            self.standings_changed()

    def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in (*self.pools, *self._retired):
            pool.close()

    def _turn(self) -> None:
        self.tick(time.monotonic())
        self._timer = self.loop.call_later(self.tick_s, self._turn)

    def _contender(self, pool: Pool) -> Contender:
        server, standing = pool.server, pool.standing
        if server.address not in self._addresses and not standing.up_since_s:
            standing.up_since_s = self.now_s
        return Contender(
            server.address,
            server.weight,
            server.priority,
            standing.is_up,
            standing.up_since_s,
            standing.is_ejected,
        )

    def _balance(self, spec: UpstreamSpec) -> Balancer:
        if spec.balance == "least_request":
            return LeastRequest(self._servers, random.random)
        if spec.balance == "ewma":
            return Ewma(self._servers, random.random)
        if spec.balance == "random":
            return Random(random.random)
        if spec.balance == "consistent_hash":
            assert spec.hash is not None
            return ConsistentHash(
                key_of(spec.hash.by),
                maglev if spec.hash.algorithm == "maglev" else Rendezvous(),
                RoundRobin(random.random),
                balance_factor=spec.hash.balance_factor,
                servers=self._servers,
            )
        return RoundRobin(random.random)

    def _servers(self) -> Sequence[Any]:
        return self.pools

    def _tell(self, before: Lineup, lineup: Lineup) -> None:
        up_count = sum(pool.standing.is_up for pool in self.pools)
        told = f"{up_count} of its {len(self.pools)} servers are up"
        if lineup.is_panic and not before.is_panic:
            who = "all" if lineup.weights == lineup.shares else "all but those that failed"
            LOG.warning("upstream %s: only %s: %s get requests", self.spec.name, told, who)
        elif before.is_panic and not lineup.is_panic:
            LOG.info("upstream %s: %s: only they get requests again", self.spec.name, told)
        elif not any(lineup.weights) and any(before.weights):
            LOG.warning("upstream %s: none of its servers is up: requests get a 503", self.spec.name)


def shortest_timeout_s(spec: UpstreamSpec) -> float:
    """Tell how long a server has at the least, in the phases that the wheel watches."""
    timeouts = [spec.send_timeout_s, spec.first_byte_timeout_s, spec.idle_response_timeout_s]
    return min(*timeouts, spec.total_timeout_s or timeouts[0])


class Gateway:
    """
    All upstreams of a worker, by name.

    `cells` is where it counts, None: nowhere; they are of a row of `segment`,
    over which workers share what is limited for all of them.
    """

    def __init__(
        self,
        specs: Iterable[UpstreamSpec],
        loop: asyncio.AbstractEventLoop,
        cells: memoryview | None = None,
        segment: Segment | None = None,
    ) -> None:
        self.upstreams = {spec.name: Upstream(spec, loop, cells, segment) for spec in specs}

    def set_servers(self, name: str, servers: tuple[ServerSpec, ...]) -> None:
        """Have an upstream have these servers. One that is not known here is another generation's."""
        upstream = self.upstreams.get(name)
        if upstream is not None and servers:
            upstream.set_servers(servers)

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        for upstream in self.upstreams.values():
            upstream.tick(now_s)

    def close(self) -> None:
        """Close every connection to a server."""
        for upstream in self.upstreams.values():
            upstream.close()
