"""
Paths as they were sent, beside what they mean: cut at the same place in both.

What is taken out of a path keeps the coding that its client chose, so an encoded
slash does not become a real one on its way to somebody else. Pure.
"""

import re
from urllib.parse import quote, unquote_to_bytes

PERCENT, SLASH = 0x25, 0x2F
DOT_SEGMENT = "the path has a part '.' or '..'"

_HEX = frozenset(b"0123456789abcdefABCDEF")
# A part "." or "..", between whatever is a slash to somebody; to some what follows a ";" is not of its name.
_DOTS = re.compile(r"[/\\]\.\.?(?:[/\\;]|\Z)")
# What a URL may not have as it is. A backslash is a slash to browsers.
_UNSAFE = re.compile(rb"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")


def decoded(raw_path: bytes) -> str:
    """Return what a path means; bytes that are no UTF-8 become U+FFFD, as in a request."""
    if PERCENT in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path.decode("latin-1")


def raw_offset(raw_path: bytes, count: int) -> int:
    """Tell how many bytes of a raw path stand for so many decoded ones."""
    if PERCENT not in raw_path:
        return count
    at = 0
    for _ in range(count):
        is_coded = (
            raw_path[at] == PERCENT and len(raw_path) > at + 2 and _HEX.issuperset(raw_path[at + 1 : at + 3])
        )
        at += 3 if is_coded else 1
    return at


def raw_span(path: str, raw_path: bytes, start: int, end: int) -> bytes:
    """Return how a piece of a path was sent."""
    if PERCENT not in raw_path:
        return raw_path[start:end]
    if path.encode() != unquote_to_bytes(raw_path):
        return quote(path[start:end], safe="/").encode()  # It was no UTF-8, so nobody can count in it.
    first = raw_offset(raw_path, len(path[:start].encode()))
    return raw_path[first : raw_offset(raw_path, len(path[:end].encode()))]


def without_prefix(raw_path: bytes, prefix: bytes) -> bytes | None:
    """
    Take a decoded prefix off, which does not end in a slash; None if the path is not below it.

    It ends where a slash was sent as one, or the path does: "/api%2Fx" is not below "/api".
    """
    whole = unquote_to_bytes(raw_path) if PERCENT in raw_path else raw_path
    if not whole.startswith(prefix):
        return None
    rest = raw_path[raw_offset(raw_path, len(prefix)) :]
    return rest if rest[:1] in {b"", b"/"} else None


def below_root(path: str, raw_path: bytes, root_path: str) -> tuple[str, bytes]:
    """Take off the root path that the site has put in front, or the client's proxy left there."""
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        rest = without_prefix(raw_path, root_path.encode())
        if rest is not None:
            return path[len(root_path) :] or "/", rest or b"/"
    return path, raw_path


def has_dot_segment(path: str) -> bool:
    """Tell whether a decoded absolute path has a part "." or "..", which means another path to somebody."""
    # The first two questions are a tenth of the third, which most paths are spared.
    return ("/." in path or "\\" in path) and _DOTS.search(path) is not None


def uri_safe(text: bytes) -> bytes:
    """Encode what a URL may not have as it is, control characters and backslashes among it."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), text)


def single_slash(path: bytes) -> bytes:
    """Have a path begin with one slash: one with two names a host to whoever follows it."""
    return b"/" + path.lstrip(b"/\\")
