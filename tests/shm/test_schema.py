"""The arithmetic of the segment: nothing overlaps, everything fits, lines stay apart."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shm import layout, schema
from penstock.shm.schema import Geometry, Schema, decode_schema

GEOMETRIES = st.builds(
    Geometry,
    row_count=st.integers(1, layout.ROW_COUNT_MAX),
    cell_count=st.integers(1, schema.CELL_COUNT_MAX),
    value_count=st.integers(1, schema.VALUE_COUNT_MAX),
)


@given(GEOMETRIES)
def test_sections_follow_each_other_without_overlap(geometry: Geometry) -> None:
    """A cell that lay in a ring would be a count that nobody made."""
    divided = geometry.schema()
    assert divided.fault() is None
    for sections, stride in ((divided.row, divided.row_stride), (divided.base, divided.base_stride)):
        ends = [0, *(each.end for each in sections)]
        assert all(start.start >= end for start, end in zip(sections, ends, strict=False))
        assert ends[-1] <= stride
    assert divided.bases_start >= divided.table_start + divided.table_words
    assert divided.rows_start >= divided.bases_start + 2 * divided.base_stride


@given(GEOMETRIES)
def test_blocks_and_what_is_wiped_are_whole_pages(geometry: Geometry) -> None:
    """Two processes never share a page, and wiping gives pages back without touching what is kept."""
    divided = geometry.schema()
    for words in (divided.bases_start, divided.base_stride, divided.rows_start, divided.row_stride):
        assert words % layout.PAGE_WORDS == 0
    start, end = divided.wiped
    assert start % layout.PAGE_WORDS == end % layout.PAGE_WORDS == 0
    for section in divided.row:
        is_inside = start <= section.start and section.end <= end
        assert is_inside == (section.restart != "kept")
        assert is_inside or section.end <= start or section.start >= end


@given(GEOMETRIES)
def test_records_do_not_straddle_cache_lines(geometry: Geometry) -> None:
    """A sample is 64 bytes, and so is a line."""
    for section in geometry.schema().row:
        assert section.start % layout.LINE_WORDS == 0


@given(GEOMETRIES)
def test_schema_survives_the_header(geometry: Geometry) -> None:
    """It fits there, and reads as it was written."""
    encoded = geometry.schema().encode()
    assert len(encoded) <= layout.SCHEMA_BYTES_MAX
    assert decode_schema(encoded, zlib.crc32(encoded)) == geometry.schema()


@given(st.binary(max_size=200))
def test_rubbish_is_no_schema(rubbish: bytes) -> None:
    """Whatever stands in a damaged header is refused in words."""
    with pytest.raises(ValueError, match="schema"):
        decode_schema(rubbish, zlib.crc32(rubbish))


def test_usual_row_keeps_to_its_budget() -> None:
    """Half a megabyte of addresses a process, with room for 36 pairs of listener and route."""
    divided = Geometry.for_workers(2).schema()
    assert divided.row_stride * layout.WORD_SIZE <= schema.ROW_BYTES_MAX
    assert divided.cell_count // 709 >= 36


def test_more_routes_make_larger_rows_in_steps() -> None:
    """One more route rarely asks for another segment."""
    usual = Geometry.for_workers(2)
    assert Geometry.for_workers(2, cells=schema.CELL_COUNT) == usual
    more = Geometry.for_workers(2, cells=schema.CELL_COUNT + 1)
    assert more.cell_count > usual.cell_count
    assert Geometry.for_workers(2, cells=more.cell_count) == more
    with pytest.raises(ValueError, match="cell_count"):
        Geometry.for_workers(2, cells=schema.CELL_COUNT_MAX + 1)


def test_master_and_owner_write_to_lines_of_their_own() -> None:
    """A line that two cores write goes back and forth between them."""
    master = {value for name, value in vars(layout).items() if name.startswith("MASTER_")}
    owner = {value for name, value in vars(layout).items() if name.startswith("OWNER_")}
    assert len(master) == 10
    assert len(owner) == 7
    assert max(master | owner) < layout.LINE_WORDS


def test_header_words_that_change_are_apart_from_those_that_do_not() -> None:
    """Every process reads the geometry, and the master moves the counts on."""
    assert layout.HEADER_SERIAL < layout.LINE_WORDS <= layout.HEADER_ROWS_CLAIMED
    assert layout.HEADER_FOLDS < 2 * layout.LINE_WORDS <= layout.HEADER_SCHEMA


@pytest.mark.parametrize("worker_count", [1, 2, 8, 32])
def test_every_fleet_gets_room_for_32_workers(worker_count: int) -> None:
    """Scaling up must not need a new segment."""
    assert Geometry.for_workers(worker_count).row_count == 2 * (4 * 32) + 8


def test_a_large_fleet_gets_two_rows_a_shard_and_eight() -> None:
    """With V shards at most V workers can run, and twice that during a roll."""
    assert Geometry.for_workers(64).row_count == 2 * (4 * 64) + 8
    assert Geometry.for_workers(10_000).row_count == layout.ROW_COUNT_MAX


@pytest.mark.parametrize(
    "counts",
    [
        (0, 8, 8),
        (-1, 8, 8),
        (layout.ROW_COUNT_MAX + 1, 8, 8),
        (1, 0, 8),
        (1, schema.CELL_COUNT_MAX + 1, 8),
        (1, 8, 0),
    ],
)
def test_a_geometry_that_cannot_be_laid_out_is_refused(counts: tuple[int, int, int]) -> None:
    """In words that name the number."""
    with pytest.raises(ValueError, match="expected"):
        Geometry(*counts)


def test_schema_is_checked_and_not_only_decoded() -> None:
    """A schema that could be read and cannot be right."""
    divided = Geometry(row_count=1).schema()
    fields = {each: getattr(divided, each) for each in divided.__struct_fields__}
    assert Schema(**fields | {"row_count": 0}).fault() == "0 rows"
