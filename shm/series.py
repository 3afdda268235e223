"""
The series table: which word of a row's cells means what.

It lies in the segment itself and describes itself, so that any process, of this
version or the next, finds its words by name. Entries are only ever appended, by
the master alone. An entry keeps its words for as long as the segment lives: a
config that drops a route and a later one that brings it back count on.

An entry is a word of (checksum << 32 | length) and then JSON, padded to whole
words. The header's TABLE_USED is stored last, and readers stop there. On a
processor that reorders stores they may see that word too early, in which case
the checksum fails, the reader stops before the entry, and takes it next time.
"""

import zlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from penstock.shm import histogram, layout

SeriesKind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


class SeriesFull(Exception):
    """No room for another series. The operator has configured more than a segment can count."""


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One named word of every row, or 705 words if it is a histogram."""

    name: str
    kind: SeriesKind
    labels: Labels
    first: int

    @property
    def word_count(self) -> int:
        """How many cells the series takes."""
        return _word_count(self.kind)


def _word_count(kind: SeriesKind) -> int:
    return histogram.WORD_COUNT if kind == "histogram" else 1


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Series)


class SeriesTable:
    """The series of one segment, as its one writer or one of its readers sees them."""

    def __init__(self, header: memoryview, table: memoryview, cell_count: int) -> None:
        self._header = header
        self._table = table
        self._cell_count = cell_count
        self._read_words = 0  # of the table, already in _entries
        self._entries: list[Series] = []
        self._by_labels: dict[tuple[str, Labels], Series] = {}
        self._by_first: dict[int, Series] = {}
        self._words: dict[tuple[str, tuple[str, str] | None], tuple[int, list[int]]] = {}

    def define(self, name: str, kind: SeriesKind, labels: Labels = ()) -> int:
        """
        Give the first word of a series, which is new only if its name and labels are.

        Raises SeriesFull, and then nothing has changed.
        """
        return self._define_all([(name, labels)], kind)

    def define_group(
        self, name: str, kind: SeriesKind, labels: Labels, label: str, values: Sequence[str]
    ) -> int:
        """
        Define a series for each value of one more label, in adjoining words.

        Whoever writes them can then reach each by `first + offset`. Readers
        see all of the group or nothing. Raises SeriesFull.
        """
        return self._define_all([(name, (*labels, (label, value))) for value in values], kind)

    def entries(self) -> Sequence[Series]:
        """Give all series that are defined, oldest first. The list must not be changed."""
        used = min(self._header[layout.HEADER_TABLE_USED], len(self._table))
        while self._read_words < used:
            entry = self._decode(self._read_words, used)
            if entry is None:
                break
            self._append(*entry)
        return self._entries

    def at(self, first: int) -> Series | None:
        """Give the series that begins at a word."""
        self.entries()
        return self._by_first.get(first)

    def words_of(self, name: str, label: tuple[str, str] | None = None) -> list[int]:
        """List the first words of all series of a name, or of those with one label. The list is shared."""
        entries = self.entries()
        count, words = self._words.get((name, label), (0, []))
        if count < len(entries):
            words = [
                series.first
                for series in entries
                if series.name == name and (label is None or label in series.labels)
            ]
            self._words[name, label] = len(entries), words
        return words

    def is_whole(self) -> bool:
        """Say whether every entry could be read, which is so unless the table was damaged."""
        self.entries()
        return self._read_words == int(self._header[layout.HEADER_TABLE_USED])

    def _define_all(self, names: list[tuple[str, Labels]], kind: SeriesKind) -> int:
        self.entries()
        known = [self._by_labels.get(key) for key in names]
        if known[0] is not None:
            first = known[0].first
            for offset, series in enumerate(known):
                assert series is not None
                assert series.kind == kind, f"{series.name} is a {series.kind} and cannot become a {kind}"
                assert series.first == first + offset * series.word_count
            return first
        assert not any(known)

        first = self._entries[-1].first + self._entries[-1].word_count if self._entries else 0
        cells_end = first
        start = self._read_words
        fresh = []
        for name, labels in names:
            series = Series(name, kind, labels, cells_end)
            cells_end += series.word_count
            words = _encode(series)
            fresh.append((start, words, series))
            start += len(words)
        if cells_end > self._cell_count:
            raise SeriesFull(
                f"no room to count {names[0][0]}{dict(names[0][1])}: "
                f"{cells_end} words are needed, and a process has {self._cell_count}"
            )
        if start > len(self._table):
            raise SeriesFull(f"no room to name {names[0][0]}{dict(names[0][1])}: the table of series is full")

        for at, words, _ in fresh:
            for offset, word in enumerate(words):
                self._table[at + offset] = word
        self._header[layout.HEADER_TABLE_USED] = start
        for at, words, series in fresh:
            self._append(series, at + len(words))
        return first

    def _append(self, series: Series, end: int) -> None:
        self._entries.append(series)
        self._by_labels[series.name, series.labels] = series
        self._by_first[series.first] = series
        self._read_words = end

    def _decode(self, start: int, used: int) -> tuple[Series, int] | None:
        checksum, size = divmod(self._table[start], 2**32)
        end = start + 1 + -(-size // layout.WORD_SIZE)
        if end > used:
            return None
        encoded = self._table[start + 1 : end].tobytes()[:size]
        if zlib.crc32(encoded) != checksum:
            return None
        try:
            series = _DECODER.decode(encoded)
        except msgspec.MsgspecError:
            return None
        if not 0 <= series.first <= self._cell_count - series.word_count:
            return None
        return series, end


def _encode(series: Series) -> Sequence[int]:
    encoded = _ENCODER.encode(series)
    padding = -len(encoded) % layout.WORD_SIZE
    words = memoryview(encoded + bytes(padding)).cast("Q").tolist()
    return [zlib.crc32(encoded) << 32 | len(encoded), *words]
