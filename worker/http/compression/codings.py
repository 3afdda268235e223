"""
The content codings: what makes them, what they cost, and which can be had here.

gzip is always there. brotli and Zstandard come with libraries of their own, the
latter also with Python itself, from 3.14 on. All of them let go of the interpreter
while they compress.
"""

import importlib
import importlib.util
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.worker.limits import COMPRESSION_INLINE_US

# In the order of preference among those that a client likes as well: Zstandard makes about the
# same size as brotli in a third of its time, and gzip takes longer than either for more bytes.
NAMES = ("zstd", "br", "gzip")

LEVELS = {"zstd": 3, "br": 4, "gzip": 4}
LEVEL_RANGES = {"zstd": (1, 19), "br": (0, 11), "gzip": (1, 9)}

# Windows of streams: what a stream keeps is in its memory for as long as it lasts. Wider ones than
# 8 MiB must not be sent (RFC 9659), and no level up to 19 has one.
BROTLI_STREAM_WINDOW = 18
ZSTD_STREAM_WINDOW = 17
GZIP = 31  # zlib's word for gzip with a window of 32 KiB

# By level, from that one on: µs for a KiB of JSON, and KiB of memory for a stream, as
# loadtest/compression.py has measured them.
_COSTS: Mapping[str, tuple[tuple[int, float, int], ...]] = {
    "gzip": ((1, 9, 288), (4, 13, 288), (5, 16, 288), (6, 21, 288), (7, 30, 288), (8, 90, 288)),
    "br": (
        *((0, 5, 850), (3, 8, 850), (4, 11, 850), (5, 20, 1650), (6, 20, 2950), (7, 70, 6000)),
        *((9, 650, 31000), (10, 800, 8000), (11, 1300, 8000)),
    ),
    "zstd": (
        *((1, 3, 570), (3, 4, 1280), (5, 8, 2000), (6, 10, 3070), (7, 14, 5000), (9, 20, 10800)),
        *((12, 60, 41500), (14, 110, 83200), (19, 240, 83200)),
    ),
}


class Coder(Protocol):
    """One stream on its way through a coding."""

    def compress(self, data: bytes) -> bytes:
        """Take a piece; return what has become of it and those before, maybe nothing yet."""

    def flush(self) -> bytes:
        """Return all that is left of what was taken, so that it can be read."""

    def finish(self) -> bytes:
        """Return the end."""


@dataclass(frozen=True, slots=True)
class Coding:
    """A coding at a level."""

    name: str
    token: bytes
    level: int
    whole: Callable[[bytes], bytes]  # of one thread at a time
    whole_in_thread: Callable[[bytes], bytes]
    stream: Callable[[], Coder]
    stream_bytes: int  # of memory
    inline_bytes_max: int  # what is compressed at once; more is done in a thread


def available() -> tuple[str, ...]:
    """List the codings that can be had here, in the order of preference."""
    return tuple(name for name in NAMES if is_available(name))


def is_available(name: str) -> bool:
    """Tell whether the library of a coding is installed."""
    return name == "gzip" or any(_can_import(each) for each in _LIBRARIES[name])


_LIBRARIES = {"br": ("brotli",), "zstd": ("compression.zstd", "zstandard")}


def _can_import(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # of what it is in
        return False


def make_coding(name: str, level: int) -> Coding:
    """Make a coding. Raises ImportError if its library is not installed."""
    whole, whole_in_thread, stream = _MAKERS[name](level)
    us_per_kib, stream_kib = next(
        (us, kib) for from_level, us, kib in reversed(_COSTS[name]) if level >= from_level
    )
    return Coding(
        name=name,
        token=name.encode(),
        level=level,
        whole=whole,
        whole_in_thread=whole_in_thread,
        stream=stream,
        stream_bytes=stream_kib * 1024,
        inline_bytes_max=int(COMPRESSION_INLINE_US / us_per_kib * 1024),
    )


Makers = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], Callable[[], Coder]]


class _Gzip:
    def __init__(self, level: int) -> None:
        self._coder = zlib.compressobj(level, zlib.DEFLATED, GZIP)
        self.compress = self._coder.compress

    def flush(self) -> bytes:
        return self._coder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._coder.flush()


def _gzip(level: int) -> Makers:
    def whole(data: bytes) -> bytes:
        return zlib.compress(data, level, GZIP)

    return whole, whole, lambda: _Gzip(level)


class _Brotli:
    def __init__(self, library: Any, level: int) -> None:
        coder = library.Compressor(quality=level, lgwin=BROTLI_STREAM_WINDOW)
        self.compress: Callable[[bytes], bytes] = coder.process
        self.flush: Callable[[], bytes] = coder.flush
        self.finish: Callable[[], bytes] = coder.finish


def _brotli(level: int) -> Makers:
    library: Any = importlib.import_module("brotli")

    def whole(data: bytes) -> bytes:
        return library.compress(data, quality=level)  # type: ignore[no-any-return]

    return whole, whole, lambda: _Brotli(library, level)


class _Zstandard:
    """By the library `zstandard`."""

    def __init__(self, library: Any, level: int) -> None:
        parameters = library.ZstdCompressionParameters.from_level(level, window_log=ZSTD_STREAM_WINDOW)
        # A compressor has one context: no two streams can share one.
        self._coder = library.ZstdCompressor(compression_params=parameters).compressobj()
        self._block = library.COMPRESSOBJ_FLUSH_BLOCK
        self.compress = self._coder.compress

    def flush(self) -> bytes:
        return self._coder.flush(self._block)  # type: ignore[no-any-return]

    def finish(self) -> bytes:
        return self._coder.flush()  # type: ignore[no-any-return]


class _PythonZstd:
    """By Python 3.14."""

    def __init__(self, library: Any, level: int) -> None:
        parameter = library.CompressionParameter
        options = {parameter.compression_level: level, parameter.window_log: ZSTD_STREAM_WINDOW}
        self._coder = library.ZstdCompressor(options=options)
        self.compress = self._coder.compress

    def flush(self) -> bytes:
        return self._coder.flush(self._coder.FLUSH_BLOCK)  # type: ignore[no-any-return]

    def finish(self) -> bytes:
        return self._coder.flush(self._coder.FLUSH_FRAME)  # type: ignore[no-any-return]


def _zstd(level: int) -> Makers:
    if _can_import("compression.zstd"):
        python: Any = importlib.import_module("compression.zstd")

        def whole(data: bytes) -> bytes:
            return python.compress(data, level)  # type: ignore[no-any-return]

        return whole, whole, lambda: _PythonZstd(python, level)
    library: Any = importlib.import_module("zstandard")
    # A context is made once: making one takes four times as long as compressing a KiB.
    kept = library.ZstdCompressor(level=level)

    def fresh(data: bytes) -> bytes:
        return library.ZstdCompressor(level=level).compress(data)  # type: ignore[no-any-return]

    return kept.compress, fresh, lambda: _Zstandard(library, level)


_MAKERS: Mapping[str, Callable[[int], Makers]] = {"gzip": _gzip, "br": _brotli, "zstd": _zstd}
