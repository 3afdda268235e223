"""What counts in C and what counts in Python are the same, and nothing that is given to them does harm."""

import gc
import math
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.shm import counting
from penstock.shm.board import PATH_BYTES_MAX
from penstock.shm.histogram import BUCKET_COUNT, WORD_COUNT, bucket_of, observe
from penstock.shm.meter import BUCKETS, BUCKETS_COUNT
from penstock.shm.ring import Ring, read_records
from penstock.shm.row import Kind
from penstock.shm.schema import BOARD_ENTRY_COUNT, BOARD_ENTRY_WORDS, EVENT_WORDS, SAMPLE_WORDS, Geometry
from penstock.shm.segment import Segment
from tests.shm.twins import PYTHON, can_build, implementations, name_of

ALL = implementations()
NATIVE = ALL[-1]
CELL_COUNT = 4 + WORD_COUNT + 3
WORD_MAX = 2**64 - 1

both = pytest.mark.parametrize("kind", ALL, ids=name_of)
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.binary(max_size=200)
    | st.binary(max_size=200).map(bytearray)
    | st.text(max_size=9)
    | st.builds(lambda: memoryview(b"x" * 16).cast("Q"))
    | st.tuples(st.integers(-1, 2**64))
    | st.lists(st.integers(0, 3), max_size=3)
)


def words(count: int, format_: str = "Q") -> Any:
    return memoryview(bytearray(count * 8)).cast(format_)  # type: ignore[call-overload]


