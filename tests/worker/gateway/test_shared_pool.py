"""A pool whose limit holds over all workers, seen from one of them."""

import asyncio
import contextlib

from penstock.shm.quota import Quota
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.shared_pool import SharedPool
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.upstream import Upstream
from tests.worker.gateway.test_pool import Request, WireLoop

CONNECTIONS_MAX = 2


def test_one_that_is_retired_stays_so_when_others_have_what_they_wanted() -> None:
    """
    What it gives up for another worker comes to an end; that its server is gone does not.
    """
    loop = WireLoop()
    with contextlib.closing(loop):
        spec = UpstreamSpec(
            name="shop",
            servers=(ServerSpec(address="127.0.0.1:1"),),
            connections_max=CONNECTIONS_MAX,
            is_machine_wide=True,
        )
        upstream = Upstream(spec, loop)
        mine, theirs = (memoryview(bytearray(16)).cast("Q") for _ in range(2))
        quota = Quota((mine, 0), lambda: [(theirs, 0)], CONNECTIONS_MAX)
        others = Quota((theirs, 0), lambda: [(mine, 0)], CONNECTIONS_MAX)
        pool = SharedPool(upstream, spec, spec.servers[0], quota)
        request = lent(pool, loop)

        pool.retire()
        others.want(1)
        pool.tick(1.0)
        others.want(0)
        pool.tick(2.0)
        assert pool.idle_max == 0

        assert request.link is not None
        request.link.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        turn(loop)
        assert pool.is_empty


def lent(pool: Pool, loop: WireLoop) -> Request:
    """Have a request that has a link."""
    requests: list[Request] = []
    request = Request(pool, requests)
    requests.append(request)
    pool.want(request)
    turn(loop)
    loop.asked[0].set_result("made")
    turn(loop)
    assert request.link is not None
    return request


def turn(loop: WireLoop) -> None:
    """Let everything happen that is due."""
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
