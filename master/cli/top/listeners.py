"""The table of listeners: what waits in their queues, and who holds their shards."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from penstock.master.cli.top.figures import count
from penstock.master.cli.top.line import Line, Piece, Style
from penstock.master.cli.top.reading import Listener, Reading
from penstock.master.cli.top.table import Column, Row, table

LISTENER_COLUMNS: Final = (
    Column("LISTENER", 8, is_left=True),
    Column("ADDRESS", 14, rank=2, is_left=True),
    Column("SHARDS", 6, rank=3),
    Column("QUEUED", 6, rank=1),
    Column("HELD BY", 20, rank=0, is_left=True, takes_rest=True),
)


# A suspect has lent its share away, for as long as it is one.
STEADY: Final = frozenset({"ready", "suspect"})


def listeners(reading: Reading, width: int) -> list[Line]:
    """Give a heading and a line for each listener; who holds which shard, where that says something."""
    steady = {each.slot for each in reading.workers if each.state in STEADY and each.slot is not None}
    rows: list[Row] = []
    for each in reading.listeners:
        queued = sum(shard.queued for shard in each.shards)
        rows.append(
            [
                Piece(each.name or "-"),
                Piece(each.address or "-"),
                Piece(count(len(each.shards))),
                Piece(count(queued), Style.WARNING if queued else Style.PLAIN),
                Piece(holders(each, steady)),
            ]
        )
    return table(LISTENER_COLUMNS, rows, width)


def holders(listener: Listener, steady: set[int]) -> str:
    """
    Say who holds the shards: how many each slot has, and which, if some wait or are lent away.

    `steady` are the slots that have a share when nothing is wrong.
    """
    held: dict[int, list[int]] = defaultdict(list)
    for position, shard in enumerate(listener.shards):
        held[-1 if shard.slot is None else shard.slot].append(position)
    if set(held) == {-1} and len(listener.shards) == 1:
        return "all slots" + _waiting(listener, [0])
    counts = {len(positions) for positions in held.values()}
    is_spread = -1 not in held and steady <= set(held) and counts and max(counts) - min(counts) <= 1
    if is_spread and not any(shard.queued for shard in listener.shards):
        if len(held) == 1:
            return f"all by slot {next(iter(held))}"
        return f"{counts.pop()} each" if len(counts) == 1 else f"{min(counts)} or {max(counts)} each"
    missing = dict.fromkeys(sorted(steady - set(held)), "none")
    told = {
        slot: _ranges([listener.shards[each].index or each for each in positions])
        + _waiting(listener, positions)
        for slot, positions in held.items()
    } | missing
    return "  ".join(f"{'?' if slot < 0 else slot}: {text}" for slot, text in sorted(told.items())) or "-"


def _waiting(listener: Listener, positions: Sequence[int]) -> str:
    queued = sum(listener.shards[each].queued for each in positions)
    return f" ({count(queued)} queued)" if queued else ""


def _ranges(numbers: Sequence[int]) -> str:
    """
    Write numbers with neighbours put together.

    >>> _ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ",".join("-".join(map(str, each)) for each in spans)
