"""A segment is attached only when it is what it says, and rows change hands cleanly."""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from penstock.shm import layout, names
from penstock.shm.memfd import SEALS, LayoutMismatch
from penstock.shm.row import Kind, Row, State
from penstock.shm.schema import Geometry, Schema, Section
from penstock.shm.segment import RowsFull, Segment

NO_SEALS = 0


@contextmanager
def forged(
    segment: Segment, changes: dict[int, int], *, size: int | None = None, seals: int = SEALS
) -> Iterator[int]:
    """Copy a segment into another memfd, with some header words changed."""
    header = segment._header.tolist()
    for index, value in changes.items():
        header[index] = value
    fd = os.memfd_create("forged", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        whole = memoryview(bytearray(layout.PAGE_SIZE)).cast("Q")
        for index, value in enumerate(header):
            whole[index] = value
        os.write(fd, whole)
        os.ftruncate(fd, segment.schema.size if size is None else size)
        if seals:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        yield fd
    finally:
        os.close(fd)


def as_words(encoded: bytes) -> dict[int, int]:
    """Give the header words that a text takes as the schema."""
    words = memoryview(encoded + bytes(-len(encoded) % 8)).cast("Q").tolist()
    return {
        layout.HEADER_SCHEMA_SIZE: len(encoded),
        layout.HEADER_SCHEMA_CRC: zlib.crc32(encoded),
        **{layout.HEADER_SCHEMA + offset: word for offset, word in enumerate(words)},
    }


def described(schema: Schema) -> dict[int, int]:
    """Give the header words of another schema."""
    return as_words(schema.encode())


def refusal(fd: int) -> LayoutMismatch:
    """Attach, which must fail, and must leave the descriptor open."""
    with pytest.raises(LayoutMismatch) as refused:
        Segment.attach(fd)
    os.fstat(fd)
    return refused.value


def test_two_mappings_show_the_same_words(segment: Segment) -> None:
    """As after execve: the new image finds geometry, series and counts."""
    word = segment.series.define("a_total", "counter")
    segment.claim(kind=Kind.MASTER, generation=3, now_ns=5).cells[word] = 41

    attached = Segment.attach(os.dup(segment.fd))
    try:
        assert attached.schema == segment.schema
        assert attached.created_ns == segment.created_ns
        assert attached.series.define("a_total", "counter") == word
        attached.row(0).cells[word] += 1
        assert segment.row(0).cells[word] == 42
        reading = attached.row(0).read()
        assert reading is not None
        assert (reading.kind, reading.generation) == (Kind.MASTER, 3)
    finally:
        attached.close()


def test_the_segment_cannot_be_resized_or_unsealed(segment: Segment) -> None:
    """A process that shrank it would kill all others with SIGBUS."""
    with pytest.raises(PermissionError):
        os.ftruncate(segment.fd, layout.PAGE_SIZE)
    with pytest.raises(PermissionError):
        os.ftruncate(segment.fd, segment.schema.size + layout.PAGE_SIZE)
    with pytest.raises(PermissionError):
        fcntl.fcntl(segment.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_the_descriptor_stays_here_until_someone_says_otherwise(segment: Segment) -> None:
    """Programs that the app starts have no business with it."""
    assert not os.get_inheritable(segment.fd)


def test_rows_that_nobody_claimed_take_no_memory() -> None:
    """A segment has room for hundreds of processes; two processes must not pay for it."""
    segment = Segment.create(Geometry.for_workers(32))
    try:
        segment.claim(kind=Kind.MASTER, generation=1, now_ns=1)
        assert [row.index for row in segment.claimed_rows()] == [0]
        allocated = os.fstat(segment.fd).st_blocks * 512
        assert allocated <= 4 * layout.PAGE_SIZE < segment.schema.size
    finally:
        segment.close()


def test_attaching_a_forged_copy_works_when_nothing_is_wrong_with_it(segment: Segment) -> None:
    """The refusals below are for what was changed, not for how it was copied."""
    with forged(segment, {}) as fd:
        Segment.attach(os.dup(fd)).close()


def test_wrong_magic_is_refused(segment: Segment) -> None:
    """Some other memfd."""
    with forged(segment, {layout.HEADER_MAGIC: 1}) as fd:
        error = refusal(fd)
    assert (error.what, error.found) == ("magic", "0x1")


def test_another_layout_version_is_refused_by_both_numbers(segment: Segment) -> None:
    """The message says what to do: these two versions cannot share."""
    with forged(segment, {layout.HEADER_MAJOR: 99}) as fd:
        error = refusal(fd)
    assert (error.what, error.found, error.expected) == ("layout version", 99, layout.LAYOUT_MAJOR)
    assert "99" in str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"row_count": 0},
        {"row_count": 2**63},
        {"row_stride": 512},
        {"row_stride": 2**62},
        {"bases_start": 0},
        {"rows_start": 512},
        {"row": ()},
        {"base": ()},
        {"row": (Section("master", "u64", 0, 16, "kept"), Section("owner", "u64", 8, 16, "kept"))},
    ],
)
def test_a_division_that_cannot_be_is_refused(segment: Segment, change: dict[str, object]) -> None:
    """Rows would lie outside the file, where reading is death by SIGBUS, or over each other."""
    with forged(segment, described(msgspec.structs.replace(segment.schema, **change))) as fd:
        assert refusal(fd).what == "division"


