"""
A file that is open to be sent, in the variants that there are of it, and what is
said of it in a head.
"""

import os
import stat
import time
from collections.abc import Mapping
from email.utils import formatdate

from penstock.worker.files.encodings import IDENTITY
from penstock.worker.opening import Descriptor

Headers = list[tuple[bytes, bytes]]

# How the names of variants that were compressed beforehand end.
SUFFIXES = {b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"}


class Variant:
    """One open file: descriptor, size, and its headers."""

    __slots__ = ("etag", "file", "headers", "media", "modified_s", "size", "validators")

    def __init__(
        self, file: Descriptor, about: os.stat_result, coding: bytes, media: bytes, more: Headers
    ) -> None:
        self.file = file
        self.size = about.st_size
        self.media = media
        # Nobody may be told of a change that is yet to come (RFC 9110, section 8.8.2.1).
        self.modified_s = min(int(about.st_mtime), int(time.time()))
        mark = b"" if coding == IDENTITY else b"-" + coding
        self.etag = b'"%x-%x%b"' % (about.st_mtime_ns, about.st_size, mark)
        # What a 304 has, too.
        self.validators: Headers = [
            (b"etag", self.etag),
            (b"last-modified", formatdate(self.modified_s, usegmt=True).encode()),
            *more,
        ]
        self.headers: Headers = [
            (b"content-type", media),
            *self.validators,
            (b"accept-ranges", b"bytes"),
        ]
        if coding != IDENTITY:
            self.headers.append((b"content-encoding", coding))


class Target:
    """What a name means: a file, as it is and compressed."""

    __slots__ = ("key", "only", "seen_s", "sizes", "used_s", "variants")

    def __init__(self, variants: Mapping[bytes, Variant]) -> None:
        """Begin with at least the file as it is."""
        self.variants = variants
        self.only = variants[IDENTITY] if len(variants) == 1 else None
        self.sizes = {coding: variant.size for coding, variant in variants.items()}
        # What it is kept by, if not by the path that was asked for.
        self.key: bytes | None = None
        # When it was last looked up on the disk, and asked for.
        self.seen_s = self.used_s = 0.0


def is_regular(about: os.stat_result) -> bool:
    """Tell whether it is a file whose bytes can be sent."""
    return stat.S_ISREG(about.st_mode)


def is_older(variant: os.stat_result, original: os.stat_result) -> bool:
    """Tell whether a variant is out of date. Archives keep whole seconds, so those count."""
    return int(variant.st_mtime) < int(original.st_mtime)
