"""Series are found by name, keep their words, and appear whole or not at all."""

import pytest

from penstock.shm import histogram, layout, names
from penstock.shm.schema import Geometry
from penstock.shm.segment import Segment
from penstock.shm.series import Series, SeriesFull, SeriesTable

WEB = (("listener", "web"),)


def reader_of(segment: Segment) -> SeriesTable:
    """Read the segment's table as another process does, from nothing."""
    return SeriesTable(segment._header, segment._table, segment.schema.cell_count)


def test_another_reader_finds_what_was_defined(segment: Segment) -> None:
    """The table describes itself: names, kinds, labels and words."""
    requests = segment.series.define("a_total", "counter", WEB)
    duration = segment.series.define("b_seconds", "histogram", (*WEB, ("route", 'ä "quoted" route')))
    assert list(reader_of(segment).entries()) == [
        Series("a_total", "counter", WEB, requests),
        Series("b_seconds", "histogram", (*WEB, ("route", 'ä "quoted" route')), duration),
    ]


def test_a_series_keeps_its_word_across_reloads(segment: Segment) -> None:
    """New code and new config find their counters by name, so totals go on."""
    first = segment.series.define("a_total", "counter", WEB)
    segment.series.define("b_total", "counter", WEB)
    assert segment.series.define("a_total", "counter", WEB) == first
    assert reader_of(segment).define("a_total", "counter", WEB) == first
    assert len(segment.series.entries()) == 2


def test_labels_tell_series_apart(segment: Segment) -> None:
    """One name, many words."""
    words = {segment.series.define("a_total", "counter", (("listener", name),)) for name in "abc"}
    assert len(words) == 3


def test_series_do_not_share_words(segment: Segment) -> None:
    """A histogram takes 705 words, and the next series begins behind them."""
    first = segment.series.define("a_seconds", "histogram")
    assert segment.series.define("b_total", "counter") == first + histogram.WORD_COUNT == first + 705


def test_a_group_lies_in_adjoining_words(segment: Segment) -> None:
    """The worker reaches the class of a response by adding to the first word."""
    segment.series.define("other_total", "counter")
    first = segment.series.define_group(names.REQUESTS, "counter", WEB, "code", names.CODE_CLASSES)
    again = segment.series.define_group(names.REQUESTS, "counter", WEB, "code", names.CODE_CLASSES)
    assert again == first
    group = [series for series in reader_of(segment).entries() if series.name == names.REQUESTS]
    assert [(series.first - first, series.labels[-1]) for series in group] == [
        (0, ("code", "2xx")),
        (1, ("code", "3xx")),
        (2, ("code", "4xx")),
        (3, ("code", "5xx")),
    ]


def test_a_series_cannot_change_its_kind(segment: Segment) -> None:
    """Its words hold numbers of the old kind."""
    segment.series.define("a_total", "counter")
    with pytest.raises(AssertionError, match="cannot become"):
        segment.series.define("a_total", "gauge")


def test_full_cells_are_an_error_that_changes_nothing(segment: Segment) -> None:
    """The config that asks for too much is refused and the running one counts on."""
    segment.series.define("a_seconds", "histogram")
    segment.series.define("b_seconds", "histogram")
    before = list(segment.series.entries())
    with pytest.raises(SeriesFull, match="c_seconds"):
        segment.series.define("c_seconds", "histogram")
    assert list(segment.series.entries()) == list(reader_of(segment).entries()) == before
    assert segment.series.define("d_total", "counter") == 2 * 705


def test_a_full_table_is_an_error_that_changes_nothing(segment: Segment) -> None:
    """Long labels run out of table before they run out of cells."""
    long = "x" * 60_000
    for number in range(4):
        segment.series.define("a_total", "counter", (("route", f"{number}{long}"),))
    with pytest.raises(SeriesFull, match="table"):
        segment.series.define("a_total", "counter", (("route", long),))
    assert len(reader_of(segment).entries()) == 4


def test_a_group_that_does_not_fit_defines_nothing() -> None:
    """Half a group would send the worker into somebody else's words."""
    segment = Segment.create(Geometry(row_count=1, cell_count=8))
    try:
        segment.series.define_group("a", "counter", (), "n", ["1", "2", "3", "4", "5", "6"])
        with pytest.raises(SeriesFull):
            segment.series.define_group("b", "counter", (), "n", ["1", "2", "3"])
        assert len(segment.series.entries()) == 6
    finally:
        segment.close()


def test_readers_see_whole_entries_whenever_they_look(segment: Segment) -> None:
    """The word that publishes an entry is stored last: a reader before each store sees the old table."""
    seen: list[int] = []

    class Watched:
        """The writer's table, with a reader that looks before each store."""

        def __len__(self) -> int:
            return len(segment._table)

        def __setitem__(self, index: int, word: int) -> None:
            seen.append(len(reader_of(segment).entries()))
            segment._table[index] = word

    writer = reader_of(segment)
    writer.define("a_total", "counter")
    writer._table = Watched()  # type: ignore[assignment]
    writer.define_group("b_total", "counter", (), "n", ["1", "2"])
    assert len(seen) > 10
    assert set(seen) == {1}
    assert len(reader_of(segment).entries()) == 3


def test_a_writer_killed_within_an_entry_leaves_a_table_that_works(segment: Segment) -> None:
    """Words behind the published ones are nobody's, and the next master writes over them."""
    segment.series.define("a_total", "counter")
    used = segment._header[layout.HEADER_TABLE_USED]
    for offset in range(9):
        segment._table[used + offset] = 0xDEAD_BEEF
    writer = reader_of(segment)
    assert writer.is_whole()
    writer.define("b_total", "counter")
    assert [series.name for series in reader_of(segment).entries()] == ["a_total", "b_total"]


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_damaged_entry_ends_the_table_instead_of_raising(segment: Segment, offset: int) -> None:
    """What a checksum does not confirm is not read; on x86 that is damage, elsewhere also bad timing."""
    segment.series.define("a_total", "counter")
    damaged = segment._header[layout.HEADER_TABLE_USED]
    segment.series.define("b_total", "counter")
    kept = segment._table[damaged + offset]
    segment._table[damaged + offset] ^= 1 << 40 | 1

    reader = reader_of(segment)
    assert [series.name for series in reader.entries()] == ["a_total"]
    assert not reader.is_whole()

    segment._table[damaged + offset] = kept
    assert [series.name for series in reader.entries()] == ["a_total", "b_total"]


def test_an_insane_length_of_the_table_is_survived(segment: Segment) -> None:
    """Any process of the tree may have scribbled over the header."""
    segment.series.define("a_total", "counter")
    segment._header[layout.HEADER_TABLE_USED] = 2**64 - 1
    reader = reader_of(segment)
    assert [series.name for series in reader.entries()] == ["a_total"]
    assert not reader.is_whole()
