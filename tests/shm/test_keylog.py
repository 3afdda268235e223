"""Label sets come out of a log as they went in, and nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.shm.keylog import USED, Family, Key, KeyReader, KeyWriter, LogFull

COUNTER = Family("counter", "", "tea", ("kind", "cup"), "Cups of tea.")
HISTOGRAM = Family("histogram", "", "steeping", ("kind",), "How long.")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def keys(draw: st.DrawFn) -> Key:
    """Any label set of any metric."""
    names = tuple(draw(st.lists(text, max_size=3)))
    family = Family(
        draw(st.sampled_from(["counter", "gauge", "histogram", "stateset"])),
        draw(st.sampled_from(["", "all", "livesum"])),
        draw(text),
        names,
        draw(text),
        tuple(draw(st.lists(text, max_size=2))),
    )
    values = draw(st.lists(text, min_size=len(names), max_size=len(names) + 1))
    return Key(family, draw(st.sampled_from(["", "_total", "_bucket"])), tuple(values), draw(text))


def words(count: int) -> memoryview:
    return memoryview(bytearray(count * 8)).cast("Q")


def written(log: memoryview, given: list[Key]) -> int:
    """Append as many as there is room for, and say how many."""
    writer = KeyWriter(log)
    for number, key in enumerate(given):
        try:
            writer.append(key, limit=len(log))
        except LogFull:
            return number
    return len(given)


@given(st.lists(keys(), max_size=20), st.integers(2, 400))
def test_what_fits_is_read_as_it_was_written(given: list[Key], room: int) -> None:
    """
    Any strings, in any order, with room for any part of them.
    """
    log = words(room)
    count = written(log, given)

    reader = KeyReader(log)

    assert list(reader.read()) == given[:count]
    assert reader.is_whole()


@given(st.lists(keys(), min_size=1, max_size=8), st.integers(0, 7))
def test_a_reader_goes_on_where_it_stopped(given: list[Key], first: int) -> None:
    """
    A scrape reads what was added since the last one.
    """
    log = words(2000)
    writer = KeyWriter(log)
    reader = KeyReader(log)
    seen: list[Key] = []
    for number, key in enumerate(given):
        writer.append(key, limit=len(log))
        if number >= first:
            seen += reader.read()
    assert seen + list(reader.read()) == given


@given(st.lists(keys(), max_size=8), st.lists(keys(), max_size=8))
def test_a_second_writer_goes_on_behind_the_first(before: list[Key], after: list[Key]) -> None:
    """
    Whoever gets a log that is not empty adds to it.
    """
    log = words(4000)
    written(log, before)
    written(log, after)
    assert list(KeyReader(log).read()) == before + after


@given(st.lists(keys(), min_size=1, max_size=10), st.data())
def test_a_log_cut_short_gives_its_beginning(given: list[Key], data: st.DataObject) -> None:
    """
    A processor that reorders stores shows `used` before the words; the entries in front are whole.
    """
    log = words(2000)
    count = written(log, given)
    used = log[USED]
    missing = data.draw(st.integers(1, used))
    whole = log.tolist()
    for index in range(used - missing, used):
        if index != USED:
            log[index] = 0

    reader = KeyReader(log)
    seen = list(reader.read())

    assert seen == given[: len(seen)]
    # A value that ends with NULs may end with words that are 0 in any case.
    assert len(seen) < count or missing >= used or log.tolist() == whole


@settings(max_examples=300)
@given(st.lists(keys(), min_size=1, max_size=6), st.data())
def test_a_damaged_log_gives_no_key_that_was_not_written(given: list[Key], data: st.DataObject) -> None:
    """
    A stray store somewhere: what is read is a beginning of what was written, and nothing is raised.
    """
    log = words(600)
    count = written(log, given)
    index = data.draw(st.integers(0, max(log[USED] - 1, 0)))
    log[index] = data.draw(st.integers(0, 2**64 - 1))

    seen = list(KeyReader(log).read())

    assert seen == given[:count][: len(seen)]


@given(st.binary(max_size=800))
def test_noise_gives_nothing_and_raises_nothing(noise: bytes) -> None:
    """
    A row may hold anything.
    """
    log = words(128)
    log.cast("B")[: len(noise)] = noise
    assert list(KeyReader(log).read()) == []


def test_a_writer_that_dies_leaves_whole_entries_alone() -> None:
    """
    `used` is stored last, so a key is there or it is not, whichever store was the last one.
    """
    given = [Key(COUNTER, "_total", ("assam", "1")), Key(COUNTER, "_total", ("assam", "2"))]
    whole = words(100)
    written(whole, given)
    before = words(100)
    written(before, given[:1])
    start, used = before[USED], whole[USED]
    for stored in range(start, used):
        log = words(100)
        log[:] = before
        log[start : stored + 1] = whole[start : stored + 1]
        assert list(KeyReader(log).read()) == given[:1]


def test_a_group_is_all_keys_of_a_label_set() -> None:
    """
    A histogram's second label set takes a few words, however many buckets it has.
    """
    log = words(1000)
    writer = KeyWriter(log)
    pattern = (("_sum", ()), *(("_bucket", (str(bound),)) for bound in range(50)))
    first = [Key(HISTOGRAM, suffix, ("assam", *more)) for suffix, more in pattern]
    for key in first:
        writer.append(key, limit=1000)
    second = Key(HISTOGRAM, "_sum", ("ceylon",))
    writer.append_group(second, pattern, limit=1000)
    before = writer.end
    writer.append_group(Key(HISTOGRAM, "_sum", ("darjeeling",)), pattern, limit=1000)
    assert writer.end - before <= 4
    writer.append(Key(COUNTER, "_total", ("a", "b")), limit=1000)

    reader = KeyReader(log)
    seen = list(reader.read())

    assert reader.is_whole()
    assert seen[:51] == first
    assert seen[51] == second
    assert seen[-2] == Key(HISTOGRAM, "_bucket", ("darjeeling", "49"))
    assert seen[-1] == Key(COUNTER, "_total", ("a", "b"))
    assert len(seen) == 3 * 51 + 1


def test_neighbouring_buckets_take_two_words_each() -> None:
    """
    A histogram is many keys that differ at the end, and there are 12,288 words.
    """
    log = words(1000)
    writer = KeyWriter(log)
    writer.append(Key(HISTOGRAM, "_bucket", ("assam of the second flush", "0.005")), limit=1000)
    before = writer.end
    for bound in ("0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0"):
        writer.append(Key(HISTOGRAM, "_bucket", ("assam of the second flush", bound)), limit=1000)
    assert writer.end - before == 2 * 11


def test_a_key_of_many_kilobytes_is_refused_alone() -> None:
    """
    One absurd label value must not take the room of all others.
    """
    log = words(4000)
    writer = KeyWriter(log)
    with pytest.raises(LogFull):
        writer.append(Key(COUNTER, "_total", ("x" * 5000, "1")), limit=4000)
    writer.append(Key(COUNTER, "_total", ("x", "1")), limit=4000)
    assert [key.values for key in KeyReader(log).read()] == [("x", "1")]
