"""Requests and servers, as those see them who choose."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from penstock.worker.asgi.types import Scope
from penstock.worker.gateway.balancing import Balancer, LeastRequest, RoundRobin
from penstock.worker.gateway.balancing import Random as AtRandom
from penstock.worker.gateway.consistent_hash import ConsistentHash
from penstock.worker.gateway.ewma import Ewma, Latency
from penstock.worker.gateway.hash_table import maglev
from penstock.worker.gateway.lineup import Lineup
from penstock.worker.gateway.request_key import key_of


@dataclass
class Request:
    """A request that is to have a server."""

    scope: Scope = field(default_factory=dict)
    is_plain: bool = True


@dataclass
class Backend:
    """A server, and how busy it is."""

    busy_count: int = 0
    latency: Latency = field(default_factory=Latency)


def asks(path: bytes = b"/", query: bytes = b"", client: str | None = "127.0.0.1", **headers: str) -> Request:
    """Make a request."""
    return Request(
        {
            "raw_path": path,
            "query_string": query,
            "client": None if client is None else (client, 1234),
            "headers": [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()],
        }
    )


def group(
    weights: Sequence[float], shares: Sequence[int] | None = None, addresses: Sequence[str] = ()
) -> Lineup:
    """Make a lineup of servers with these weights."""
    return Lineup(
        addresses=tuple(addresses) or tuple(f"10.0.0.{index}:80" for index in range(len(weights))),
        weights=tuple(weights),
        shares=tuple(shares or [max(1, int(weight)) for weight in weights]),
        stays=tuple(weight > 0 for weight in weights),
    )


def balancer(name: str, backends: Sequence[Backend], seed: int = 1) -> Balancer:
    """Make a balancer by its name, with chances that are the same each time."""
    chance = Random(seed).random
    made: dict[str, Balancer] = {
        "round_robin": RoundRobin(chance),
        "random": AtRandom(chance),
        "least_request": LeastRequest(lambda: backends, chance),
        "ewma": Ewma(lambda: backends, chance),
        "consistent_hash": ConsistentHash(key_of("path"), maglev, RoundRobin(chance)),
    }
    return made[name]


BALANCERS = ("round_robin", "random", "least_request", "ewma", "consistent_hash")
UNTRIED: Collection[int] = ()
