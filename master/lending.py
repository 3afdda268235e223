"""
Who accepts on which shard.

Shards are the unit of balance: spread evenly over the workers that accept, and
moved as little as that allows, since each move costs two messages. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shard = tuple[str, int]  # the listener's address as configured, the index in its group


@dataclass(frozen=True)
class Moves:
    """What to tell the workers, by pid: the shards to adopt and those to release."""

    adopt: Mapping[int, tuple[Shard, ...]]
    release: Mapping[int, tuple[Shard, ...]]


def spread(
    shards: Sequence[Shard], holders: Mapping[Shard, int], accepting: Sequence[int]
) -> dict[Shard, int]:
    """
    Give every shard to one of the accepting workers, evenly.

    A worker keeps what it holds up to its share; what is left over goes to those
    who have least. With nobody accepting, nobody holds anything.
    """
    if not accepting:
        return {}
    share, remainder = divmod(len(shards), len(accepting))
    held: dict[int, list[Shard]] = {pid: [] for pid in accepting}
    for shard in shards:
        if holders.get(shard) in held:
            held[holders[shard]].append(shard)
    # The first few in order of what they hold may keep one more than the share.
    by_held = sorted(accepting, key=lambda pid: -len(held[pid]))
    quota = {pid: share + (place < remainder) for place, pid in enumerate(by_held)}
    assigned = {shard: pid for pid in accepting for shard in held[pid][: quota[pid]]}
    room = [pid for pid in accepting for _ in range(quota[pid] - min(len(held[pid]), quota[pid]))]
    homeless = [shard for shard in shards if shard not in assigned]
    assigned.update(zip(homeless, room, strict=True))
    return assigned


def moves(before: Mapping[Shard, frozenset[int]], after: Mapping[Shard, frozenset[int]]) -> Moves:
    """Work out what must change hands."""
    adopt: dict[int, list[Shard]] = {}
    release: dict[int, list[Shard]] = {}
    for shard in sorted(before.keys() | after.keys()):
        was, becomes = before.get(shard, frozenset()), after.get(shard, frozenset())
        _note(adopt, becomes - was, shard)
        _note(release, was - becomes, shard)
    return Moves(_frozen(adopt), _frozen(release))


def _note(by_pid: dict[int, list[Shard]], pids: Iterable[int], shard: Shard) -> None:
    for pid in pids:
        by_pid.setdefault(pid, []).append(shard)


def _frozen(by_pid: dict[int, list[Shard]]) -> dict[int, tuple[Shard, ...]]:
    return {pid: tuple(shards) for pid, shards in by_pid.items()}
