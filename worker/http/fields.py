"""
Response headers: which of them the server takes over, and which are well formed.
"""

import re
from collections.abc import Iterable

from penstock.worker.limits import CONTENT_LENGTH_DIGITS_MAX, RESPONSE_NAMES_MAX

CR, LF, NUL = 13, 10, 0

# What a response header means to the server. Those up to DATE are copied as they
# are, and from DEFAULTED on stand in for one that we would have put there; framing,
# and what concerns this hop only, is our business.
ORDINARY, DEFAULTED, SERVER, DATE, CONTENT_LENGTH, CONNECTION, DROPPED = range(7)

_MEANINGS = {
    b"server": SERVER,
    b"date": DATE,
    b"content-length": CONTENT_LENGTH,
    b"connection": CONNECTION,
    b"transfer-encoding": DROPPED,
    b"keep-alive": DROPPED,
    b"upgrade": DROPPED,
}
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# Header names as apps write them, once judged: the hot path looks here first.
meanings: dict[bytes, int] = dict(_MEANINGS)

# Bodies of most API responses are this short; formatting a number takes longer.
LENGTHS_COUNT = 1024
LENGTHS = tuple(b"%d" % length for length in range(LENGTHS_COUNT))


def judge_name(name: bytes) -> int:
    """Return what a header name means, and remember it. Raises ValueError or TypeError."""
    if not isinstance(name, bytes):
        raise TypeError(f"names of response headers are bytes, and not {type(name).__name__}")
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"invalid name of a response header: {name!r}")
    meaning = _MEANINGS.get(name.lower(), ORDINARY)
    if len(meanings) < RESPONSE_NAMES_MAX:
        meanings[name] = meaning
    return meaning


def watch_for(name: bytes) -> None:
    """Note that responses have this header, in lower case, by default, so that an app's own is seen."""
    if _MEANINGS.setdefault(name, DEFAULTED) != DEFAULTED:
        return
    for spelt in [each for each in meanings if each.lower() == name]:
        del meanings[spelt]
    meanings[name] = DEFAULTED


def judge_value(value: bytes) -> None:
    """Raise ValueError for a value that would end its header and begin another, TypeError for no bytes."""
    if type(value) is not bytes and not isinstance(value, (bytes, bytearray)):  # a union costs a microsecond
        raise TypeError(f"values of response headers are bytes, and not {type(value).__name__}")
    # An int is found in bytes ten times as fast as bytes.
    if CR in value or LF in value or NUL in value:
        raise ValueError("a response header has a newline or a null byte in it")


def content_length(digits: bytes) -> int:
    """Return the number in a Content-Length of the app. Raises ValueError or TypeError."""
    judge_value(digits)
    if not digits.isdigit() or len(digits) > CONTENT_LENGTH_DIGITS_MAX:
        raise ValueError(f"invalid Content-Length in the response: {digits!r}")
    return int(digits)


def judge_whole(declared: bytes, size: int) -> None:
    """Raise unless a Content-Length, written in another way than ours, is right."""
    length = content_length(declared)
    if length != size:
        than = "longer" if size > length else "shorter"
        raise RuntimeError(f"the response is {than} than its Content-Length: {size} bytes, not {length}")


def as_bytes(body: object) -> bytes:
    """Return a piece of a body as bytes, whatever kind of bytes it is. Raises TypeError for anything else."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)  # A copy: the app may go on writing into its own.
    raise TypeError(f"the body of a response is bytes, and not {type(body).__name__}")


def is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a response is a stream of server-sent events."""
    return any(
        name.lower() == b"content-type" and value.partition(b";")[0].strip().lower() == b"text/event-stream"
        for name, value in headers
    )
