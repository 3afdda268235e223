"""
What an answer of DNS means for a group of servers, and when to ask again.

Pure: records in, servers and pauses out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from penstock.master.config.upstream import WEIGHT_MAX
from penstock.master.watched import ResolveSettings
from penstock.worker.limits import FOUND_SERVERS_MAX, LOOKUP_PAUSE_S_MAX
from penstock.worker.messages import Found


class NotFound(Exception):
    """A name stands for nothing, or nobody could say. Says why."""


class Service(NamedTuple):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Answer(NamedTuple):
    """The servers that a name stands for, and for how long."""

    found: tuple[Found, ...]
    ttl_s: float


def of_addresses(addresses: Iterable[str], port: int) -> tuple[Found, ...]:
    """Make servers of the addresses of one name."""
    return _ordered(Found(join(each, port)) for each in set(addresses))


def of_services(services: Sequence[Service], addresses: Mapping[str, Sequence[str]]) -> tuple[Found, ...]:
    """
    Make servers of SRV records and the addresses of their targets.

    Weights are as the records have them, unless they are larger than ours may
    be; then all are made smaller. One of 0 is for a server that is to have
    hardly anything: 1. Records of the same server are one, with the sum of
    their weights.
    """
    weights: dict[tuple[int, str], int] = {}
    for service in services:
        for address in addresses.get(service.target, ()):
            key = service.priority, join(address, service.port)
            weights[key] = weights.get(key, 0) + service.weight
    most = max(weights.values(), default=0)
    scale = WEIGHT_MAX / most if most > WEIGHT_MAX else 1.0
    best: dict[str, Found] = {}
    for (priority, address), weight in sorted(weights.items()):
        best.setdefault(address, Found(address, max(1, round(weight * scale)), priority))
    return _ordered(best.values())


def join(address: str, port: int) -> str:
    """Write an address with its port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def pause_after(ttl_s: float, settings: ResolveSettings) -> float:
    """Tell how long an answer holds."""
    return min(max(ttl_s, settings.min_ttl_s), settings.max_ttl_s)


def pause_after_failure(failures: int, settings: ResolveSettings) -> float:
    """Tell when to ask again after so many failures in a row."""
    longest_s = min(LOOKUP_PAUSE_S_MAX, settings.max_ttl_s)
    return float(min(max(1.0, settings.min_ttl_s) * 2 ** min(failures - 1, 10), longest_s))


def _ordered(found: Iterable[Found]) -> tuple[Found, ...]:
    """Put servers in the one order, so that equal answers are equal, and leave out what is too much."""
    ordered = sorted(found, key=lambda each: (each.priority, each.address))
    return tuple(ordered[:FOUND_SERVERS_MAX])