@pytest.mark.parametrize("encoded", [b"", b"{}", b"[1]", b"\xff", b'{"row_count": 8'])
def test_a_schema_that_is_none_is_refused(segment: Segment, encoded: bytes) -> None:
    """The text of the header is somebody else's, or damaged."""
    with forged(segment, as_words(encoded)) as fd:
        assert refusal(fd).what == "division"


def test_a_schema_that_fails_its_checksum_is_refused(segment: Segment) -> None:
    """One flipped bit may move every row."""
    with forged(segment, {layout.HEADER_SCHEMA_CRC: 1}) as fd:
        assert refusal(fd).what == "division"


@pytest.mark.parametrize("rows", [7, 9])
def test_a_schema_that_does_not_fit_the_file_is_refused(segment: Segment, rows: int) -> None:
    """Sane numbers, and still not this file."""
    with forged(segment, described(msgspec.structs.replace(segment.schema, row_count=rows))) as fd:
        assert refusal(fd).what == "size"
    with forged(segment, {layout.HEADER_SIZE: 4096}) as fd:
        assert refusal(fd).what == "size"


def test_sections_that_are_not_known_are_passed_over(segment: Segment) -> None:
    """A later release may have more of them, and its numbers are wanted all the same."""
    schema = segment.schema
    kept = tuple(each for each in schema.row if each.name != "events")
    more = Section("weather", "u64", kept[-1].end, 8, "wiped")
    with forged(segment, described(msgspec.structs.replace(schema, row=(*kept, more)))) as fd:
        attached = Segment.attach(os.dup(fd))
        try:
            assert len(attached.own(0).events) == 0
            assert len(attached.own(0).cells) == 2048
        finally:
            attached.close()


@pytest.mark.parametrize("pages", [0, 1, 10])
def test_a_truncated_segment_is_refused(segment: Segment, pages: int) -> None:
    """Down to a file without even a header."""
    with forged(segment, {}, size=pages * layout.PAGE_SIZE) as fd:
        assert refusal(fd).what == "size"


@pytest.mark.parametrize("seals", [NO_SEALS, fcntl.F_SEAL_GROW, SEALS & ~fcntl.F_SEAL_SHRINK])
def test_an_unsealed_segment_is_refused(segment: Segment, seals: int) -> None:
    """Somebody could still shrink it."""
    with forged(segment, {}, seals=seals) as fd:
        assert refusal(fd).what == "seals"


def test_a_segment_of_another_boot_is_refused(segment: Segment) -> None:
    """Its pids and monotonic times mean nothing here."""
    boot_id = segment._header[layout.HEADER_BOOT_ID]
    with forged(segment, {layout.HEADER_BOOT_ID: boot_id ^ 1}) as fd:
        assert refusal(fd).what == "boot id"


def test_a_damaged_series_table_is_refused(segment: Segment) -> None:
    """Counting into words whose names are lost would be counting into anything."""
    with forged(segment, {layout.HEADER_TABLE_USED: 7}) as fd:
        assert refusal(fd).what == "series table"


def test_a_pipe_is_no_segment() -> None:
    """A descriptor number that went astray."""
    read_end, write_end = os.pipe()
    try:
        assert refusal(read_end).what == "size"
    finally:
        os.close(read_end)
        os.close(write_end)


