"""
The upstreams of one worker: named groups of servers, with a pool for each and a
way to choose among them.
"""

import asyncio
import contextvars
import random
import time
from collections.abc import Collection, Iterable

from penstock.worker.gateway.balancing import Balancer, LeastRequest, Random, RoundRobin
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.spec import UpstreamSpec
from penstock.worker.http.wheel import Wheel


class Upstream:
    """One group of servers."""

    __slots__ = (
        "_balancer",
        "_down",
        "context",
        "first_byte_deadline_s",
        "loop",
        "now_s",
        "pools",
        "spec",
        "wheel",
    )

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.spec = spec
        self.loop = loop
        self.context = contextvars.Context()
        self.now_s = time.monotonic()
        # By when a server has to answer what is sent now.
        self.first_byte_deadline_s = self.now_s + spec.first_byte_timeout_s
        self.wheel = Wheel(self.now_s)
        self._down: frozenset[int] = frozenset()  # those that are out of service
        self.pools = [Pool(self, spec, server) for server in spec.servers]
        self._balancer = self._balance(spec)

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of the server that is to have a request."""
        if len(self.pools) == 1:
            return 0
        return self._balancer.choose({*tried, *self._down} if self._down else tried)

    def standings_changed(self) -> None:
        """Choose among those that are up; among all, when none is."""
        down = frozenset(index for index, pool in enumerate(self.pools) if not pool.standing.is_up)
        self._down = frozenset() if len(down) == len(self.pools) else down

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        self.now_s = now_s
        self.first_byte_deadline_s = now_s + self.spec.first_byte_timeout_s
        self.wheel.advance(now_s)
        for pool in self.pools:
            pool.tick(now_s)

    def close(self) -> None:
        """Close every connection."""
        for pool in self.pools:
            pool.close()

    def _balance(self, spec: UpstreamSpec) -> Balancer:
        weights = [server.weight for server in spec.servers]
        if spec.balance == "least_request":
            return LeastRequest(weights, lambda index: self.pools[index].busy_count, random.random)
        if spec.balance == "random":
            return Random(weights, random.random)
        return RoundRobin(weights)


class Gateway:
    """All upstreams of a worker, by name."""

    def __init__(self, specs: Iterable[UpstreamSpec], loop: asyncio.AbstractEventLoop) -> None:
        self.upstreams = {spec.name: Upstream(spec, loop) for spec in specs}

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        for upstream in self.upstreams.values():
            upstream.tick(now_s)

    def close(self) -> None:
        """Close every connection to a server."""
        for upstream in self.upstreams.values():
            upstream.close()
