"""Every label set has cells of its own, until there is no room; then it is counted all the same."""

from penstock.shm.keylog import Family, Key
from penstock.shm.values import CONFLICTS, DROPPED, OVERFLOW, CellTable, ValueArea

COUNTER = Family("counter", "", "tea", ("kind",), "")
HISTOGRAM = Family("histogram", "", "steeping", ("kind",), "")
GAUGE = Family("gauge", "all", "pots", (), "")


def bucket(kind: str, bound: str) -> Key:
    return Key(HISTOGRAM, "_bucket", (kind, bound))


def test_a_key_keeps_its_cell() -> None:
    """
    Also for a second table over the same area, as a new owner of an old row makes it.
    """
    area = ValueArea.scratch()
    table = CellTable(area)
    first = table.place(Key(COUNTER, "_total", ("assam",)))
    gauge = table.place(Key(GAUGE, "", ()))
    after = table.place(Key(COUNTER, "_total", ("ceylon",)))

    assert (gauge, after) == (first + 1, first + 3)  # type: ignore[operator]
    assert table.place(Key(COUNTER, "_total", ("assam",))) == first
    assert CellTable(area).place(Key(COUNTER, "_total", ("ceylon",))) == after
    assert CellTable(area).count == table.count


def test_what_does_not_fit_is_counted_under_overflow() -> None:
    """
    The number is not lost, only who it belongs to; and how many there are is counted.
    """
    area = ValueArea.scratch(64, 400)
    table = CellTable(area)
    cells = [table.place(Key(COUNTER, "_total", (str(number),))) for number in range(100)]

    overflow = table.find(Key(COUNTER, "_total", (OVERFLOW,)))
    assert overflow is not None
    own = cells.index(overflow)
    assert len(set(cells[:own])) == own >= 40
    assert set(cells[own:]) == {overflow}
    dropped = table.find(DROPPED)
    assert dropped is not None
    assert area.values[dropped] == 100 - own


def test_a_label_set_that_was_begun_is_finished() -> None:
    """
    A histogram of which half the buckets are elsewhere would be worse than none.
    """
    area = ValueArea.scratch(64, 1000)
    table = CellTable(area)
    for number in range(200):
        table.place(Key(HISTOGRAM, "_sum", (str(number),)))
        for bound in ("1.0", "2.0", "+Inf"):
            table.place(bucket(str(number), bound))

    kinds = {key.values[0] for key in table._cells if key.suffix == "_sum"}
    for kind in kinds:
        assert all(table.find(bucket(kind, bound)) is not None for bound in ("1.0", "2.0", "+Inf"))
    assert OVERFLOW in kinds


def test_a_full_area_never_raises() -> None:
    """
    Not even when there is no room for the overflow series.
    """
    for values, words in ((2, 8), (4, 60), (3, 2), (16, 70)):
        table = CellTable(ValueArea.scratch(values, words))
        for number in range(50):
            family = Family("counter", "", f"metric {number}", ("kind",), "")
            cell = table.place(Key(family, "_total", (str(number),)))
            assert cell is None or 0 <= cell < values
        table.count_conflict()


def test_an_area_counts_its_own_troubles_from_the_start() -> None:
    """
    The counters are there at 0, so that an alert has something to compare with.
    """
    table = CellTable(ValueArea.scratch())
    assert table.find(DROPPED) is not None
    assert table.find(CONFLICTS) is not None


def test_there_is_room_for_hundreds_of_label_sets_of_a_histogram() -> None:
    """
    The usual buckets, and label values of a usual length: values run out before names do.
    """
    area = ValueArea.scratch()
    table = CellTable(area)
    bounds = (
        ".005",
        ".01",
        ".025",
        ".05",
        ".075",
        ".1",
        ".25",
        ".5",
        ".75",
        "1",
        "2.5",
        "5",
        "7.5",
        "10",
        "+Inf",
    )
    for number in range(700):
        kind = f"/items/of/some/kind/{number}"
        cells = [
            table.place(Key(HISTOGRAM, "_sum", (kind,))),
            *(table.place(bucket(kind, each)) for each in bounds),
        ]
        assert cells == list(range(2 + 16 * number, 2 + 16 * (number + 1)))
    assert table.find(bucket(OVERFLOW, "1")) is None
    assert dict(area.cells()) == dict(table.items())
    assert dict(CellTable(area).items()) == dict(table.items())
