"""
The upstreams of one worker: named groups of servers, with a pool for each and a
way to choose among them.
"""

import asyncio
import contextvars
import random
import time
from collections.abc import Collection, Iterable

from penstock.shm.segment import Segment
from penstock.worker.gateway.balancing import Balancer, LeastRequest, Random, RoundRobin
from penstock.worker.gateway.guard import Guard
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.shared_pool import SharedPool, quota_of
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.http.wheel import Wheel
from penstock.worker.limits import SHARE_TICK_S, STALL_S, UPSTREAM_TICK_S_MIN, WHEEL_TICK_S


class Upstream:
    """One group of servers."""

    __slots__ = (
        "_balancer",
        "_down",
        "_stall_s",
        "_timer",
        "_was_late",
        "cells",
        "chosen",
        "context",
        "first_byte_deadline_s",
        "guard",
        "idle_s",
        "loop",
        "now_s",
        "pools",
        "request_count",
        "send_s",
        "spec",
        "tick_s",
        "trials",
        "wheel",
    )

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
        self.context = contextvars.Context()
        self.now_s = time.monotonic()
        self.request_count = 0
        # A choice that was made and not used, since the server had no connection to spare.
        self.chosen: int | None = None
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
        self._down: frozenset[int] = frozenset()  # those that are out of service
        self.pools = [self._pool(server, segment) for server in spec.servers]
        self._balancer = self._balance(spec)
        self.guard = Guard(self)
        if tick_s < WHEEL_TICK_S:
            self._turn()

    def choose(self, tried: Collection[int]) -> int:
        """Return the index of the server that is to have a request."""
        if len(self.pools) == 1:
            return 0
        if self.chosen is not None and not tried:
            index, self.chosen = self.chosen, None
            return index
        return self._balancer.choose({*tried, *self._down} if self._down else tried)

    def has_other(self, tried: Collection[int]) -> bool:
        """Tell whether there is a server in service that was not tried."""
        return any(index not in tried and index not in self._down for index in range(len(self.pools)))

    def standings_changed(self) -> None:
        """Choose among those that are up; among all, when none is."""
        self.chosen = None
        down = frozenset(index for index, pool in enumerate(self.pools) if not pool.standing.is_up)
        self._down = frozenset() if len(down) == len(self.pools) else down

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
        self.guard.tick(now_s)

    def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in self.pools:
            pool.close()

    def _pool(self, server: ServerSpec, segment: Segment | None) -> Pool:
        cells, where = self.cells, server.cells
        if segment is None or cells is None or where is None or where.shared is None:
            return Pool(self, self.spec, server)
        quota = quota_of(segment, cells, where.shared, self.spec.connections_max)
        return SharedPool(self, self.spec, server, quota)

    def _turn(self) -> None:
        self.tick(time.monotonic())
        self._timer = self.loop.call_later(self.tick_s, self._turn)

    def _balance(self, spec: UpstreamSpec) -> Balancer:
        weights = [server.weight for server in spec.servers]
        if spec.balance == "least_request":
            return LeastRequest(weights, lambda index: self.pools[index].busy_count, random.random)
        if spec.balance == "random":
            return Random(weights, random.random)
        return RoundRobin(weights)


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

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        for upstream in self.upstreams.values():
            upstream.tick(now_s)

    def close(self) -> None:
        """Close every connection to a server."""
        for upstream in self.upstreams.values():
            upstream.close()
