"""The arithmetic of the segment: nothing overlaps, everything fits, lines stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shm import layout
from penstock.shm.layout import Geometry

GEOMETRIES = st.builds(
    Geometry,
    row_count=st.integers(1, layout.ROW_COUNT_MAX),
    cell_count=st.integers(1, layout.CELL_COUNT_MAX // 8).map(lambda records: records * 8),
)


@given(GEOMETRIES)
def test_the_parts_of_a_row_follow_each_other_without_overlap(geometry: Geometry) -> None:
    """A cell that lay in the ring would be a count that nobody made."""
    lines_end = 2 * layout.LINE_WORDS
    assert geometry.cells_start >= lines_end
    assert geometry.ring_start >= geometry.cells_start + geometry.cell_count
    assert geometry.row_stride >= geometry.ring_start + layout.RING_WORDS


@given(GEOMETRIES)
def test_rows_begin_on_pages_and_end_where_the_next_begins(geometry: Geometry) -> None:
    """Two processes never share a page, let alone a cache line."""
    page_words = layout.PAGE_SIZE // layout.WORD_SIZE
    starts = [geometry.row_start(index) for index in {0, geometry.row_count // 2, geometry.row_count - 1}]
    assert all(start % page_words == 0 for start in starts)
    assert geometry.row_start(0) == geometry.table_start + layout.TABLE_WORDS
    last_end = geometry.row_start(geometry.row_count - 1) + geometry.row_stride
    assert last_end * layout.WORD_SIZE == geometry.size


@given(GEOMETRIES)
def test_ring_records_do_not_straddle_cache_lines(geometry: Geometry) -> None:
    """A record is 64 bytes, and so is a line."""
    assert geometry.ring_start % layout.RING_RECORD_WORDS == 0
    assert layout.RING_RECORD_WORDS * layout.WORD_SIZE == 64


@given(GEOMETRIES)
def test_a_row_takes_no_more_than_its_budget(geometry: Geometry) -> None:
    """Half a megabyte of addresses a process, whatever is counted."""
    assert geometry.row_stride * layout.WORD_SIZE <= layout.ROW_BYTES_MAX


def test_master_and_owner_write_to_lines_of_their_own() -> None:
    """A line that two cores write goes back and forth between them."""
    master = {value for name, value in vars(layout).items() if name.startswith("MASTER_")}
    owner = {value for name, value in vars(layout).items() if name.startswith("OWNER_")}
    assert len(master) == 9
    assert len(owner) == 7
    assert max(master | owner) < layout.LINE_WORDS


def test_header_words_that_change_are_apart_from_those_that_do_not() -> None:
    """Every process reads the geometry, and the master moves the counts on."""
    assert layout.HEADER_CREATED_NS < layout.LINE_WORDS <= layout.HEADER_ROWS_CLAIMED


@pytest.mark.parametrize("worker_count", [1, 2, 8, 32])
def test_every_fleet_gets_room_for_32_workers(worker_count: int) -> None:
    """Scaling up must not need a new segment."""
    assert Geometry.for_workers(worker_count).row_count == 2 * (4 * 32) + 8


def test_a_large_fleet_gets_two_rows_a_shard_and_eight() -> None:
    """With V shards at most V workers can run, and twice that during a roll."""
    assert Geometry.for_workers(64).row_count == 2 * (4 * 64) + 8
    assert Geometry.for_workers(10_000).row_count == layout.ROW_COUNT_MAX


@pytest.mark.parametrize(
    ("row_count", "cell_count"),
    [(0, 8), (-1, 8), (layout.ROW_COUNT_MAX + 1, 8), (1, 0), (1, 12), (1, layout.CELL_COUNT_MAX + 8)],
)
def test_a_geometry_that_cannot_be_laid_out_is_refused(row_count: int, cell_count: int) -> None:
    """The numbers may come from a damaged header."""
    with pytest.raises(ValueError, match="expected"):
        Geometry(row_count, cell_count)