def test_rows_are_claimed_in_order_and_the_first_free_one_again(segment: Segment) -> None:
    """Few rows are ever touched, however often workers are replaced."""
    rows = [segment.claim(kind=Kind.WORKER, generation=1, slot=n, now_ns=n) for n in range(3)]
    assert [row.index for row in rows] == [0, 1, 2]
    rows[1].release()
    again = segment.claim(kind=Kind.WORKER, generation=2, slot=1, now_ns=9)
    assert again.index == 1
    reading = again.read()
    assert reading is not None
    assert (reading.claim, reading.generation, reading.state) == (2, 2, State.STARTING)


def test_claiming_more_rows_than_there_are_is_an_error(segment: Segment) -> None:
    """And the next release makes room again."""
    for _ in range(8):
        segment.claim(kind=Kind.WORKER, generation=1, now_ns=1)
    with pytest.raises(RowsFull):
        segment.claim(kind=Kind.WORKER, generation=1, now_ns=1)
    segment.row(5).release()
    assert segment.claim(kind=Kind.WORKER, generation=1, now_ns=1).index == 5


def test_a_row_tells_what_both_sides_wrote(segment: Segment) -> None:
    """Everything that status and metrics know of a process, word for word."""
    row = segment.claim(kind=Kind.WORKER, generation=7, slot=3, core=1, now_ns=100)
    row.set_process(4242, started=777)
    segment.adopt(row.index, pid=4242, now_ns=200)
    row.set_state(State.READY)
    row.beat(300, loop_lag_us=12)

    reading = row.read()
    assert reading is not None
    assert (reading.kind, reading.state, reading.generation) == (Kind.WORKER, State.READY, 7)
    assert (reading.pid, reading.pid_started, reading.slot, reading.core) == (4242, 777, 3, 1)
    assert (reading.spawned_ns, reading.started_ns, reading.heartbeat_ns) == (100, 200, 300)
    assert reading.loop_lag_us == 12
    assert reading.is_current


def test_the_owner_is_current_only_while_both_lines_agree(segment: Segment) -> None:
    """Between a claim and its adoption, the words are still the last owner's."""

    def is_current(row: Row) -> bool:
        reading = row.read()
        assert reading is not None
        return reading.is_current

    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    assert not is_current(row)
    segment.adopt(row.index, pid=100, now_ns=2)
    assert not is_current(row), "the master has not said who it forked"
    row.set_process(100, started=1)
    assert is_current(row)

    row.release()
    assert not is_current(row)
    segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=3)
    row.set_process(100, started=9)
    assert not is_current(row), "the same pid and generation, but another process"
    segment.adopt(row.index, pid=100, now_ns=4)
    assert is_current(row)


def test_next_owner_begins_with_an_empty_row_and_totals_keep_the_counts(segment: Segment) -> None:
    """Connections die with their process; what was served was served."""
    served = segment.series.define(names.REQUESTS, "counter")
    open_now = segment.series.define(names.CONNECTIONS, "gauge")
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, now_ns=1)
    segment.adopt(row.index, pid=100, now_ns=1)
    row.cells[served], row.cells[open_now] = 50, 3

    segment.retire(row.index)
    assert segment.claim(kind=Kind.WORKER, generation=2, slot=0, now_ns=2).index == row.index
    segment.adopt(row.index, pid=101, now_ns=2)
    assert (row.cells[served], row.cells[open_now]) == (0, 0)
    assert segment.base.cells[served] == 50
    assert segment.base.cells[open_now] == 0


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (layout.MASTER_KIND, 0),
        (layout.MASTER_KIND, 77),
        (layout.MASTER_STATE, 2**63),
        (layout.MASTER_PID, 2**40),
        (layout.MASTER_SLOT, 2**20),
        (layout.MASTER_CORE, 2**20),
        (layout.MASTER_CLAIM, 0),
    ],
)
def test_a_row_that_cannot_be_true_is_not_read(segment: Segment, word: int, value: int) -> None:
    """Its owner is sick; the reader is not."""
    row = segment.claim(kind=Kind.WORKER, generation=1, slot=0, core=0, now_ns=1)
    assert row.read() is not None
    row.master[word] = value
    assert row.read() is None


def test_closing_is_possible_while_someone_holds_a_slice() -> None:
    """The mapping then goes with the last slice."""
    segment = Segment.create(Geometry(row_count=1, cell_count=8))
    word = segment.row(0).cells[:1]
    segment.close()
    word[0] = 5
    assert word[0] == 5