def test_extension_was_built_where_it_can_be() -> None:
    """
    It is optional, so a build that fails would go unnoticed.
    """
    if can_build():
        assert len(ALL) == 2, (
            "there is a compiler, and no extension: make clean, and look at what the build says"
        )
        assert counting.choose({}) == "native"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", "python"), ("yes", "python"), ("0", None), ("", None), (None, None)]
)
def test_variable_chooses_python(value: str | None, expected: str | None) -> None:
    """
    For whoever suspects the extension.
    """
    environ = os.environ | {counting.PURE: value or ""}
    if value is None:
        del environ[counting.PURE]
    script = (
        "from penstock.shm.counting import IMPLEMENTATION, Meter; print(IMPLEMENTATION, Meter.__module__)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    ).stdout.split()
    usual = "native" if len(ALL) == 2 else "python"
    assert found[0] == (expected or usual)
    assert found[1] == ("penstock.shm.meter" if found[0] == "python" else "penstock.shm._native")


def test_extension_for_another_division_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Like one that an older release has left behind in a checkout.
    """
    if len(ALL) == 2:
        monkeypatch.setattr(NATIVE, "SHAPE", (8, 256, 704))
    assert counting.choose({}) == "python"


# Responses.


@both
@given(status=st.integers(200, 599), us=st.integers(-5, 2**40))
def test_meter_counts_as_the_histogram_does(kind: Any, status: int, us: int) -> None:
    """
    Whoever writes and whoever reads have one arithmetic.
    """
    cells, expected = words(CELL_COUNT), words(CELL_COUNT)
    kind.Meter(cells, 0, 4, "-").count(status, us)
    observe(expected, 4, us)
    expected[status // 100 - 2] = 1
    assert cells == expected


@both
def test_meter_finds_every_bucket(kind: Any) -> None:
    """
    On both sides of each of its edges.
    """
    for power in range(27):
        for us in (2**power - 1, 2**power, 2**power + 1):
            cells = words(CELL_COUNT)
            kind.Meter(cells, 0, 4, "-").count(200, us)
            assert cells[5 + bucket_of(us)] == 1


def test_table_of_short_times_is_the_same_arithmetic() -> None:
    """
    A bucket is looked up where that is cheaper.
    """
    assert [bucket_of(us) for us in range(BUCKETS_COUNT)] == list(BUCKETS)


@both
@pytest.mark.parametrize(
    ("first_class", "duration"),
    [(-1, 4), (CELL_COUNT - 3, 4), (0, -1), (0, CELL_COUNT - BUCKET_COUNT), (2**40, 4), (0, 2**40)],
)
def test_meter_beyond_the_row_is_refused(kind: Any, first_class: int, duration: int) -> None:
    """
    When it is made, and not with the first request.
    """
    with pytest.raises(IndexError):
        kind.Meter(words(CELL_COUNT), first_class, duration, "-")
    last = kind.Meter(words(CELL_COUNT), CELL_COUNT - 4, CELL_COUNT - WORD_COUNT, "-")
    last.count(599, 2**30)
    assert (last.route, last.first_class) == ("-", CELL_COUNT - 4)


@both
def test_full_words_are_an_error_and_not_zero(kind: Any) -> None:
    """
    A total that begins anew would be believed.
    """
    for word in (0, 4, 5 + 7):
        cells = words(CELL_COUNT)
        cells[word] = WORD_MAX
        with pytest.raises(ValueError, match=r"."):
            kind.Meter(cells, 0, 4, "-").count(200, 7)
        assert cells[word] == WORD_MAX


# The board.

TAGS = st.integers(1, WORD_MAX)


class Boards(RuleBasedStateMachine):
    """Twins that are told the same hold the same, to the word."""

    def __init__(self) -> None:
        super().__init__()
        self.words = [words(5 * BOARD_ENTRY_WORDS + 3) for _ in ALL]
        self.boards = [kind.BoardWriter(memory) for kind, memory in zip(ALL, self.words, strict=True)]
        self.entries: list[list[int]] = []

    @rule(tag=TAGS, started=st.integers(0, WORD_MAX), path=st.binary(max_size=PATH_BYTES_MAX + 9))
    def begin(self, tag: int, started: int, path: bytes) -> None:
        found = [board.begin(tag, started, path) for board in self.boards]
        assert [each is None for each in found] == [len(self.entries) == 5] * len(found)
        if found[0] is not None:
            self.entries.append(found)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), state=st.integers(1, 3), sent=st.integers(0, WORD_MAX))
    def go_on(self, data: st.DataObject, state: int, sent: int) -> None:
        for board, entry in zip(self.boards, data.draw(st.sampled_from(self.entries)), strict=True):
            board.go_on(entry, state, sent)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ended = self.entries.pop(data.draw(st.integers(0, len(self.entries) - 1)))
        for board, entry in zip(self.boards, ended, strict=True):
            board.end(entry)

    @invariant()
    def is_the_same(self) -> None:
        assert all(each == self.words[0] for each in self.words)


TestBoards = Boards.TestCase


@both
@pytest.mark.parametrize(
    "entry", [(-1, 1, b"/"), (2**64, 1, b"/"), (1, -1, b"/"), (1, "1", b"/"), (1, 1, "/"), (1.0, 1, b"/")]
)
def test_entry_that_cannot_be_written_is_an_error_of_struct(kind: Any, entry: Any) -> None:
    """
    Natively nothing is written then; `pack_into` has begun.
    """
    memory = words(BOARD_ENTRY_WORDS)
    with pytest.raises(struct.error):
        kind.BoardWriter(memory).begin(*entry)
    assert kind is PYTHON or not any(memory)


def test_native_board_takes_off_only_what_is_on_it() -> None:
    """
    An entry that was ended twice would be given to two requests.
    """
    board = NATIVE.BoardWriter(words(BOARD_ENTRY_COUNT * BOARD_ENTRY_WORDS))
    entry = board.begin(1, 1, b"/")
    board.end(entry)
    if NATIVE is not PYTHON:
        for wrong in (entry, -1, 256, 2**70):
            with pytest.raises(IndexError):
                board.end(wrong)
            with pytest.raises(IndexError):
                board.go_on(wrong, 1, 1)
    assert len({board.begin(1, 1, b"/") for _ in range(BOARD_ENTRY_COUNT)}) == BOARD_ENTRY_COUNT


# Numbers of the app's.


@both
@given(st.lists(st.floats() | st.integers(-(2**60), 2**60) | st.sampled_from(["3", "-1e9", "nan"])))
def test_cell_adds_as_float_does(kind: Any, amounts: list[Any]) -> None:
    """
    Whatever `float` takes, before the row is there and after it.
    """
    cell, cells = kind.Cell(), words(3, "d")
    cells[1] = 0.5
    expected = 0.0
    for index, amount in enumerate(amounts):
        if index == len(amounts) // 2:
            cell.bind(cells, 1)
            expected = 0.5 + expected
        cell.inc(amount)
        expected += float(amount)
    assert cell.own == expected or (math.isnan(cell.own) and math.isnan(expected))
    assert cell.cell == (1 if amounts else None)
    assert cells[0] == cells[2] == 0.0


@both
def test_gauge_keeps_when_it_was_set(kind: Any) -> None:
    """
    The last one set is everybody's, in some modes.
    """
    gauge, cells = kind.GaugeCell(), words(4, "d")
    gauge.bind(cells, 2)
    assert cells.tolist() == [0.0] * 4
    gauge = kind.GaugeCell()
    gauge.set(2.5, 17)
    gauge.bind(cells, 1)
    assert cells.tolist() == [0.0, 2.5, 17.0, 0.0]

    changes: list[Callable[[], None]] = [
        lambda: gauge.inc(1),
        lambda: gauge.set(1),
        lambda: gauge.set(5, timestamp=0.0),
    ]
    for change in changes:
        before = time.time()
        change()
        assert before <= cells[2] <= time.time()
    assert gauge.own == 5.0
    gauge.set(6, timestamp=9.5)
    assert cells.tolist() == [0.0, 6.0, 9.5, 0.0]
    gauge.begin_again(2.0**60)
    assert cells.tolist() == [0.0, 0.0, 2.0**60, 0.0]
    gauge.begin_again(1.0)
    assert cells[2] < 2.0**60


@both
@pytest.mark.parametrize("name", ["Cell", "GaugeCell"])
def test_cell_beyond_the_row_is_refused(kind: Any, name: str) -> None:
    """
    And it goes on where it was.
    """
    cell = getattr(kind, name)()
    cell.inc(1)
    for index in (2, 2**40, 2**70):
        with pytest.raises(IndexError):
            cell.bind(words(2, "d"), index)
    cell.inc(1)
    assert (cell.own, cell.cell) == (2.0, None)


@both
@pytest.mark.parametrize("amount", [None, "three", b"\0", [], 10**400])
def test_amount_that_is_no_number_changes_nothing(kind: Any, amount: Any) -> None:
    """
    The app gets the error it would get from `float`.
    """
    for cell in (kind.Cell(), kind.GaugeCell()):
        with pytest.raises((TypeError, ValueError, OverflowError)) as told:
            cell.inc(amount)
        with pytest.raises(told.type):
            float(amount)
        assert cell.own == 0.0


# Records.


@given(
    record_words=st.sampled_from([SAMPLE_WORDS, EVENT_WORDS]),
    count=st.integers(1, 4),
    head=st.integers(0, 20) | st.integers(2**54 - 3, WORD_MAX) | st.integers(2**31, 2**33),
    texts=st.lists(st.binary(min_size=8 * EVENT_WORDS, max_size=8 * EVENT_WORDS), max_size=9),
)
def test_rings_are_the_same_to_the_word(record_words: int, count: int, head: int, texts: list[bytes]) -> None:
    """
    One may begin a ring and the other go on with it: an owner is replaced by one that counts otherwise.
    """
    rings = []
    for kind in ALL:
        line = words(3)
        line[1] = head
        ring = Ring(words(count * record_words + 1), record_words, line, 1)
        writer = kind.RingWriter(ring)
        for text in texts:
            payload = struct.unpack(f"{EVENT_WORDS}Q", text)[: record_words - 2]
            (writer.push if record_words == SAMPLE_WORDS else writer.push_long)(payload)
        rings.append(ring)
    assert all(ring.words == rings[0].words and ring.line == rings[0].line for ring in rings)
    if head < 2**54 - 9:
        assert len(list(read_records(rings[0], head))) == min(count, len(texts))


@both
@pytest.mark.parametrize(
    "payload", [(1,) * 5, (1,) * 7, (1, 1, 1, 1, 1, -1), (2**64, 1, 1, 1, 1, 1), ("", 1, 1, 1, 1, 1)]
)
def test_record_that_cannot_be_written_is_an_error_of_struct(kind: Any, payload: Any) -> None:
    """
    Before anything is stored.
    """
    ring = Ring(words(SAMPLE_WORDS), SAMPLE_WORDS, words(1), 0)
    writer = kind.RingWriter(ring)
    for push in (writer.push, writer.push_long):
        with pytest.raises(struct.error):
            push(payload)
    assert not any(ring.words)
    assert not any(ring.line)


def test_native_ring_outside_of_its_memory_is_refused() -> None:
    """
    When it is made.
    """
    if NATIVE is PYTHON:
        return
    for count, record_words, head in [(8, 8, 3), (8, 8, -1), (7, 8, 0), (800, 65, 0), (8, 2, 0), (8, -8, 0)]:
        ring = SimpleNamespace(words=words(count), record_words=record_words, line=words(3), head=head)
        with pytest.raises((IndexError, ValueError, ZeroDivisionError)):
            NATIVE.RingWriter(ring)
    for nothing in (None, 5, SimpleNamespace(words=None, line=words(1), head=0, record_words=8)):
        with pytest.raises((AttributeError, TypeError)):
            NATIVE.RingWriter(nothing)


# Memory.


def made(kind: Any, cells: Any, values: Any) -> list[tuple[Any, Callable[[], object]]]:
    """Make one of each, with something that stores."""
    meter, board, cell = kind.Meter(cells, 0, 4, "-"), kind.BoardWriter(cells), kind.Cell()
    cell.bind(values, 0)
    return [
        (meter, lambda: meter.count(200, 1)),
        (board, lambda: board.begin(1, 1, b"/")),
        (cell, lambda: cell.inc(1)),
    ]


@both
def test_segment_can_be_closed_while_somebody_counts(kind: Any) -> None:
    """
    Its views are released, and what still counts has memory to count in, or an error.
    """
    segment = Segment.create(Geometry(row_count=1))
    index = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=0).index
    row = segment.adopt(index, pid=os.getpid(), now_ns=0)
    all_made = made(kind, row.cells, row.values)
    for _, store in all_made:
        store()
    segment.close()
    for _, store in all_made:
        try:
            store()
        except ValueError:
            assert kind is PYTHON


def test_native_memory_is_unmapped_with_the_last_of_them() -> None:
    """
    To hold it is to keep a slice, no more.
    """
    mapping = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    view = memoryview(mapping)
    cells, values = view[: 2 * mmap.PAGESIZE].cast("Q"), view[2 * mmap.PAGESIZE :].cast("d")
    all_made = made(NATIVE, cells, values)
    for each in (cells, values, view):
        each.release()
    with pytest.raises(BufferError):
        mapping.close()
    del all_made
    gc.collect()
    mapping.close()


@pytest.mark.parametrize(
    "view",
    [
        memoryview(bytes(8 * CELL_COUNT)).cast("Q"),
        memoryview(bytearray(8 * CELL_COUNT)),
        memoryview(bytearray(8 * CELL_COUNT)).cast("q"),
        memoryview(bytearray(16 * CELL_COUNT)).cast("Q")[::2],
        memoryview(bytearray(16 * CELL_COUNT)).cast("Q")[::-1],
        memoryview(bytearray(8 * CELL_COUNT + 1))[1:].cast("Q"),
        memoryview(bytearray(8 * CELL_COUNT)).cast("Q", (CELL_COUNT, 1)),
        bytearray(8 * CELL_COUNT),
        None,
    ],
    ids=["read-only", "bytes", "signed", "every other", "reversed", "odd", "rows", "no view", "none"],
)
def test_native_takes_only_words_that_it_can_store_to(view: Any) -> None:
    """
    It looks once, when it is made, and never again.
    """
    if NATIVE is PYTHON:
        return
    released = words(CELL_COUNT)
    released.release()
    for memory, error in ((view, TypeError), (released, ValueError)):
        with pytest.raises(error):
            NATIVE.Meter(memory, 0, 4, "-")
        with pytest.raises(error):
            NATIVE.BoardWriter(memory)
        with pytest.raises(error):
            NATIVE.Cell().bind(memory, 0)


@given(
    name=st.sampled_from(["Meter", "BoardWriter", "Cell", "GaugeCell", "RingWriter"]),
    calls=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "count",
                    "push",
                    "push_long",
                    "begin",
                    "go_on",
                    "end",
                    "inc",
                    "put",
                    "set",
                    "bind",
                    "begin_again",
                    "own",
                    "cell",
                    "__init__",
                ]
            ),
            st.lists(ANYTHING, max_size=4),
        ),
        max_size=12,
    ),
    given_to_it=st.lists(ANYTHING, max_size=5),
)
def test_nothing_given_does_harm(
    name: str, calls: list[tuple[str, list[Any]]], given_to_it: list[Any]
) -> None:
    """
    A wrong argument is an exception, and no store lies outside of the memory.
    """
    guard = bytearray(b"\xa5" * 64)
    memory = guard + bytearray(8 * CELL_COUNT) + guard
    inner = memoryview(memory)[64:-64]
    make = getattr(NATIVE, name)
    if name == "Meter":
        one = make(inner.cast("Q"), 0, 4, "-")
    elif name == "BoardWriter":
        one = make(inner.cast("Q"))
    elif name == "RingWriter":
        one = make(Ring(inner.cast("Q")[:24], 3, inner.cast("Q")[24:], 0))
    else:
        one = make()
        one.bind(inner.cast("d"), CELL_COUNT - 2)
    harmless = (TypeError, ValueError, IndexError, OverflowError, AttributeError, struct.error, BufferError)
    try:
        make(*given_to_it)
    except harmless:
        pass
    for method, arguments in calls:
        try:
            getattr(one, method)(*arguments)
        except harmless:
            pass
    assert memory[:64] == memory[-64:] == guard
