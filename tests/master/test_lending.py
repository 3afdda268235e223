"""Shards are spread evenly, and nobody loses one without need."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from penstock.master.lending import Moves, Shard, moves, spread


def shards(count: int) -> list[Shard]:
    return [("127.0.0.1:80", index) for index in range(count)]


A, B, C, D = shards(4)


def test_shards_are_dealt_out_to_those_who_accept() -> None:
    assert Counter(spread(shards(8), {}, [1, 2]).values()) == {1: 4, 2: 4}
    assert Counter(spread(shards(8), {}, [1, 2, 3]).values()) == {1: 3, 2: 3, 3: 2}


def test_with_nobody_accepting_nobody_holds_anything() -> None:
    """The connections wait in the master's own sockets."""
    assert spread(shards(8), {A: 1}, []) == {}


def test_a_newcomer_takes_only_its_share() -> None:
    """Each move is two messages, and a worker that keeps its shard is not disturbed."""
    before = {A: 1, B: 1, C: 2, D: 2}

    after = spread([A, B, C, D], before, [1, 2, 3, 4])

    assert Counter(after.values()) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert after[A] == 1
    assert after[C] == 2


def test_the_shards_of_the_dead_go_to_those_with_fewest() -> None:
    assert spread([A, B, C, D], {A: 1, B: 2, C: 3, D: 3}, [1, 2]) == {A: 1, B: 2, C: 1, D: 2}


def test_more_workers_than_shards_leaves_some_with_none() -> None:
    assert spread([A], {}, [1, 2]) == {A: 1}


@st.composite
def lendings(draw: st.DrawFn) -> tuple[list[Shard], dict[Shard, int], list[int]]:
    """Some shards, some of them held, some of those by workers that accept."""
    every = shards(draw(st.integers(0, 40)))
    pids = draw(st.lists(st.integers(1, 12), unique=True, max_size=8))
    holders = draw(st.dictionaries(st.sampled_from(every), st.integers(1, 12))) if every else {}
    return every, holders, pids


@given(lendings())
def test_every_shard_has_one_holder_and_counts_differ_by_one_at_most(
    lending: tuple[list[Shard], dict[Shard, int], list[int]],
) -> None:
    every, holders, accepting = lending
    after = spread(every, holders, accepting)

    if not accepting:
        assert after == {}
        return
    assert set(after) == set(every)
    assert set(after.values()) <= set(accepting)
    counts = [list(after.values()).count(pid) for pid in accepting]
    assert max(counts) - min(counts) <= 1


@given(lendings())
def test_no_spread_as_even_moves_fewer(
    lending: tuple[list[Shard], dict[Shard, int], list[int]],
) -> None:
    """
    Whoever has its share or less loses nothing, and the others no more than what is too much.

    At best, as many as the remainder allows keep one more than the share.
    """
    every, holders, accepting = lending
    after = spread(every, holders, accepting)
    if not accepting:
        return
    share, remainder = divmod(len(every), len(accepting))
    held = Counter(pid for pid in holders.values() if pid in accepting)
    kept = Counter(pid for shard, pid in holders.items() if after[shard] == pid)

    assert all(kept[pid] == held[pid] for pid in accepting if held[pid] <= share)
    rich = sum(held[pid] > share for pid in accepting)
    kept_at_best = sum(min(held[pid], share) for pid in accepting) + min(rich, remainder)
    assert sum(kept.values()) == kept_at_best


@given(lendings())
def test_an_even_spread_stays_as_it_is(
    lending: tuple[list[Shard], dict[Shard, int], list[int]],
) -> None:
    """It is worked out after every event, so it must come to rest."""
    every, holders, accepting = lending
    after = spread(every, holders, accepting)

    assert spread(every, after, accepting) == after


def test_moves_are_what_differs() -> None:
    before = {A: frozenset({1}), B: frozenset({1}), C: frozenset({1, 2})}
    after = {A: frozenset({1}), B: frozenset({2}), C: frozenset({2, 3}), D: frozenset({1})}

    assert moves(before, after) == Moves(
        adopt={2: (B,), 3: (C,), 1: (D,)},
        release={1: (B, C)},
    )


def test_nothing_moves_when_nothing_changed() -> None:
    held = {A: frozenset({1}), B: frozenset({2})}

    assert moves(held, held) == Moves(adopt={}, release={})


def test_a_shard_that_is_gone_is_released() -> None:
    """A listener that was taken out of the config."""
    assert moves({A: frozenset({1})}, {}) == Moves(adopt={}, release={1: (A,)})


holdings = st.dictionaries(st.sampled_from(shards(6)), st.frozensets(st.integers(1, 4)), max_size=6)


@given(before=holdings, after=holdings)
def test_carrying_the_moves_out_leads_from_one_to_the_other(
    before: dict[Shard, frozenset[int]], after: dict[Shard, frozenset[int]]
) -> None:
    change = moves(before, after)
    reached = {(shard, pid) for shard, pids in before.items() for pid in pids}
    adopted = {(shard, pid) for pid, gained in change.adopt.items() for shard in gained}
    released = {(shard, pid) for pid, lost in change.release.items() for shard in lost}

    assert not adopted & reached
    assert released <= reached
    assert (reached | adopted) - released == {(shard, pid) for shard, pids in after.items() for pid in pids}
