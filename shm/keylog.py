"""
The key log: which label set each value of an area belongs to.

Label sets are born while the app runs, so a table that the master makes ahead
of the fork cannot name them. Each owner appends its own to a log in its row,
and whoever reads the row reads the log. Nothing in it is ever changed or taken
out while the row has that owner.

    used │ entry │ entry │ ...
    entry:  checksum (32 bits) │ shared (16) │ length (16), and then bytes, padded to whole words

An entry is one of four:

    family    kind, name, label names, help
    key       one value of a family before it
    pattern   which values a label set of a family has: a histogram's sum and buckets
    group     all values of one label set, by a pattern before it

So the first label set of a histogram takes a key for each bucket, and every
other one a single group. Keys and groups repeat the first `shared` bytes of the
one before, from which they differ at the end if at all. The checksum is over
where the entry begins and all of its bytes, the shared ones included.

`used` is stored last, and readers stop there. On a processor that reorders
stores they may see it too early; then the checksum fails, the reader stops
before that entry, and takes it next time.

Knows nothing of values, processes or prometheus_client.
"""

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from penstock.shm.layout import WORD_SIZE

# The log's first word says how many words are in use, itself included.
USED: Final = 0
FIRST_ENTRY: Final = 1

# A label value of more than some kilobytes is a mistake; it must not take the room of a thousand others.
ENTRY_BYTES_MAX: Final = 4096

_FAMILY: Final = b"f"
_KEY: Final = b"k"
_PATTERN: Final = b"p"
_GROUP: Final = b"g"


class Family(NamedTuple):
    """What a metric is, apart from its label values."""

    kind: str  # counter, gauge, summary, histogram, info, stateset
    mode: str  # of a gauge: all, liveall, min, ...; else empty
    name: str  # without `_total`
    label_names: tuple[str, ...]  # without a bucket's `le`
    help: str = ""
    states: tuple[str, ...] = ()  # of a stateset


class Key(NamedTuple):
    """One value of a family."""

    family: Family
    suffix: str  # of the sample's name: "", "_total", "_bucket", ...
    values: tuple[str, ...]  # of the labels; a bucket has its bound as one more
    worker: str = ""  # in the base: whose value this was, where the gauge's mode tells workers apart

    @property
    def child(self) -> tuple[str, ...]:
        """The label values alone, which a histogram's sum and its buckets have in common."""
        return self.values[: len(self.family.label_names)]


# What the values of a label set have of their own: the suffix, and what follows the label values.
Pattern = tuple[tuple[str, tuple[str, ...]], ...]


class LogFull(Exception):
    """No room for another entry."""


_FamilyFields = tuple[str, str, str, tuple[str, ...], str, tuple[str, ...]]
_KeyFields = tuple[int, str, str, tuple[str, ...]]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_family: Final = msgspec.msgpack.Decoder(_FamilyFields).decode
_decode_key: Final = msgspec.msgpack.Decoder(_KeyFields).decode
_decode_pattern: Final = msgspec.msgpack.Decoder(tuple[int, Pattern]).decode
_decode_group: Final = msgspec.msgpack.Decoder(tuple[int, str, tuple[str, ...]]).decode


