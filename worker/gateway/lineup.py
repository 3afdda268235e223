"""
Who may get the requests of an upstream just now, and in which proportions.

Pure: facts about its servers and the time go in, weights come out. It is asked
again when a fact changes, and once a tick while a server warms up; never per
request.
"""

from collections.abc import Sequence
from typing import NamedTuple

# What a server that is warming up gets at least of its weight. With nothing it would stay cold.
WARM_SHARE_MIN = 0.1


class Contender(NamedTuple):
    """
    One server.

    `is_ejected` is why it is not up, if requests themselves have failed there.
    `up_since_s` is when it was taken in, 0 for one that was there from the start.
    """

    address: str
    weight: int = 1
    priority: int = 0  # those of the lowest come first
    is_up: bool = True
    up_since_s: float = 0.0
    is_ejected: bool = False


class Rules(NamedTuple):
    """What the operator says of a group."""

    panic_threshold: float = 0.5  # 0: health is never ignored
    slow_start_s: float = 0.0


class Lineup(NamedTuple):
    """
    What follows for each server, in their order.

    `weights` are those of now: a server of weight 0 gets no request. `shares`
    are what it gets in the long run, up or not, 0 for one that does not belong
    to those whose turn it is (a backup, mostly): a hash is spread over these, so that a
    server which is down for a while moves no key but its own. `stays` says
    whether it may go on with the clients that it has. `reserves` are the backups
    that are up and whose turn it is not, by priority: they get a request that was
    tried with all whose turn it is.
    """

    addresses: tuple[str, ...]
    weights: tuple[float, ...]
    shares: tuple[int, ...]
    stays: tuple[bool, ...]
    is_panic: bool = False
    is_warming: bool = False
    reserves: tuple[tuple[int, ...], ...] = ()

    @property
    def candidates(self) -> list[int]:
        """The indexes of those that may get a request."""
        return [index for index, weight in enumerate(self.weights) if weight > 0]


def line_up(contenders: Sequence[Contender], rules: Rules, now_s: float) -> Lineup:
    """
    Weigh the servers.

    Those that are up get requests, of the first priority only while there are
    enough of them (by weight). Those of the next join when there are not; and
    when there is none to join, it is taken for a mistake of the health checks,
    and all of the first priority get requests: a panic. Those where requests
    have failed are no mistake of a check, and stay out as long as there are others.
    """
    levels = sorted({each.priority for each in contenders if each.weight})
    first = reach = levels[0] if levels else 0
    wanted = rules.panic_threshold * sum(each.weight for each in contenders if each.priority == first)
    left = 0
    for reach in levels:
        left = sum(each.weight for each in contenders if each.is_up and each.priority <= reach)
        if left and left >= wanted:
            break
    has_relief = any(each.is_up and each.weight for each in contenders if each.priority > first)
    ignored: tuple[float, ...] = ()
    if not has_relief and left < wanted:
        reach = first
        ignored = _ignoring_checks(contenders, first)
    # With nobody beside those that are up, there is nothing to ignore.
    is_panic = any(weight and not each.is_up for weight, each in zip(ignored, contenders, strict=False))

    shares = tuple(each.weight if each.priority <= reach else 0 for each in contenders)
    weights = ignored
    if not is_panic:
        weights = tuple(
            _warmed(share, each, rules, now_s) if each.is_up else 0
            for share, each in zip(shares, contenders, strict=True)
        )
    return Lineup(
        addresses=tuple(each.address for each in contenders),
        weights=weights,
        shares=shares,
        stays=tuple(each.is_up or weight > 0 for each, weight in zip(contenders, weights, strict=True)),
        is_panic=is_panic,
        is_warming=not is_panic and any(is_warming(each, rules, now_s) for each in contenders),
        reserves=_reserves(contenders, [level for level in levels if level > reach]),
    )


def _reserves(contenders: Sequence[Contender], levels: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """List the servers of each of these priorities that are up."""
    up = [
        tuple(
            index
            for index, each in enumerate(contenders)
            if each.priority == level and each.is_up and each.weight
        )
        for level in levels
    ]
    return tuple(filter(None, up))


def _ignoring_checks(contenders: Sequence[Contender], first: int) -> tuple[float, ...]:
    """Weigh the servers of the first priority, but those where requests failed, if there are others."""
    weights = tuple(each.weight if each.priority == first else 0 for each in contenders)
    spared = tuple(0 if each.is_ejected else weight for weight, each in zip(weights, contenders, strict=True))
    return spared if any(spared) else weights


def is_warming(contender: Contender, rules: Rules, now_s: float) -> bool:
    """Tell whether a server has come back so lately that it gets less than its weight."""
    since_s = contender.up_since_s
    return contender.is_up and min(since_s, rules.slow_start_s) > 0 and now_s < since_s + rules.slow_start_s


def _warmed(share: int, contender: Contender, rules: Rules, now_s: float) -> float:
    if not is_warming(contender, rules, now_s):
        return share
    return share * max(WARM_SHARE_MIN, (now_s - contender.up_since_s) / rules.slow_start_s)
