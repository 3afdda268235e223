"""
Shares the requests of a route among its variants, by weight.

By a key, the same client, session or user has the same variant in every worker and
after every restart. Each variant draws a number from the key, stretched by its weight,
and the lowest wins (weighted rendezvous): a weight that grows takes its share of the
keys from the others, and no key moves between those. Pure.
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from penstock.worker.http.matching import Asked

RouteT = TypeVar("RouteT")

Key = Callable[[Asked], bytes]

_BITS = 2.0**-64


class Variant(NamedTuple, Generic[RouteT]):
    """One of those that share: how it is called, its weight, and the route that answers."""

    name: str
    weight: int
    route: RouteT


class Split(Generic[RouteT]):
    """How the requests of a route are shared. `seed` tells it from other splits of the same keys."""

    __slots__ = ("_hashes", "_routes", "_weights", "key")

    def __init__(self, key: str, seed: str, variants: Sequence[Variant[RouteT]]) -> None:
        shared = [each for each in variants if each.weight]
        assert shared
        self.key = key_of(key)
        self._routes = [each.route for each in shared]
        self._weights = [each.weight for each in shared]
        self._hashes = [hashlib.blake2b(f"{seed}\0{each.name}\0".encode(), digest_size=8) for each in shared]

    def choose(self, asked: Asked) -> RouteT:
        """Choose the variant for a request; one without a key gets any."""
        key = self.key(asked)
        return self.choose_by(key) if key else random.choices(self._routes, self._weights)[0]

    def choose_by(self, key: bytes) -> RouteT:
        """Choose the variant for a key."""
        best, lowest = self._routes[0], math.inf
        for route, weight, seeded in zip(self._routes, self._weights, self._hashes, strict=True):
            draw = seeded.copy()
            draw.update(key)
            # Between 0 and 1, and neither.
            share = (int.from_bytes(draw.digest(), "little") + 0.5) * _BITS
            height = -math.log(share) / weight
            if height < lowest:
                best, lowest = route, height
        return best


def key_of(text: str) -> Key:
    """Return what reads the key of a request: it is empty if there is none."""
    kind, _, name = text.partition(":")
    if kind == "header":
        header = name.lower().encode("latin-1")
        return lambda asked: next((value for each, value in asked.headers if each == header), b"")
    if kind == "cookie":
        return lambda asked: _cookie(asked, name.encode("latin-1"))
    if kind == "client":
        return lambda asked: b"" if asked.client is None else asked.client[0].encode("latin-1", "replace")
    return lambda _: b""


def _cookie(asked: Asked, name: bytes) -> bytes:
    for each, value in asked.headers:
        if each == b"cookie":
            for pair in value.split(b";"):
                key, sign, content = pair.partition(b"=")
                if sign and key.strip(b" \t") == name:
                    return content.strip(b' \t"')
    return b""