class KeyReader:
    """Reads a log from its beginning, and later what was added. A damaged entry is where it stops."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self.families: list[Family] = []
        self.patterns: list[tuple[Family, Pattern]] = []
        self.end = FIRST_ENTRY  # of what was read
        self.last_key = b""  # which the next one may share its beginning with
        self.is_damaged = False  # as far as the last look could tell

    @property
    def used(self) -> int:
        """How many words the writer says there are."""
        return min(int(self._words[USED]), len(self._words)) if len(self._words) else 0

    def is_whole(self) -> bool:
        """Say whether everything that was written could be read."""
        return self.end >= self.used

    def read(self) -> Iterator[Key]:
        """Give the keys that were not given yet, in the order in which they were added."""
        used = self.used
        while self.end < used:
            self.is_damaged = True  # Until the entry has shown itself to be whole.
            entry = self._entry(used)
            if entry is None:
                return
            encoded, end = entry
            try:
                keys = self._decode(encoded[:1], encoded[1:])
            except (msgspec.MsgspecError, IndexError, ValueError):
                return
            if keys:
                self.last_key = encoded
            self.end = end
            self.is_damaged = False
            yield from keys

    def _decode(self, kind: bytes, content: bytes) -> list[Key]:
        """Give the keys that an entry adds; a family or a pattern adds none. Raises IndexError and others."""
        if kind == _KEY:
            number, suffix, worker, values = _decode_key(content)
            family = self.families[number]
            if len(values) < len(family.label_names):
                raise ValueError
            return [Key(family, suffix, values, worker)]
        if kind == _GROUP:
            number, worker, child = _decode_group(content)
            family, pattern = self.patterns[number]
            if len(child) != len(family.label_names):
                raise ValueError
            return [Key(family, suffix, child + more, worker) for suffix, more in pattern]
        if kind == _FAMILY:
            self.families.append(Family(*_decode_family(content)))
        elif kind == _PATTERN:
            number, pattern = _decode_pattern(content)
            self.patterns.append((self.families[number], pattern))
        else:
            raise ValueError
        return []

    def _entry(self, used: int) -> tuple[bytes, int] | None:
        header = self._words[self.end]
        checksum, shared, length = header >> 32, header >> 16 & 0xFFFF, header & 0xFFFF
        end = self.end + 1 + -(-length // WORD_SIZE)
        if end > used or shared > len(self.last_key) or not length:
            return None
        tail = self._words[self.end + 1 : end].tobytes()[:length]
        encoded = self.last_key[:shared] + tail
        if zlib.crc32(encoded, self.end) != checksum:
            return None
        return encoded, end


class KeyWriter:
    """Appends to a log, whose one writer it is. It goes on behind what can be read."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._reader = KeyReader(words)
        self.keys = list(self._reader.read())
        self._end = self._reader.end
        self._last_key = self._reader.last_key
        self._families = {family: number for number, family in enumerate(self._reader.families)}
        self._patterns = {pattern: number for number, pattern in enumerate(self._reader.patterns)}

    def append(self, key: Key, *, limit: int) -> None:
        """Add a key, and its family if need be, unless that would go beyond word `limit`. Raises LogFull."""
        number = self._families.get(key.family)
        if number is None:
            self._write(_FAMILY + _encode(key.family), b"", limit)
            number = self._families[key.family] = len(self._families)
        self._write_key(_KEY + _encode((number, key.suffix, key.worker, key.values)), limit)

    def append_group(self, first: Key, pattern: Pattern, *, limit: int) -> None:
        """Add all keys of a label set whose first one is given, and whose family is known. Raises LogFull."""
        number = self._patterns.get((first.family, pattern))
        if number is None:
            self._write(_PATTERN + _encode((self._families[first.family], pattern)), b"", limit)
            number = self._patterns[first.family, pattern] = len(self._patterns)
        self._write_key(_GROUP + _encode((number, first.worker, first.child)), limit)

    @property
    def end(self) -> int:
        """How many words are in use."""
        return self._end

    def _write_key(self, encoded: bytes, limit: int) -> None:
        self._write(encoded, self._last_key, limit)
        self._last_key = encoded

    def _write(self, encoded: bytes, before: bytes, limit: int) -> None:
        shared = _shared(encoded, before)
        tail = encoded[shared:]
        start = self._end
        end = start + 1 + -(-len(tail) // WORD_SIZE)
        if len(encoded) > ENTRY_BYTES_MAX or end > min(limit, len(self._words)):
            raise LogFull
        words = memoryview(tail + bytes(-len(tail) % WORD_SIZE)).cast("Q").tolist()
        for offset, word in enumerate(words, start + 1):
            self._words[offset] = word
        self._words[start] = zlib.crc32(encoded, start) << 32 | shared << 16 | len(tail)
        self._words[USED] = end
        self._end = end


def _shared(encoded: bytes, before: bytes) -> int:
    """Count the bytes at the beginning that are the same, but not all: an entry of no length is none."""
    most = min(len(encoded) - 1, len(before))
    return next((index for index in range(most) if encoded[index] != before[index]), most)
