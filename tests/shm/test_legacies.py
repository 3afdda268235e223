"""What a row has counted is in the base afterwards, once, wherever the fold was broken off."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.shm.exemplars import ExemplarReading, ExemplarWriter, read_exemplars
from penstock.shm.keylog import Family, Key
from penstock.shm.legacies import fold_values
from penstock.shm.values import OVERFLOW, REMOVED, CellTable, ValueArea

MODES = ("all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent")
COUNTER = Family("counter", "", "tea", ("kind",), "")


def area() -> ValueArea:
    return ValueArea.scratch(200, 1200)


def fill(target: ValueArea, content: dict[Key, tuple[float, ...]]) -> ValueArea:
    table = CellTable(target)
    for key, numbers in content.items():
        cell = table.place(key)
        assert cell is not None
        for offset, number in enumerate(numbers):
            target.values[cell + offset] = number
    return target


def content(source: ValueArea) -> dict[Key, tuple[float, ...]]:
    """Everything but what the area says of itself."""
    from penstock.shm.values import CONFLICTS, DROPPED, width  # noqa: PLC0415

    return {
        key: tuple(source.values[cell : cell + width(key)].tolist())
        for key, cell in source.cells()
        if key not in (CONFLICTS, DROPPED)
    }


def tea(kind: str) -> Key:
    return Key(COUNTER, "_total", (kind,))


def pots(mode: str, worker: str = "") -> Key:
    return Key(Family("gauge", mode, f"pots_{mode}", (), ""), "", (), worker)


numbers = st.integers(0, 1000).map(float)
contents = st.fixed_dictionaries(
    {},
    optional={tea(kind): st.tuples(numbers) for kind in ("assam", "ceylon", "darjeeling")}
    | {pots(mode): st.tuples(numbers, st.integers(1000, 1010).map(float)) for mode in MODES},
)


@given(st.lists(contents, max_size=5))
def test_totals_are_what_was_counted(owners: list[dict[Key, tuple[float, ...]]]) -> None:
    """
    One owner after the other, by turns into the two copies.
    """
    base = (area(), area())
    for number, owner in enumerate(owners):
        fold_values(fill(area(), owner), base[number % 2], base[(number + 1) % 2], slot=number)

    seen = content(base[len(owners) % 2])

    for kind in ("assam", "ceylon", "darjeeling"):
        counted = [owner[tea(kind)][0] for owner in owners if tea(kind) in owner]
        assert seen.get(tea(kind), (None,))[0] == (sum(counted) if counted else None)
    for mode, combine in (("min", min), ("max", max), ("sum", sum)):
        given = [owner[pots(mode)][0] for owner in owners if pots(mode) in owner]
        assert seen.get(pots(mode), (None,))[0] == (combine(given) if given else None)
    latest = [owner[pots("mostrecent")] for owner in owners if pots("mostrecent") in owner]
    if latest:
        assert seen[pots("mostrecent")][1] == max(at for _, at in latest)
    assert {key.worker for key in seen if key.family.mode == "all"} == {
        str(number) for number, owner in enumerate(owners) if pots("all") in owner
    }
    assert not [key for key in seen if key.family.mode.startswith("live")]


class Killed(BaseException):
    """The master is gone, between two stores."""


class _View:
    """A memoryview of which each store can be the last."""

    def __init__(self, view: memoryview, stores: list[int]) -> None:
        self._view = view
        self._stores = stores

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, key: int | slice) -> object:
        return self._view[key]

    def __setitem__(self, key: int | slice, value: object) -> None:
        if self._stores[0] == 0:
            raise Killed
        self._stores[0] -= 1
        self._view[key] = value  # type: ignore[call-overload]

    def cast(self, code: str) -> "_View":
        return _View(self._view.cast(code), self._stores)  # type: ignore[call-overload]

    @property
    def nbytes(self) -> int:
        return self._view.nbytes


def breakable(target: ValueArea, stores: list[int]) -> ValueArea:
    def view(section: object) -> memoryview:
        return cast(memoryview, _View(cast(memoryview, section), stores))

    return ValueArea(
        cast("memoryview[float]", view(target.values)), view(target.keys), view(target.exemplars)
    )


@settings(max_examples=20, deadline=None)
@given(contents, contents)
def test_a_fold_broken_off_anywhere_is_done_again_from_the_start(
    before: dict[Key, tuple[float, ...]], owner: dict[Key, tuple[float, ...]]
) -> None:
    """
    Base and row are as they were, so the second attempt comes to the same.
    """
    base_before, source = fill(area(), before), fill(area(), owner)
    ExemplarWriter(source.exemplars).put(2, ExemplarReading({"trace": "1"}, 1.0, 1000.0))
    whole = area()
    fold_values(source, base_before, whole, slot=3)
    stored = 0
    while True:
        after = area()
        try:
            fold_values(source, base_before, breakable(after, [stored]), slot=3)
        except Killed:
            stored += 1
            fold_values(source, base_before, after, slot=3)
            assert content(after) == content(whole)
            assert read_exemplars(after.exemplars) == read_exemplars(whole.exemplars)
            continue
        break
    assert stored > 0


def test_a_base_of_before_keeps_its_workers() -> None:
    """
    After a hot restart to another layout the source is a base itself.
    """
    source = fill(area(), {pots("all", "2"): (5.0, 1000.0)})
    after = area()
    fold_values(source, fill(area(), {pots("all", "1"): (4.0, 1000.0)}), after, slot=None)
    assert content(after) == {pots("all", "1"): (4.0, 1000.0), pots("all", "2"): (5.0, 1000.0)}


def test_a_removed_gauge_leaves_nothing() -> None:
    """
    Only what was set after the removal is kept.
    """
    removed = Key(pots("max").family, REMOVED, ())
    after = area()
    fold_values(fill(area(), {pots("max"): (5.0, 1000.0), removed: (1001.0,)}), area(), after, slot=0)
    assert pots("max") not in content(after)
    fold_values(fill(area(), {pots("max"): (6.0, 1002.0)}), after, again := area(), slot=0)
    assert content(again)[pots("max")] == (6.0, 1002.0)


def test_what_has_no_room_in_the_base_goes_to_overflow() -> None:
    """
    Different label sets in each worker: the sum over all is still exact.
    """
    base = (area(), area())
    for owner in range(8):
        source = fill(area(), {tea(f"{owner}/{number}"): (1.0,) for number in range(40)})
        fold_values(source, base[owner % 2], base[(owner + 1) % 2], slot=owner)
    seen = content(base[0])
    assert sum(value for (value,) in seen.values()) == 8 * 40
    assert seen[tea(OVERFLOW)][0] > 0


def test_exemplars_move_with_their_cells() -> None:
    """
    The youngest of base and row is kept.
    """
    source, before, after = fill(area(), {tea("assam"): (1.0,)}), area(), area()
    fill(before, {tea("ceylon"): (1.0,), tea("assam"): (1.0,)})
    cells = dict(source.cells())
    kept = ExemplarReading({"trace": "1"}, 1.0, 1000.0)
    ExemplarWriter(source.exemplars).put(cells[tea("assam")], kept)
    fold_values(source, before, after, slot=0)
    places = {cell: key for key, cell in after.cells()}
    assert {places[cell]: found for cell, found in read_exemplars(after.exemplars).items()} == {
        tea("assam"): kept
    }


@pytest.mark.parametrize("words", [0, 40])
def test_a_row_without_such_sections_leaves_nothing(words: int) -> None:
    """
    Another release may not have had them, and nothing fails for it.
    """
    empty = ValueArea.scratch(words // 4, words)
    after = area()
    fold_values(empty, fill(area(), {tea("assam"): (2.0,)}), after, slot=0)
    assert content(after) == {tea("assam"): (2.0,)}


def folded(
    owners: list[tuple[dict[Key, tuple[float, ...]], list[ValueArea]]],
) -> dict[Key, tuple[float, ...]]:
    """Fold one after the other, each with others that live meanwhile."""
    base = (area(), area())
    for number, (owner, others) in enumerate(owners):
        source = fill(ValueArea.scratch(200, 1200), owner)
        before, after = base[number % 2], base[(number + 1) % 2]
        fold_values(source, before, after, slot=0, others=lambda others=others: others)  # type: ignore[misc]
    return content(base[len(owners) % 2])


def churned(number: int) -> dict[Key, tuple[float, ...]]:
    """Give what a worker leaves whose label sets have come and gone."""
    found: dict[Key, tuple[float, ...]] = {tea("assam"): (1.0,)}
    for each in range(10):
        found[tea(f"{number}/{each}")] = (5.0,)
        found[Key(COUNTER, REMOVED, (f"{number}/{each}",))] = (5.5,)
    return found


def test_label_sets_that_came_and_went_do_not_fill_the_base() -> None:
    """
    However many workers there were, and without touching the others.
    """
    seen = folded([(churned(number), []) for number in range(30)])
    assert seen[tea("assam")] == (30.0,)
    assert tea(OVERFLOW) not in seen
    assert len(seen) < 60


def test_a_removed_label_set_that_a_worker_still_has_is_kept() -> None:
    """
    It may come back, and must not have become less.
    """
    living = fill(area(), {tea("0/3"): (0.0,)})
    seen = folded([(churned(number), [living]) for number in range(30)])
    assert seen[tea("0/3")] == (5.0,)
    assert seen[Key(COUNTER, REMOVED, ("0/3",))] == (5.5,)


def test_a_label_set_that_came_back_is_kept() -> None:
    """
    It was counted after its removal.
    """
    back: dict[Key, tuple[float, ...]] = {tea("0/3"): (2.0,)}
    seen = folded([(churned(0), []), (back, []), *((churned(number), []) for number in range(1, 30))])
    assert seen[tea("0/3")] == (7.0,)
