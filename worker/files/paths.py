"""
From the path of a request to the name of a file below a folder, or to nothing.

Pure, and strict: what could mean something else to the file system than it does in
a URL names no file. Names are bytes; each part is decoded once, and by itself, so
that no encoded slash or dot makes a path of its own.
"""

from urllib.parse import unquote_to_bytes

# A byte that is in no name we serve: control characters would forge a line of a log, and a
# backslash is a slash to others.
_BAD = frozenset((*range(0x20), 0x7F, ord("\\"), ord("/")))

# The one hidden folder that is there for all to see (RFC 8615).
_WELL_KNOWN = b".well-known"


def prefix_of(pattern: str | None) -> bytes:
    """Return the part of a route's path that is not in the names: up to the last slash."""
    if pattern is None or pattern.startswith("~"):
        return b"/"
    return pattern[: pattern.rindex("/") + 1].encode()


def name_of(raw_path: bytes, prefix: bytes, *, shows_dotfiles: bool) -> bytes | None:
    """
    Return the relative name that a raw path means below a prefix, None if it means no file.

    It is empty or ends in a slash for a folder, and no part of it is empty, "." or "..".
    """
    parts = raw_path.split(b"/")
    if b"%" in raw_path:
        parts = [unquote_to_bytes(part) for part in parts]
    if parts[0] or not all(parts[1:-1]):
        return None
    if any(part in (b".", b"..") or not _BAD.isdisjoint(part) for part in parts):
        return None
    path = b"/".join(parts)
    if not path.startswith(prefix):
        return None
    if not shows_dotfiles:
        inside = path[len(prefix) :].split(b"/")
        if any(part[:1] == b"." for part in inside[1:]) or (
            inside[0][:1] == b"." and inside[0] != _WELL_KNOWN
        ):
            return None
    return path[len(prefix) :]
