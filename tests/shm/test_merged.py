"""Many areas become one set of samples, whatever any one of them holds."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shm.exemplars import ExemplarReading, ExemplarWriter
from penstock.shm.keylog import Family, Key
from penstock.shm.merged import Merger
from penstock.shm.readings import SampleReading, Source
from penstock.shm.values import REMOVED, CellTable, ValueArea

COUNTER = Family("counter", "", "tea", ("kind",), "Cups of tea.")
HISTOGRAM = Family("histogram", "", "steeping", (), "How long.")


class Worker:
    """An area and its writer."""

    def __init__(self, slot: int, *, rank: int = 0, is_live: bool = True, is_base: bool = False) -> None:
        self.area = ValueArea.scratch(256, 2000)
        self.table = CellTable(self.area)
        self.identity = object()
        self.slot = "" if is_base else str(slot)
        self.is_live = is_live and not is_base
        self.rank = rank

    def put(self, key: Key, *numbers: float) -> "Worker":
        cell = self.table.place(key)
        assert cell is not None
        for offset, number in enumerate(numbers):
            self.area.values[cell + offset] = number
        return self

    @property
    def source(self) -> Source:
        return Source(self.identity, self.area, self.slot, self.is_live, self.rank)


def read(*workers: Worker, name: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    reading = Merger().family([worker.source for worker in workers], name)
    if reading is None:
        return {}
    return {(each.name, tuple(each.labels.items())): each.value for each in reading.samples}


def gauge(mode: str) -> Key:
    return Key(Family("gauge", mode, "pots", (), ""), "", ())


def tea(kind: str) -> Key:
    return Key(COUNTER, "_total", (kind,))


def test_counters_are_added_up_over_rows_and_base() -> None:
    """
    Whoever counted, and whether it lives.
    """
    workers = [
        Worker(0, is_base=True).put(tea("assam"), 100),
        Worker(0).put(tea("assam"), 1).put(tea("ceylon"), 5),
        Worker(1, is_live=False).put(tea("ceylon"), 7).put(tea("assam"), 2),
    ]
    assert read(*workers, name="tea") == {
        ("tea_total", (("kind", "assam"),)): 103,
        ("tea_total", (("kind", "ceylon"),)): 12,
    }


def test_a_histogram_has_its_buckets_in_order_and_summed() -> None:
    """
    Also where two generations have other bounds.
    """
    one, two = Worker(0), Worker(1)
    one.put(Key(HISTOGRAM, "_sum", ()), 3.5)
    for bound, count in (("1.0", 1), ("+Inf", 2)):
        one.put(Key(HISTOGRAM, "_bucket", (bound,)), count)
    two.put(Key(HISTOGRAM, "_sum", ()), 1)
    for bound, count in (("+Inf", 0), ("0.5", 4)):
        two.put(Key(HISTOGRAM, "_bucket", (bound,)), count)

    assert list(read(one, two, name="steeping").items()) == [
        (("steeping_bucket", (("le", "0.5"),)), 4),
        (("steeping_bucket", (("le", "1.0"),)), 5),
        (("steeping_bucket", (("le", "+Inf"),)), 7),
        (("steeping_count", ()), 7),
        (("steeping_sum", ()), 4.5),
    ]


def test_a_histogram_of_which_a_part_is_missing_is_still_one() -> None:
    """
    Its owner died between two buckets, and whoever scrapes insists on +Inf.
    """
    worker = Worker(0).put(Key(HISTOGRAM, "_sum", ()), 1).put(Key(HISTOGRAM, "_bucket", ("0.5",)), 3)
    seen = read(worker, name="steeping")
    assert seen["steeping_bucket", (("le", "+Inf"),)] == seen["steeping_count", ()] == 3
    assert read(Worker(0).put(Key(HISTOGRAM, "_sum", ()), 1), name="steeping") == {}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", 2 + 5 + 9),
        ("livesum", 2 + 5),
        ("min", 2),
        ("livemin", 2),
        ("max", 9),
        ("livemax", 5),
        ("mostrecent", 9),
        ("livemostrecent", 2),
    ],
)
def test_a_gauge_is_combined_by_its_mode(mode: str, expected: float) -> None:
    """
    The live modes leave out who is gone; and whoever never set it has no part in it.
    """
    workers = [
        Worker(0).put(gauge(mode), 2, 1002),
        Worker(1).put(gauge(mode), 5, 1001),
        Worker(2, is_live=False).put(gauge(mode), 9, 1003),
        Worker(3).put(gauge(mode), 0, 0),
    ]
    assert read(*workers, name="pots") == {("pots", ()): expected}


def test_a_gauge_that_nobody_set_is_zero() -> None:
    """
    It is there from its making, as without Penstock.
    """
    for mode in ("min", "max", "sum", "livesum", "mostrecent"):
        assert read(Worker(0).put(gauge(mode)), name="pots") == {("pots", ()): 0.0}


def test_all_tells_workers_apart_and_the_younger_of_a_slot_wins() -> None:
    """
    In a roll a slot has two workers, and after it a value of one that is gone.
    """
    base = Worker(0, is_base=True)
    base.put(gauge("all")._replace(worker="0"), 1, 900).put(gauge("all")._replace(worker="7"), 4, 900)
    workers = [
        base,
        Worker(0, rank=1).put(gauge("all"), 2, 1000),
        Worker(0, rank=2).put(gauge("all"), 3, 1000),
        Worker(1, rank=1).put(gauge("all"), 5, 1000),
    ]
    assert read(*workers, name="pots") == {
        ("pots", (("worker", "0"),)): 3,
        ("pots", (("worker", "1"),)): 5,
        ("pots", (("worker", "7"),)): 4,
    }


def test_a_label_of_the_app_keeps_its_name() -> None:
    """
    A gauge may have a label `worker` of its own.
    """
    family = Family("gauge", "all", "pots", ("worker",), "")
    worker = Worker(3).put(Key(family, "", ("ada",)), 2, 1000)
    assert read(worker, name="pots") == {("pots", (("worker", "ada"), ("worker_slot", "3"))): 2}


def test_a_removed_label_set_is_gone_until_it_is_used_again() -> None:
    """
    It counts on from there, so nobody sees it fall.
    """
    one, two = Worker(0).put(tea("assam"), 3).put(tea("ceylon"), 1), Worker(1).put(tea("assam"), 2)
    one.put(Key(COUNTER, REMOVED, ("assam",)), math.nextafter(5.0, math.inf))
    assert read(one, two, name="tea") == {("tea_total", (("kind", "ceylon"),)): 1}

    two.put(tea("assam"), 3)

    assert read(one, two, name="tea")["tea_total", (("kind", "assam"),)] == 6


def test_a_removed_gauge_shows_what_was_set_later() -> None:
    """
    What others had set before is gone with it.
    """
    one, two = Worker(0).put(gauge("sum"), 3, 1000), Worker(1).put(gauge("sum"), 2, 1001)
    one.put(Key(gauge("sum").family, REMOVED, ()), 1002)
    assert read(one, two, name="pots") == {}
    two.put(gauge("sum"), 8, 1003)
    assert read(one, two, name="pots") == {("pots", ()): 8}


def test_the_youngest_says_what_a_metric_is() -> None:
    """
    New code may have made a gauge of a counter; the old meaning goes with the first of its workers.
    """
    old = Worker(0, rank=1).put(Key(Family("counter", "", "tea", (), ""), "_total", ()), 5)
    new = Worker(1, rank=2).put(Key(Family("gauge", "livesum", "tea", (), ""), "", ()), 2, 1000)
    for workers in ([old, new], [new, old]):
        families, left_out = Merger().families([worker.source for worker in workers])
        shown = [each for each in families if each.family.name == "tea"]
        assert [each.samples for each in shown] == [[SampleReading("tea", {}, 2.0)]]
        assert left_out == 1


def test_states_and_infos_are_those_set_last() -> None:
    """
    One worker changes the state of the whole service.
    """
    states = Key(Family("stateset", "", "shop", (), "", ("open", "closed")), "", ())
    info = Family("info", "", "build", (), "")
    one = Worker(0).put(states, 1, 1001).put(Key(info, "_info", ('{"v":"1"}',)), 1000)
    two = Worker(1).put(states, 0, 1000).put(Key(info, "_info", ('{"v":"2"}',)), 1001)
    assert read(one, two, name="shop") == {
        ("shop", (("shop", "open"),)): 0,
        ("shop", (("shop", "closed"),)): 1,
    }
    assert read(one, two, name="build") == {("build_info", (("v", "2"),)): 1}


def test_the_youngest_exemplar_is_shown() -> None:
    """
    One for each line, of whichever worker.
    """
    workers = [Worker(0).put(tea("assam"), 1), Worker(1).put(tea("assam"), 1)]
    for number, worker in enumerate(workers):
        cell = worker.table.find(tea("assam"))
        assert cell is not None
        given = ExemplarReading({"trace": str(number)}, 1.0, 1000.0 - number)
        ExemplarWriter(worker.area.exemplars).put(cell, given)
    reading = Merger().family([worker.source for worker in workers], "tea")
    assert reading is not None
    assert [each.exemplar for each in reading.samples] == [ExemplarReading({"trace": "0"}, 1.0, 1000.0)]


def test_what_is_born_later_is_read_later() -> None:
    """
    A merger is asked again and again, while label sets and workers come and go.
    """
    merger = Merger()
    one, two = Worker(0).put(tea("assam"), 1), Worker(1)

    def total(*workers: Worker) -> dict[str, float]:
        reading = merger.family([worker.source for worker in workers], "tea")
        return {each.labels["kind"]: each.value for each in reading.samples} if reading else {}

    assert total(two) == {}
    assert total(one, two) == {"assam": 1}
    two.put(tea("ceylon"), 4).put(tea("assam"), 2)
    assert total(one, two) == {"assam": 3, "ceylon": 4}
    assert total(one) == {"assam": 1}
    for number in range(100):
        assert total(one, Worker(2).put(tea("assam"), number)) == {"assam": 1 + number}


def test_one_row_of_nonsense_does_not_spoil_the_others() -> None:
    """
    A counter that is no number is left out of the sum.
    """
    workers = [
        Worker(0).put(tea("assam"), 1),
        Worker(1).put(tea("assam"), math.nan),
        Worker(2).put(tea("assam"), 2),
    ]
    assert read(*workers, name="tea") == {("tea_total", (("kind", "assam"),)): 3}


def test_a_log_that_cannot_be_read_is_counted() -> None:
    """
    What comes before the damage is shown, and so is every other row.
    """
    sick, sound = Worker(0).put(tea("assam"), 1), Worker(1).put(tea("assam"), 1)
    end = sick.area.keys[0]
    sick.put(tea("ceylon"), 1)
    sick.area.keys[end] ^= 1
    families, left_out = Merger().families([sick.source, sound.source])
    shown = {each.family.name: each.samples for each in families}
    assert [(each.labels, each.value) for each in shown["tea"]] == [({"kind": "assam"}, 2)]
    assert left_out == 1


@given(st.binary(max_size=3000), st.binary(max_size=1500), st.booleans())
def test_no_area_makes_a_reader_fail(keys: bytes, values: bytes, keeps_log: bool) -> None:
    """
    A stray pointer in one worker must not cost the numbers of the others.
    """
    sick, sound = Worker(0), Worker(1).put(tea("assam"), 1)
    sick.put(tea("assam"), 1).put(gauge("max"), 1, 1000).put(Key(HISTOGRAM, "_bucket", ("1",)), 1)
    sick.area.values.cast("B")[: len(values)] = values
    if not keeps_log:
        sick.area.keys.cast("B")[: len(keys)] = keys
    families, _ = Merger().families([sick.source, sound.source], with_exemplars=True)
    assert "tea" in [each.family.name for each in families]


def test_the_total_is_that_of_the_exact_sums() -> None:
    """
    Rows with the same cells are added by columns, and others one by one.
    """
    workers = [Worker(number) for number in range(5)]
    for number, worker in enumerate(workers):
        kinds = [f"kind {each}" for each in range(20)]
        for kind in kinds if number % 2 else reversed(kinds):
            worker.put(tea(kind), number + struct.unpack("<I", kind[-4:].encode())[0])
    seen = read(*workers, name="tea")
    for each in range(20):
        code = struct.unpack("<I", f"kind {each}"[-4:].encode())[0]
        assert seen["tea_total", (("kind", f"kind {each}"),)] == 10 + 5 * code
