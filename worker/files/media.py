"""
What a file is, by the end of its name.

Python's own table, without what the machine's /etc/mime.types adds, so that two
machines say the same; and what is newer than that table.
"""

import mimetypes
from collections.abc import Mapping

UNKNOWN = "application/octet-stream"

_NEWER = {
    ".avif": "image/avif",
    ".br": UNKNOWN,
    ".bz2": "application/x-bzip2",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".tgz": "application/gzip",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}


class MediaTypes:
    """Gives the Content-Type of names."""

    def __init__(self, types: Mapping[str, str] | None = None) -> None:
        """Begin with the operator's own, by suffix: ".x"."""
        known = {**mimetypes.MimeTypes().types_map[True], **_NEWER}
        known.update({suffix.lower(): media for suffix, media in (types or {}).items()})
        self._types = {suffix.encode(): _with_charset(media).encode() for suffix, media in known.items()}

    def of(self, name: bytes) -> bytes:
        """Tell what a file of this name is."""
        base = name.rpartition(b"/")[2]
        stem, dot, suffix = base.rpartition(b".")
        return self._types.get(dot + suffix.lower() if stem else b"", UNKNOWN.encode())


def _with_charset(media: str) -> str:
    return f"{media}; charset=utf-8" if media.startswith("text/") and ";" not in media else media
